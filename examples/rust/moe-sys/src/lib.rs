//! Raw declarations of libmoe, a library that trains mixture-of-experts models. Its header `moe.h` is the manual; the
//! crate `moe` is the safe layer for programs.
//!
//! The declarations are written by bindgen from that header: `cargo run -p moe-sys-bindgen` in this workspace writes them
//! anew, and the tests fail when header and declarations differ. Sizes and offsets of all structs are checked whenever
//! this crate is compiled.
//!
//! A struct that begins with `struct_size` is made by its function `sized()`.
#![no_std]

#[allow(missing_docs, non_camel_case_types, clippy::all, clippy::undocumented_unsafe_blocks)]
#[rustfmt::skip]
mod bindings;

pub use bindings::*;

macro_rules! sized {
    ($($name:ident),* $(,)?) => {$(
        impl $name {
            /// Every field 0, `struct_size` set.
            pub fn sized() -> Self {
                Self { struct_size: size_of::<Self>() as u32, ..Self::default() }
            }
        }
    )*};
}

sized!(
    moe_data_report,
    moe_error_info,
    moe_generate_options,
    moe_layer_info,
    moe_layer_stat,
    moe_run_event,
    moe_run_options,
    moe_session_options,
    moe_step_info,
    moe_tensor_info,
    moe_tensor_view,
);
