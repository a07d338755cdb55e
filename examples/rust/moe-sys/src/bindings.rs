// Written by `cargo run -p moe-sys-bindgen` from moe.h, whose comments are the manual.

pub const MOE_VERSION_MAJOR: i32 = 0;
pub const MOE_VERSION_MINOR: i32 = 1;
pub const MOE_VERSION_PATCH: i32 = 0;
pub const MOE_VERSION: i32 = 100;
pub const MOE_ABI: i32 = 0;
pub type moe_status = i32;
pub const MOE_OK: i32 = 0;
pub const MOE_END: i32 = 1;
pub const MOE_ERR_INVALID_ARGUMENT: i32 = 2;
pub const MOE_ERR_OUT_OF_MEMORY: i32 = 3;
pub const MOE_ERR_NOT_FOUND: i32 = 4;
pub const MOE_ERR_IO: i32 = 5;
pub const MOE_ERR_PARSE: i32 = 6;
pub const MOE_ERR_CONFIG: i32 = 7;
pub const MOE_ERR_SHAPE: i32 = 8;
pub const MOE_ERR_DTYPE: i32 = 9;
pub const MOE_ERR_DEVICE: i32 = 10;
pub const MOE_ERR_STATE: i32 = 11;
pub const MOE_ERR_VERSION: i32 = 12;
pub const MOE_ERR_UNSUPPORTED: i32 = 13;
pub const MOE_ERR_CANCELLED: i32 = 14;
pub const MOE_ERR_BUFFER_TOO_SMALL: i32 = 15;
pub const MOE_ERR_NUMERIC: i32 = 16;
pub const MOE_ERR_DATA: i32 = 17;
pub const MOE_ERR_INTERNAL: i32 = 18;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_error_info {
    pub struct_size: u32,
    pub status: moe_status,
    pub line: i32,
    pub column: i32,
    pub text: [::core::ffi::c_char; 1024usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_error_info"][::core::mem::size_of::<moe_error_info>() - 1040usize];
    ["Alignment of moe_error_info"][::core::mem::align_of::<moe_error_info>() - 4usize];
    [
        "Offset of field: moe_error_info::struct_size",
    ][::core::mem::offset_of!(moe_error_info, struct_size) - 0usize];
    [
        "Offset of field: moe_error_info::status",
    ][::core::mem::offset_of!(moe_error_info, status) - 4usize];
    [
        "Offset of field: moe_error_info::line",
    ][::core::mem::offset_of!(moe_error_info, line) - 8usize];
    [
        "Offset of field: moe_error_info::column",
    ][::core::mem::offset_of!(moe_error_info, column) - 12usize];
    [
        "Offset of field: moe_error_info::text",
    ][::core::mem::offset_of!(moe_error_info, text) - 16usize];
};
impl Default for moe_error_info {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
pub type moe_dtype = i32;
pub const MOE_I8: i32 = 2048;
pub const MOE_I16: i32 = 4096;
pub const MOE_I32: i32 = 8192;
pub const MOE_I64: i32 = 16384;
pub const MOE_U8: i32 = 2049;
pub const MOE_F16: i32 = 4098;
pub const MOE_F32: i32 = 8194;
pub const MOE_F64: i32 = 16386;
pub const MOE_BF16: i32 = 4100;
pub const MOE_BOOL: i32 = 2054;
pub const MOE_DEVICE_CPU: i32 = 1;
pub const MOE_DEVICE_CUDA: i32 = 2;
pub const MOE_MAX_DIMS: i32 = 8;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_tensor_view {
    pub struct_size: u32,
    pub dtype: moe_dtype,
    pub device_type: i32,
    pub device_index: i32,
    pub ndim: i32,
    pub reserved: i32,
    pub data: *const ::core::ffi::c_void,
    pub shape: *const i64,
    pub strides: *const i64,
    pub byte_offset: u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_tensor_view"][::core::mem::size_of::<moe_tensor_view>() - 56usize];
    [
        "Alignment of moe_tensor_view",
    ][::core::mem::align_of::<moe_tensor_view>() - 8usize];
    [
        "Offset of field: moe_tensor_view::struct_size",
    ][::core::mem::offset_of!(moe_tensor_view, struct_size) - 0usize];
    [
        "Offset of field: moe_tensor_view::dtype",
    ][::core::mem::offset_of!(moe_tensor_view, dtype) - 4usize];
    [
        "Offset of field: moe_tensor_view::device_type",
    ][::core::mem::offset_of!(moe_tensor_view, device_type) - 8usize];
    [
        "Offset of field: moe_tensor_view::device_index",
    ][::core::mem::offset_of!(moe_tensor_view, device_index) - 12usize];
    [
        "Offset of field: moe_tensor_view::ndim",
    ][::core::mem::offset_of!(moe_tensor_view, ndim) - 16usize];
    [
        "Offset of field: moe_tensor_view::reserved",
    ][::core::mem::offset_of!(moe_tensor_view, reserved) - 20usize];
    [
        "Offset of field: moe_tensor_view::data",
    ][::core::mem::offset_of!(moe_tensor_view, data) - 24usize];
    [
        "Offset of field: moe_tensor_view::shape",
    ][::core::mem::offset_of!(moe_tensor_view, shape) - 32usize];
    [
        "Offset of field: moe_tensor_view::strides",
    ][::core::mem::offset_of!(moe_tensor_view, strides) - 40usize];
    [
        "Offset of field: moe_tensor_view::byte_offset",
    ][::core::mem::offset_of!(moe_tensor_view, byte_offset) - 48usize];
};
impl Default for moe_tensor_view {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_tensor_info {
    pub struct_size: u32,
    pub dtype: moe_dtype,
    pub ndim: i32,
    pub reserved: i32,
    pub shape: [i64; 8usize],
    pub bytes: u64,
    pub name: [::core::ffi::c_char; 64usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_tensor_info"][::core::mem::size_of::<moe_tensor_info>() - 152usize];
    [
        "Alignment of moe_tensor_info",
    ][::core::mem::align_of::<moe_tensor_info>() - 8usize];
    [
        "Offset of field: moe_tensor_info::struct_size",
    ][::core::mem::offset_of!(moe_tensor_info, struct_size) - 0usize];
    [
        "Offset of field: moe_tensor_info::dtype",
    ][::core::mem::offset_of!(moe_tensor_info, dtype) - 4usize];
    [
        "Offset of field: moe_tensor_info::ndim",
    ][::core::mem::offset_of!(moe_tensor_info, ndim) - 8usize];
    [
        "Offset of field: moe_tensor_info::reserved",
    ][::core::mem::offset_of!(moe_tensor_info, reserved) - 12usize];
    [
        "Offset of field: moe_tensor_info::shape",
    ][::core::mem::offset_of!(moe_tensor_info, shape) - 16usize];
    [
        "Offset of field: moe_tensor_info::bytes",
    ][::core::mem::offset_of!(moe_tensor_info, bytes) - 80usize];
    [
        "Offset of field: moe_tensor_info::name",
    ][::core::mem::offset_of!(moe_tensor_info, name) - 88usize];
};
impl Default for moe_tensor_info {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug)]
pub struct moe_config {
    _unused: [u8; 0],
}
pub const MOE_DUMP_VALUES: i32 = 0;
pub const MOE_DUMP_ORIGINS: i32 = 1;
#[repr(C)]
#[derive(Debug)]
pub struct moe_batch {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug)]
pub struct DLManagedTensorVersioned {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug)]
pub struct moe_loader {
    _unused: [u8; 0],
}
pub const MOE_LOG_DEBUG: i32 = 0;
pub const MOE_LOG_INFO: i32 = 1;
pub const MOE_LOG_WARNING: i32 = 2;
pub const MOE_LOG_ERROR: i32 = 3;
pub type moe_log_fn = ::core::option::Option<
    unsafe extern "C" fn(
        level: i32,
        message: *const ::core::ffi::c_char,
        user: *mut ::core::ffi::c_void,
    ),
>;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_generate_options {
    pub struct_size: u32,
    pub train_images: i32,
    pub val_images: i32,
    pub width: i32,
    pub height: i32,
    pub threads: i32,
    pub seed: u64,
    pub log_fn: moe_log_fn,
    pub log_user: *mut ::core::ffi::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of moe_generate_options",
    ][::core::mem::size_of::<moe_generate_options>() - 48usize];
    [
        "Alignment of moe_generate_options",
    ][::core::mem::align_of::<moe_generate_options>() - 8usize];
    [
        "Offset of field: moe_generate_options::struct_size",
    ][::core::mem::offset_of!(moe_generate_options, struct_size) - 0usize];
    [
        "Offset of field: moe_generate_options::train_images",
    ][::core::mem::offset_of!(moe_generate_options, train_images) - 4usize];
    [
        "Offset of field: moe_generate_options::val_images",
    ][::core::mem::offset_of!(moe_generate_options, val_images) - 8usize];
    [
        "Offset of field: moe_generate_options::width",
    ][::core::mem::offset_of!(moe_generate_options, width) - 12usize];
    [
        "Offset of field: moe_generate_options::height",
    ][::core::mem::offset_of!(moe_generate_options, height) - 16usize];
    [
        "Offset of field: moe_generate_options::threads",
    ][::core::mem::offset_of!(moe_generate_options, threads) - 20usize];
    [
        "Offset of field: moe_generate_options::seed",
    ][::core::mem::offset_of!(moe_generate_options, seed) - 24usize];
    [
        "Offset of field: moe_generate_options::log_fn",
    ][::core::mem::offset_of!(moe_generate_options, log_fn) - 32usize];
    [
        "Offset of field: moe_generate_options::log_user",
    ][::core::mem::offset_of!(moe_generate_options, log_user) - 40usize];
};
impl Default for moe_generate_options {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct moe_data_report {
    pub struct_size: u32,
    pub reserved: i32,
    pub pictures: i64,
    pub objects: i64,
    pub problems: i64,
    pub excluded: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_data_report"][::core::mem::size_of::<moe_data_report>() - 40usize];
    [
        "Alignment of moe_data_report",
    ][::core::mem::align_of::<moe_data_report>() - 8usize];
    [
        "Offset of field: moe_data_report::struct_size",
    ][::core::mem::offset_of!(moe_data_report, struct_size) - 0usize];
    [
        "Offset of field: moe_data_report::reserved",
    ][::core::mem::offset_of!(moe_data_report, reserved) - 4usize];
    [
        "Offset of field: moe_data_report::pictures",
    ][::core::mem::offset_of!(moe_data_report, pictures) - 8usize];
    [
        "Offset of field: moe_data_report::objects",
    ][::core::mem::offset_of!(moe_data_report, objects) - 16usize];
    [
        "Offset of field: moe_data_report::problems",
    ][::core::mem::offset_of!(moe_data_report, problems) - 24usize];
    [
        "Offset of field: moe_data_report::excluded",
    ][::core::mem::offset_of!(moe_data_report, excluded) - 32usize];
};
#[repr(C)]
#[derive(Debug)]
pub struct moe_session {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_session_options {
    pub struct_size: u32,
    pub reserved: i32,
    pub log_fn: moe_log_fn,
    pub log_user: *mut ::core::ffi::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of moe_session_options",
    ][::core::mem::size_of::<moe_session_options>() - 24usize];
    [
        "Alignment of moe_session_options",
    ][::core::mem::align_of::<moe_session_options>() - 8usize];
    [
        "Offset of field: moe_session_options::struct_size",
    ][::core::mem::offset_of!(moe_session_options, struct_size) - 0usize];
    [
        "Offset of field: moe_session_options::reserved",
    ][::core::mem::offset_of!(moe_session_options, reserved) - 4usize];
    [
        "Offset of field: moe_session_options::log_fn",
    ][::core::mem::offset_of!(moe_session_options, log_fn) - 8usize];
    [
        "Offset of field: moe_session_options::log_user",
    ][::core::mem::offset_of!(moe_session_options, log_user) - 16usize];
};
impl Default for moe_session_options {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct moe_step_info {
    pub struct_size: u32,
    pub micro_batches: i32,
    pub step: i64,
    pub samples: i64,
    pub loss: f64,
    pub grad_norm: f64,
    pub lr: f64,
    pub seconds: f64,
    pub skipped: i32,
    pub loss_count: i32,
    pub loss_name: [[::core::ffi::c_char; 32usize]; 16usize],
    pub loss_value: [f64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_step_info"][::core::mem::size_of::<moe_step_info>() - 704usize];
    ["Alignment of moe_step_info"][::core::mem::align_of::<moe_step_info>() - 8usize];
    [
        "Offset of field: moe_step_info::struct_size",
    ][::core::mem::offset_of!(moe_step_info, struct_size) - 0usize];
    [
        "Offset of field: moe_step_info::micro_batches",
    ][::core::mem::offset_of!(moe_step_info, micro_batches) - 4usize];
    [
        "Offset of field: moe_step_info::step",
    ][::core::mem::offset_of!(moe_step_info, step) - 8usize];
    [
        "Offset of field: moe_step_info::samples",
    ][::core::mem::offset_of!(moe_step_info, samples) - 16usize];
    [
        "Offset of field: moe_step_info::loss",
    ][::core::mem::offset_of!(moe_step_info, loss) - 24usize];
    [
        "Offset of field: moe_step_info::grad_norm",
    ][::core::mem::offset_of!(moe_step_info, grad_norm) - 32usize];
    [
        "Offset of field: moe_step_info::lr",
    ][::core::mem::offset_of!(moe_step_info, lr) - 40usize];
    [
        "Offset of field: moe_step_info::seconds",
    ][::core::mem::offset_of!(moe_step_info, seconds) - 48usize];
    [
        "Offset of field: moe_step_info::skipped",
    ][::core::mem::offset_of!(moe_step_info, skipped) - 56usize];
    [
        "Offset of field: moe_step_info::loss_count",
    ][::core::mem::offset_of!(moe_step_info, loss_count) - 60usize];
    [
        "Offset of field: moe_step_info::loss_name",
    ][::core::mem::offset_of!(moe_step_info, loss_name) - 64usize];
    [
        "Offset of field: moe_step_info::loss_value",
    ][::core::mem::offset_of!(moe_step_info, loss_value) - 576usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_metric {
    pub name: [::core::ffi::c_char; 64usize],
    pub value: f64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_metric"][::core::mem::size_of::<moe_metric>() - 72usize];
    ["Alignment of moe_metric"][::core::mem::align_of::<moe_metric>() - 8usize];
    [
        "Offset of field: moe_metric::name",
    ][::core::mem::offset_of!(moe_metric, name) - 0usize];
    [
        "Offset of field: moe_metric::value",
    ][::core::mem::offset_of!(moe_metric, value) - 64usize];
};
impl Default for moe_metric {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
pub const MOE_WINDOW_LAST_STEP: i32 = 0;
pub const MOE_WINDOW_SINCE_RESET: i32 = 1;
pub const MOE_WINDOW_LIFETIME: i32 = 2;
pub const MOE_WINDOW_LAST_EVAL: i32 = 3;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_layer_info {
    pub struct_size: u32,
    pub experts: i32,
    pub top_k: i32,
    pub classes: i32,
    pub name: [::core::ffi::c_char; 64usize],
    pub kind: [::core::ffi::c_char; 32usize],
    pub unit: [::core::ffi::c_char; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_layer_info"][::core::mem::size_of::<moe_layer_info>() - 128usize];
    ["Alignment of moe_layer_info"][::core::mem::align_of::<moe_layer_info>() - 4usize];
    [
        "Offset of field: moe_layer_info::struct_size",
    ][::core::mem::offset_of!(moe_layer_info, struct_size) - 0usize];
    [
        "Offset of field: moe_layer_info::experts",
    ][::core::mem::offset_of!(moe_layer_info, experts) - 4usize];
    [
        "Offset of field: moe_layer_info::top_k",
    ][::core::mem::offset_of!(moe_layer_info, top_k) - 8usize];
    [
        "Offset of field: moe_layer_info::classes",
    ][::core::mem::offset_of!(moe_layer_info, classes) - 12usize];
    [
        "Offset of field: moe_layer_info::name",
    ][::core::mem::offset_of!(moe_layer_info, name) - 16usize];
    [
        "Offset of field: moe_layer_info::kind",
    ][::core::mem::offset_of!(moe_layer_info, kind) - 80usize];
    [
        "Offset of field: moe_layer_info::unit",
    ][::core::mem::offset_of!(moe_layer_info, unit) - 112usize];
};
impl Default for moe_layer_info {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct moe_expert_stat {
    pub tokens: i64,
    pub computed: i64,
    pub dropped: i64,
    pub share: f64,
    pub activation_rate: f64,
    pub gate_mean: f64,
    pub importance: f64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_expert_stat"][::core::mem::size_of::<moe_expert_stat>() - 56usize];
    [
        "Alignment of moe_expert_stat",
    ][::core::mem::align_of::<moe_expert_stat>() - 8usize];
    [
        "Offset of field: moe_expert_stat::tokens",
    ][::core::mem::offset_of!(moe_expert_stat, tokens) - 0usize];
    [
        "Offset of field: moe_expert_stat::computed",
    ][::core::mem::offset_of!(moe_expert_stat, computed) - 8usize];
    [
        "Offset of field: moe_expert_stat::dropped",
    ][::core::mem::offset_of!(moe_expert_stat, dropped) - 16usize];
    [
        "Offset of field: moe_expert_stat::share",
    ][::core::mem::offset_of!(moe_expert_stat, share) - 24usize];
    [
        "Offset of field: moe_expert_stat::activation_rate",
    ][::core::mem::offset_of!(moe_expert_stat, activation_rate) - 32usize];
    [
        "Offset of field: moe_expert_stat::gate_mean",
    ][::core::mem::offset_of!(moe_expert_stat, gate_mean) - 40usize];
    [
        "Offset of field: moe_expert_stat::importance",
    ][::core::mem::offset_of!(moe_expert_stat, importance) - 48usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct moe_layer_stat {
    pub struct_size: u32,
    pub dead_experts: i32,
    pub tokens: i64,
    pub assignments: i64,
    pub token_entropy: f64,
    pub marginal_entropy: f64,
    pub load_cv: f64,
    pub max_violation: f64,
    pub dropped: i64,
    pub unrouted: i64,
    pub mutual_information: f64,
    pub gini: f64,
    pub dominant_share: f64,
    pub confidence: f64,
    pub margin: f64,
    pub class_nmi: f64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_layer_stat"][::core::mem::size_of::<moe_layer_stat>() - 120usize];
    ["Alignment of moe_layer_stat"][::core::mem::align_of::<moe_layer_stat>() - 8usize];
    [
        "Offset of field: moe_layer_stat::struct_size",
    ][::core::mem::offset_of!(moe_layer_stat, struct_size) - 0usize];
    [
        "Offset of field: moe_layer_stat::dead_experts",
    ][::core::mem::offset_of!(moe_layer_stat, dead_experts) - 4usize];
    [
        "Offset of field: moe_layer_stat::tokens",
    ][::core::mem::offset_of!(moe_layer_stat, tokens) - 8usize];
    [
        "Offset of field: moe_layer_stat::assignments",
    ][::core::mem::offset_of!(moe_layer_stat, assignments) - 16usize];
    [
        "Offset of field: moe_layer_stat::token_entropy",
    ][::core::mem::offset_of!(moe_layer_stat, token_entropy) - 24usize];
    [
        "Offset of field: moe_layer_stat::marginal_entropy",
    ][::core::mem::offset_of!(moe_layer_stat, marginal_entropy) - 32usize];
    [
        "Offset of field: moe_layer_stat::load_cv",
    ][::core::mem::offset_of!(moe_layer_stat, load_cv) - 40usize];
    [
        "Offset of field: moe_layer_stat::max_violation",
    ][::core::mem::offset_of!(moe_layer_stat, max_violation) - 48usize];
    [
        "Offset of field: moe_layer_stat::dropped",
    ][::core::mem::offset_of!(moe_layer_stat, dropped) - 56usize];
    [
        "Offset of field: moe_layer_stat::unrouted",
    ][::core::mem::offset_of!(moe_layer_stat, unrouted) - 64usize];
    [
        "Offset of field: moe_layer_stat::mutual_information",
    ][::core::mem::offset_of!(moe_layer_stat, mutual_information) - 72usize];
    [
        "Offset of field: moe_layer_stat::gini",
    ][::core::mem::offset_of!(moe_layer_stat, gini) - 80usize];
    [
        "Offset of field: moe_layer_stat::dominant_share",
    ][::core::mem::offset_of!(moe_layer_stat, dominant_share) - 88usize];
    [
        "Offset of field: moe_layer_stat::confidence",
    ][::core::mem::offset_of!(moe_layer_stat, confidence) - 96usize];
    [
        "Offset of field: moe_layer_stat::margin",
    ][::core::mem::offset_of!(moe_layer_stat, margin) - 104usize];
    [
        "Offset of field: moe_layer_stat::class_nmi",
    ][::core::mem::offset_of!(moe_layer_stat, class_nmi) - 112usize];
};
#[repr(C)]
#[derive(Debug)]
pub struct moe_run {
    _unused: [u8; 0],
}
pub const MOE_RUN_AUTO: i32 = 0;
pub const MOE_RUN_NEW: i32 = 1;
pub const MOE_RUN_RESUME: i32 = 2;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_run_options {
    pub struct_size: u32,
    pub mode: i32,
    pub log_fn: moe_log_fn,
    pub log_user: *mut ::core::ffi::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_run_options"][::core::mem::size_of::<moe_run_options>() - 24usize];
    [
        "Alignment of moe_run_options",
    ][::core::mem::align_of::<moe_run_options>() - 8usize];
    [
        "Offset of field: moe_run_options::struct_size",
    ][::core::mem::offset_of!(moe_run_options, struct_size) - 0usize];
    [
        "Offset of field: moe_run_options::mode",
    ][::core::mem::offset_of!(moe_run_options, mode) - 4usize];
    [
        "Offset of field: moe_run_options::log_fn",
    ][::core::mem::offset_of!(moe_run_options, log_fn) - 8usize];
    [
        "Offset of field: moe_run_options::log_user",
    ][::core::mem::offset_of!(moe_run_options, log_user) - 16usize];
};
impl Default for moe_run_options {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
pub const MOE_EVENT_STEP: i32 = 1;
pub const MOE_EVENT_EPOCH: i32 = 2;
pub const MOE_EVENT_EVAL: i32 = 3;
pub const MOE_EVENT_CHECKPOINT: i32 = 4;
pub const MOE_EVENT_DONE: i32 = 5;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct moe_run_event {
    pub struct_size: u32,
    pub kind: i32,
    pub epoch: i64,
    pub epochs: i64,
    pub step: i64,
    pub steps: i64,
    pub loss: f64,
    pub metric: f64,
    pub images_per_second: f64,
    pub load_seconds: f64,
    pub step_seconds: f64,
    pub seconds_left: f64,
    pub text: [::core::ffi::c_char; 512usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of moe_run_event"][::core::mem::size_of::<moe_run_event>() - 600usize];
    ["Alignment of moe_run_event"][::core::mem::align_of::<moe_run_event>() - 8usize];
    [
        "Offset of field: moe_run_event::struct_size",
    ][::core::mem::offset_of!(moe_run_event, struct_size) - 0usize];
    [
        "Offset of field: moe_run_event::kind",
    ][::core::mem::offset_of!(moe_run_event, kind) - 4usize];
    [
        "Offset of field: moe_run_event::epoch",
    ][::core::mem::offset_of!(moe_run_event, epoch) - 8usize];
    [
        "Offset of field: moe_run_event::epochs",
    ][::core::mem::offset_of!(moe_run_event, epochs) - 16usize];
    [
        "Offset of field: moe_run_event::step",
    ][::core::mem::offset_of!(moe_run_event, step) - 24usize];
    [
        "Offset of field: moe_run_event::steps",
    ][::core::mem::offset_of!(moe_run_event, steps) - 32usize];
    [
        "Offset of field: moe_run_event::loss",
    ][::core::mem::offset_of!(moe_run_event, loss) - 40usize];
    [
        "Offset of field: moe_run_event::metric",
    ][::core::mem::offset_of!(moe_run_event, metric) - 48usize];
    [
        "Offset of field: moe_run_event::images_per_second",
    ][::core::mem::offset_of!(moe_run_event, images_per_second) - 56usize];
    [
        "Offset of field: moe_run_event::load_seconds",
    ][::core::mem::offset_of!(moe_run_event, load_seconds) - 64usize];
    [
        "Offset of field: moe_run_event::step_seconds",
    ][::core::mem::offset_of!(moe_run_event, step_seconds) - 72usize];
    [
        "Offset of field: moe_run_event::seconds_left",
    ][::core::mem::offset_of!(moe_run_event, seconds_left) - 80usize];
    [
        "Offset of field: moe_run_event::text",
    ][::core::mem::offset_of!(moe_run_event, text) - 88usize];
};
impl Default for moe_run_event {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
unsafe extern "C" {
    pub fn moe_last_error(out: *mut moe_error_info) -> moe_status;
    pub fn moe_status_name(status: moe_status) -> *const ::core::ffi::c_char;
    pub fn moe_version() -> i32;
    pub fn moe_version_string() -> *const ::core::ffi::c_char;
    pub fn moe_abi_version() -> i32;
    pub fn moe_build_info(
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_set_threads(threads: i32) -> moe_status;
    pub fn moe_tensor_view_init(view: *mut moe_tensor_view);
    pub fn moe_config_load(
        path: *const ::core::ffi::c_char,
        out: *mut *mut moe_config,
    ) -> moe_status;
    pub fn moe_config_parse(
        text: *const ::core::ffi::c_char,
        length: usize,
        name: *const ::core::ffi::c_char,
        out: *mut *mut moe_config,
    ) -> moe_status;
    pub fn moe_config_clone(
        config: *const moe_config,
        out: *mut *mut moe_config,
    ) -> moe_status;
    pub fn moe_config_set(
        config: *mut moe_config,
        key: *const ::core::ffi::c_char,
        value: *const ::core::ffi::c_char,
    ) -> moe_status;
    pub fn moe_config_get(
        config: *const moe_config,
        key: *const ::core::ffi::c_char,
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_config_origin(
        config: *const moe_config,
        key: *const ::core::ffi::c_char,
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_config_dump(
        config: *const moe_config,
        flags: i32,
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_config_describe(
        task: *const ::core::ffi::c_char,
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_config_free(config: *mut moe_config);
    pub fn moe_batch_create(out: *mut *mut moe_batch) -> moe_status;
    pub fn moe_batch_set(
        batch: *mut moe_batch,
        name: *const ::core::ffi::c_char,
        view: *const moe_tensor_view,
    ) -> moe_status;
    pub fn moe_batch_bind_dlpack(
        batch: *mut moe_batch,
        name: *const ::core::ffi::c_char,
        tensor: *mut DLManagedTensorVersioned,
    ) -> moe_status;
    pub fn moe_batch_count(batch: *const moe_batch, out: *mut i32) -> moe_status;
    pub fn moe_batch_info_at(
        batch: *const moe_batch,
        index: i32,
        out: *mut moe_tensor_info,
    ) -> moe_status;
    pub fn moe_batch_info(
        batch: *const moe_batch,
        name: *const ::core::ffi::c_char,
        out: *mut moe_tensor_info,
    ) -> moe_status;
    pub fn moe_batch_read(
        batch: *const moe_batch,
        name: *const ::core::ffi::c_char,
        buffer: *mut ::core::ffi::c_void,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_batch_export_dlpack(
        batch: *const moe_batch,
        name: *const ::core::ffi::c_char,
        out: *mut *mut DLManagedTensorVersioned,
    ) -> moe_status;
    pub fn moe_batch_clear(batch: *mut moe_batch) -> moe_status;
    pub fn moe_batch_free(batch: *mut moe_batch);
    pub fn moe_loader_create(
        config: *const moe_config,
        split: *const ::core::ffi::c_char,
        out: *mut *mut moe_loader,
    ) -> moe_status;
    pub fn moe_loader_create_files(
        config: *const moe_config,
        paths: *const *const ::core::ffi::c_char,
        count: usize,
        out: *mut *mut moe_loader,
    ) -> moe_status;
    pub fn moe_loader_next(loader: *mut moe_loader, batch: *mut moe_batch) -> moe_status;
    pub fn moe_loader_set_log(
        loader: *mut moe_loader,
        log_fn: moe_log_fn,
        user: *mut ::core::ffi::c_void,
    ) -> moe_status;
    pub fn moe_loader_size(
        loader: *const moe_loader,
        samples: *mut i64,
        batches: *mut i64,
    ) -> moe_status;
    pub fn moe_loader_file_name(
        loader: *const moe_loader,
        image_id: i64,
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_loader_broken(loader: *const moe_loader, out: *mut i64) -> moe_status;
    pub fn moe_loader_free(loader: *mut moe_loader);
    pub fn moe_data_generate(
        kind: *const ::core::ffi::c_char,
        root: *const ::core::ffi::c_char,
        options: *const moe_generate_options,
    ) -> moe_status;
    pub fn moe_data_check(
        config: *const moe_config,
        list: *const ::core::ffi::c_char,
        log_fn: moe_log_fn,
        user: *mut ::core::ffi::c_void,
        out: *mut moe_data_report,
    ) -> moe_status;
    pub fn moe_session_create(
        config: *const moe_config,
        options: *const moe_session_options,
        out: *mut *mut moe_session,
    ) -> moe_status;
    pub fn moe_session_open(
        path: *const ::core::ffi::c_char,
        options: *const moe_session_options,
        out: *mut *mut moe_session,
    ) -> moe_status;
    pub fn moe_session_config(
        session: *const moe_session,
        out: *mut *mut moe_config,
    ) -> moe_status;
    pub fn moe_session_describe_batch(
        session: *const moe_session,
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_session_feed(
        session: *mut moe_session,
        batch: *const moe_batch,
    ) -> moe_status;
    pub fn moe_step_info_init(info: *mut moe_step_info);
    pub fn moe_session_step(
        session: *mut moe_session,
        out: *mut moe_step_info,
    ) -> moe_status;
    pub fn moe_session_discard(session: *mut moe_session) -> moe_status;
    pub fn moe_session_predict(
        session: *mut moe_session,
        batch: *const moe_batch,
        out: *mut moe_batch,
    ) -> moe_status;
    pub fn moe_session_evaluate(
        session: *mut moe_session,
        loader: *mut moe_loader,
        metrics: *mut moe_metric,
        capacity: usize,
        count: *mut usize,
    ) -> moe_status;
    pub fn moe_coco_evaluate(
        annotations: *const ::core::ffi::c_char,
        detections: *const ::core::ffi::c_char,
        log_fn: moe_log_fn,
        user: *mut ::core::ffi::c_void,
        metrics: *mut moe_metric,
        capacity: usize,
        count: *mut usize,
    ) -> moe_status;
    pub fn moe_session_draw(
        session: *mut moe_session,
        batch: *const moe_batch,
        prediction: *const moe_batch,
        index: i64,
        min_score: f64,
        path: *const ::core::ffi::c_char,
    ) -> moe_status;
    pub fn moe_session_save(
        session: *mut moe_session,
        path: *const ::core::ffi::c_char,
    ) -> moe_status;
    pub fn moe_session_export(
        session: *mut moe_session,
        format: *const ::core::ffi::c_char,
        path: *const ::core::ffi::c_char,
    ) -> moe_status;
    pub fn moe_session_load(
        session: *mut moe_session,
        path: *const ::core::ffi::c_char,
    ) -> moe_status;
    pub fn moe_session_get(
        session: *const moe_session,
        key: *const ::core::ffi::c_char,
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_session_set(
        session: *mut moe_session,
        key: *const ::core::ffi::c_char,
        value: *const ::core::ffi::c_char,
    ) -> moe_status;
    pub fn moe_session_request_stop(session: *mut moe_session) -> moe_status;
    pub fn moe_session_free(session: *mut moe_session);
    pub fn moe_session_layer_count(
        session: *const moe_session,
        out: *mut i32,
    ) -> moe_status;
    pub fn moe_session_layer_info(
        session: *const moe_session,
        layer: i32,
        out: *mut moe_layer_info,
    ) -> moe_status;
    pub fn moe_session_expert_name(
        session: *const moe_session,
        layer: i32,
        expert: i32,
        buffer: *mut ::core::ffi::c_char,
        capacity: usize,
        needed: *mut usize,
    ) -> moe_status;
    pub fn moe_session_expert_stats(
        session: *const moe_session,
        layer: i32,
        window: i32,
        stats: *mut moe_expert_stat,
        capacity: usize,
        count: *mut usize,
    ) -> moe_status;
    pub fn moe_session_layer_stats(
        session: *const moe_session,
        layer: i32,
        window: i32,
        out: *mut moe_layer_stat,
    ) -> moe_status;
    pub fn moe_session_class_routing(
        session: *const moe_session,
        layer: i32,
        window: i32,
        counts: *mut i64,
        capacity: usize,
        count: *mut usize,
    ) -> moe_status;
    pub fn moe_session_coactivation(
        session: *const moe_session,
        layer: i32,
        window: i32,
        counts: *mut i64,
        capacity: usize,
        count: *mut usize,
    ) -> moe_status;
    pub fn moe_session_stats_reset(session: *mut moe_session) -> moe_status;
    pub fn moe_run_open(
        config: *const moe_config,
        dir: *const ::core::ffi::c_char,
        options: *const moe_run_options,
        out: *mut *mut moe_run,
    ) -> moe_status;
    pub fn moe_run_next(run: *mut moe_run, event: *mut moe_run_event) -> moe_status;
    pub fn moe_run_request_stop(run: *mut moe_run) -> moe_status;
    pub fn moe_run_session(run: *mut moe_run, out: *mut *mut moe_session) -> moe_status;
    pub fn moe_run_close(run: *mut moe_run);
}
