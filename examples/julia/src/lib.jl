# moe.h as Julia sees it: constants, structs and functions by their C names, and nothing else. No Julia was at hand when this was
# written: tests/ffi/julia/check.py compares every line of it with the header.

const libmoe = "libmoe.so.0"

const moe_status = Int32
const moe_dtype = Int32
const moe_log_fn = Ptr{Cvoid}

# What the handles point to.
mutable struct moe_config end
mutable struct moe_batch end
mutable struct moe_loader end
mutable struct moe_session end
mutable struct moe_run end
mutable struct DLManagedTensorVersioned end

const MOE_VERSION = Int32(100)
const MOE_ABI = Int32(0)

const MOE_OK = Int32(0)
const MOE_END = Int32(1)
const MOE_ERR_INVALID_ARGUMENT = Int32(2)
const MOE_ERR_OUT_OF_MEMORY = Int32(3)
const MOE_ERR_NOT_FOUND = Int32(4)
const MOE_ERR_IO = Int32(5)
const MOE_ERR_PARSE = Int32(6)
const MOE_ERR_CONFIG = Int32(7)
const MOE_ERR_SHAPE = Int32(8)
const MOE_ERR_DTYPE = Int32(9)
const MOE_ERR_DEVICE = Int32(10)
const MOE_ERR_STATE = Int32(11)
const MOE_ERR_VERSION = Int32(12)
const MOE_ERR_UNSUPPORTED = Int32(13)
const MOE_ERR_CANCELLED = Int32(14)
const MOE_ERR_BUFFER_TOO_SMALL = Int32(15)
const MOE_ERR_NUMERIC = Int32(16)
const MOE_ERR_DATA = Int32(17)
const MOE_ERR_INTERNAL = Int32(18)

const MOE_I8 = Int32(0x0800)
const MOE_I16 = Int32(0x1000)
const MOE_I32 = Int32(0x2000)
const MOE_I64 = Int32(0x4000)
const MOE_U8 = Int32(0x0801)
const MOE_F16 = Int32(0x1002)
const MOE_F32 = Int32(0x2002)
const MOE_F64 = Int32(0x4002)
const MOE_BF16 = Int32(0x1004)
const MOE_BOOL = Int32(0x0806)

const MOE_DEVICE_CPU = Int32(1)
const MOE_DEVICE_CUDA = Int32(2)

const MOE_MAX_DIMS = Int32(8)

const MOE_DUMP_VALUES = Int32(0)
const MOE_DUMP_ORIGINS = Int32(1)

const MOE_LOG_DEBUG = Int32(0)
const MOE_LOG_INFO = Int32(1)
const MOE_LOG_WARNING = Int32(2)
const MOE_LOG_ERROR = Int32(3)

const MOE_WINDOW_LAST_STEP = Int32(0)
const MOE_WINDOW_SINCE_RESET = Int32(1)
const MOE_WINDOW_LIFETIME = Int32(2)
const MOE_WINDOW_LAST_EVAL = Int32(3)

const MOE_RUN_AUTO = Int32(0)
const MOE_RUN_NEW = Int32(1)
const MOE_RUN_RESUME = Int32(2)

const MOE_EVENT_STEP = Int32(1)
const MOE_EVENT_EPOCH = Int32(2)
const MOE_EVENT_EVAL = Int32(3)
const MOE_EVENT_CHECKPOINT = Int32(4)
const MOE_EVENT_DONE = Int32(5)

struct moe_error_info
    struct_size::UInt32
    status::moe_status
    line::Int32
    column::Int32
    text::NTuple{1024,UInt8}
end

struct moe_tensor_view
    struct_size::UInt32
    dtype::moe_dtype
    device_type::Int32
    device_index::Int32
    ndim::Int32
    reserved::Int32
    data::Ptr{Cvoid}
    shape::Ptr{Int64}
    strides::Ptr{Int64}
    byte_offset::UInt64
end

struct moe_tensor_info
    struct_size::UInt32
    dtype::moe_dtype
    ndim::Int32
    reserved::Int32
    shape::NTuple{8,Int64}
    bytes::UInt64
    name::NTuple{64,UInt8}
end

struct moe_generate_options
    struct_size::UInt32
    train_images::Int32
    val_images::Int32
    width::Int32
    height::Int32
    threads::Int32
    seed::UInt64
    log_fn::moe_log_fn
    log_user::Ptr{Cvoid}
end

struct moe_data_report
    struct_size::UInt32
    reserved::Int32
    pictures::Int64
    objects::Int64
    problems::Int64
    excluded::Int64
end

struct moe_session_options
    struct_size::UInt32
    reserved::Int32
    log_fn::moe_log_fn
    log_user::Ptr{Cvoid}
end

struct moe_step_info
    struct_size::UInt32
    micro_batches::Int32
    step::Int64
    samples::Int64
    loss::Float64
    grad_norm::Float64
    lr::Float64
    seconds::Float64
    skipped::Int32
    loss_count::Int32
    loss_name::NTuple{16,NTuple{32,UInt8}}
    loss_value::NTuple{16,Float64}
end

struct moe_metric
    name::NTuple{64,UInt8}
    value::Float64
end

struct moe_layer_info
    struct_size::UInt32
    experts::Int32
    top_k::Int32
    classes::Int32
    name::NTuple{64,UInt8}
    kind::NTuple{32,UInt8}
    unit::NTuple{16,UInt8}
end

struct moe_expert_stat
    tokens::Int64
    computed::Int64
    dropped::Int64
    share::Float64
    activation_rate::Float64
    gate_mean::Float64
    importance::Float64
end

struct moe_layer_stat
    struct_size::UInt32
    dead_experts::Int32
    tokens::Int64
    assignments::Int64
    token_entropy::Float64
    marginal_entropy::Float64
    load_cv::Float64
    max_violation::Float64
    dropped::Int64
    unrouted::Int64
    mutual_information::Float64
    gini::Float64
    dominant_share::Float64
    confidence::Float64
    margin::Float64
    class_nmi::Float64
end

struct moe_run_options
    struct_size::UInt32
    mode::Int32
    log_fn::moe_log_fn
    log_user::Ptr{Cvoid}
end

struct moe_run_event
    struct_size::UInt32
    kind::Int32
    epoch::Int64
    epochs::Int64
    step::Int64
    steps::Int64
    loss::Float64
    metric::Float64
    images_per_second::Float64
    load_seconds::Float64
    step_seconds::Float64
    seconds_left::Float64
    text::NTuple{512,UInt8}
end

moe_last_error(out) = @ccall libmoe.moe_last_error(out::Ref{moe_error_info})::moe_status
moe_status_name(status) = @ccall libmoe.moe_status_name(status::moe_status)::Cstring
moe_version() = @ccall libmoe.moe_version()::Int32
moe_version_string() = @ccall libmoe.moe_version_string()::Cstring
moe_abi_version() = @ccall libmoe.moe_abi_version()::Int32
moe_build_info(buffer, capacity, needed) =
    @ccall libmoe.moe_build_info(buffer::Ptr{UInt8}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_set_threads(threads) = @ccall libmoe.moe_set_threads(threads::Int32)::moe_status
moe_tensor_view_init(view) = @ccall libmoe.moe_tensor_view_init(view::Ref{moe_tensor_view})::Cvoid
moe_config_load(path, out) = @ccall libmoe.moe_config_load(path::Cstring, out::Ref{Ptr{moe_config}})::moe_status
moe_config_parse(text, length, name, out) =
    @ccall libmoe.moe_config_parse(text::Ptr{UInt8}, length::Csize_t, name::Cstring, out::Ref{Ptr{moe_config}})::moe_status
moe_config_clone(config, out) = @ccall libmoe.moe_config_clone(config::Ptr{moe_config}, out::Ref{Ptr{moe_config}})::moe_status
moe_config_set(config, key, value) = @ccall libmoe.moe_config_set(config::Ptr{moe_config}, key::Cstring, value::Cstring)::moe_status
moe_config_get(config, key, buffer, capacity, needed) =
    @ccall libmoe.moe_config_get(
        config::Ptr{moe_config}, key::Cstring, buffer::Ptr{UInt8}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_config_origin(config, key, buffer, capacity, needed) =
    @ccall libmoe.moe_config_origin(
        config::Ptr{moe_config}, key::Cstring, buffer::Ptr{UInt8}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_config_dump(config, flags, buffer, capacity, needed) =
    @ccall libmoe.moe_config_dump(
        config::Ptr{moe_config}, flags::Int32, buffer::Ptr{UInt8}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_config_describe(task, buffer, capacity, needed) =
    @ccall libmoe.moe_config_describe(task::Cstring, buffer::Ptr{UInt8}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_config_free(config) = @ccall libmoe.moe_config_free(config::Ptr{moe_config})::Cvoid
moe_batch_create(out) = @ccall libmoe.moe_batch_create(out::Ref{Ptr{moe_batch}})::moe_status
moe_batch_set(batch, name, view) =
    @ccall libmoe.moe_batch_set(batch::Ptr{moe_batch}, name::Cstring, view::Ref{moe_tensor_view})::moe_status
moe_batch_bind_dlpack(batch, name, tensor) =
    @ccall libmoe.moe_batch_bind_dlpack(batch::Ptr{moe_batch}, name::Cstring, tensor::Ptr{DLManagedTensorVersioned})::moe_status
moe_batch_count(batch, out) = @ccall libmoe.moe_batch_count(batch::Ptr{moe_batch}, out::Ref{Int32})::moe_status
moe_batch_info_at(batch, index, out) =
    @ccall libmoe.moe_batch_info_at(batch::Ptr{moe_batch}, index::Int32, out::Ref{moe_tensor_info})::moe_status
moe_batch_info(batch, name, out) =
    @ccall libmoe.moe_batch_info(batch::Ptr{moe_batch}, name::Cstring, out::Ref{moe_tensor_info})::moe_status
moe_batch_read(batch, name, buffer, capacity, needed) =
    @ccall libmoe.moe_batch_read(
        batch::Ptr{moe_batch}, name::Cstring, buffer::Ptr{Cvoid}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_batch_export_dlpack(batch, name, out) =
    @ccall libmoe.moe_batch_export_dlpack(batch::Ptr{moe_batch}, name::Cstring, out::Ref{Ptr{DLManagedTensorVersioned}})::moe_status
moe_batch_clear(batch) = @ccall libmoe.moe_batch_clear(batch::Ptr{moe_batch})::moe_status
moe_batch_free(batch) = @ccall libmoe.moe_batch_free(batch::Ptr{moe_batch})::Cvoid
moe_loader_create(config, split, out) =
    @ccall libmoe.moe_loader_create(config::Ptr{moe_config}, split::Cstring, out::Ref{Ptr{moe_loader}})::moe_status
moe_loader_create_files(config, paths, count, out) =
    @ccall libmoe.moe_loader_create_files(
        config::Ptr{moe_config}, paths::Ptr{Cstring}, count::Csize_t, out::Ref{Ptr{moe_loader}})::moe_status
moe_loader_next(loader, batch) = @ccall libmoe.moe_loader_next(loader::Ptr{moe_loader}, batch::Ptr{moe_batch})::moe_status
moe_loader_set_log(loader, log_fn, user) =
    @ccall libmoe.moe_loader_set_log(loader::Ptr{moe_loader}, log_fn::moe_log_fn, user::Ptr{Cvoid})::moe_status
moe_loader_size(loader, samples, batches) =
    @ccall libmoe.moe_loader_size(loader::Ptr{moe_loader}, samples::Ref{Int64}, batches::Ref{Int64})::moe_status
moe_loader_file_name(loader, image_id, buffer, capacity, needed) =
    @ccall libmoe.moe_loader_file_name(
        loader::Ptr{moe_loader}, image_id::Int64, buffer::Ptr{UInt8}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_loader_broken(loader, out) = @ccall libmoe.moe_loader_broken(loader::Ptr{moe_loader}, out::Ref{Int64})::moe_status
moe_loader_free(loader) = @ccall libmoe.moe_loader_free(loader::Ptr{moe_loader})::Cvoid
moe_data_generate(kind, root, options) =
    @ccall libmoe.moe_data_generate(kind::Cstring, root::Cstring, options::Ref{moe_generate_options})::moe_status
moe_data_check(config, list, log_fn, user, out) =
    @ccall libmoe.moe_data_check(
        config::Ptr{moe_config}, list::Cstring, log_fn::moe_log_fn, user::Ptr{Cvoid}, out::Ref{moe_data_report})::moe_status
moe_session_create(config, options, out) =
    @ccall libmoe.moe_session_create(
        config::Ptr{moe_config}, options::Ref{moe_session_options}, out::Ref{Ptr{moe_session}})::moe_status
moe_session_open(path, options, out) =
    @ccall libmoe.moe_session_open(path::Cstring, options::Ref{moe_session_options}, out::Ref{Ptr{moe_session}})::moe_status
moe_session_config(session, out) =
    @ccall libmoe.moe_session_config(session::Ptr{moe_session}, out::Ref{Ptr{moe_config}})::moe_status
moe_session_describe_batch(session, buffer, capacity, needed) =
    @ccall libmoe.moe_session_describe_batch(
        session::Ptr{moe_session}, buffer::Ptr{UInt8}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_session_feed(session, batch) = @ccall libmoe.moe_session_feed(session::Ptr{moe_session}, batch::Ptr{moe_batch})::moe_status
moe_step_info_init(info) = @ccall libmoe.moe_step_info_init(info::Ref{moe_step_info})::Cvoid
moe_session_step(session, out) = @ccall libmoe.moe_session_step(session::Ptr{moe_session}, out::Ref{moe_step_info})::moe_status
moe_session_discard(session) = @ccall libmoe.moe_session_discard(session::Ptr{moe_session})::moe_status
moe_session_predict(session, batch, out) =
    @ccall libmoe.moe_session_predict(session::Ptr{moe_session}, batch::Ptr{moe_batch}, out::Ptr{moe_batch})::moe_status
moe_session_evaluate(session, loader, metrics, capacity, count) =
    @ccall libmoe.moe_session_evaluate(
        session::Ptr{moe_session}, loader::Ptr{moe_loader}, metrics::Ptr{moe_metric}, capacity::Csize_t,
        count::Ref{Csize_t})::moe_status
moe_coco_evaluate(annotations, detections, log_fn, user, metrics, capacity, count) =
    @ccall libmoe.moe_coco_evaluate(
        annotations::Cstring, detections::Cstring, log_fn::moe_log_fn, user::Ptr{Cvoid}, metrics::Ptr{moe_metric},
        capacity::Csize_t, count::Ref{Csize_t})::moe_status
moe_session_draw(session, batch, prediction, index, min_score, path) =
    @ccall libmoe.moe_session_draw(
        session::Ptr{moe_session}, batch::Ptr{moe_batch}, prediction::Ptr{moe_batch}, index::Int64,
        min_score::Float64, path::Cstring)::moe_status
moe_session_save(session, path) = @ccall libmoe.moe_session_save(session::Ptr{moe_session}, path::Cstring)::moe_status
moe_session_export(session, format, path) =
    @ccall libmoe.moe_session_export(session::Ptr{moe_session}, format::Cstring, path::Cstring)::moe_status
moe_session_load(session, path) = @ccall libmoe.moe_session_load(session::Ptr{moe_session}, path::Cstring)::moe_status
moe_session_get(session, key, buffer, capacity, needed) =
    @ccall libmoe.moe_session_get(
        session::Ptr{moe_session}, key::Cstring, buffer::Ptr{UInt8}, capacity::Csize_t, needed::Ref{Csize_t})::moe_status
moe_session_set(session, key, value) =
    @ccall libmoe.moe_session_set(session::Ptr{moe_session}, key::Cstring, value::Cstring)::moe_status
moe_session_request_stop(session) = @ccall libmoe.moe_session_request_stop(session::Ptr{moe_session})::moe_status
moe_session_free(session) = @ccall libmoe.moe_session_free(session::Ptr{moe_session})::Cvoid
moe_session_layer_count(session, out) =
    @ccall libmoe.moe_session_layer_count(session::Ptr{moe_session}, out::Ref{Int32})::moe_status
moe_session_layer_info(session, layer, out) =
    @ccall libmoe.moe_session_layer_info(session::Ptr{moe_session}, layer::Int32, out::Ref{moe_layer_info})::moe_status
moe_session_expert_name(session, layer, expert, buffer, capacity, needed) =
    @ccall libmoe.moe_session_expert_name(
        session::Ptr{moe_session}, layer::Int32, expert::Int32, buffer::Ptr{UInt8}, capacity::Csize_t,
        needed::Ref{Csize_t})::moe_status
moe_session_expert_stats(session, layer, window, stats, capacity, count) =
    @ccall libmoe.moe_session_expert_stats(
        session::Ptr{moe_session}, layer::Int32, window::Int32, stats::Ptr{moe_expert_stat}, capacity::Csize_t,
        count::Ref{Csize_t})::moe_status
moe_session_layer_stats(session, layer, window, out) =
    @ccall libmoe.moe_session_layer_stats(
        session::Ptr{moe_session}, layer::Int32, window::Int32, out::Ref{moe_layer_stat})::moe_status
moe_session_class_routing(session, layer, window, counts, capacity, count) =
    @ccall libmoe.moe_session_class_routing(
        session::Ptr{moe_session}, layer::Int32, window::Int32, counts::Ptr{Int64}, capacity::Csize_t,
        count::Ref{Csize_t})::moe_status
moe_session_coactivation(session, layer, window, counts, capacity, count) =
    @ccall libmoe.moe_session_coactivation(
        session::Ptr{moe_session}, layer::Int32, window::Int32, counts::Ptr{Int64}, capacity::Csize_t,
        count::Ref{Csize_t})::moe_status
moe_session_stats_reset(session) = @ccall libmoe.moe_session_stats_reset(session::Ptr{moe_session})::moe_status
moe_run_open(config, dir, options, out) =
    @ccall libmoe.moe_run_open(
        config::Ptr{moe_config}, dir::Cstring, options::Ref{moe_run_options}, out::Ref{Ptr{moe_run}})::moe_status
moe_run_next(run, event) = @ccall libmoe.moe_run_next(run::Ptr{moe_run}, event::Ref{moe_run_event})::moe_status
moe_run_request_stop(run) = @ccall libmoe.moe_run_request_stop(run::Ptr{moe_run})::moe_status
moe_run_session(run, out) = @ccall libmoe.moe_run_session(run::Ptr{moe_run}, out::Ref{Ptr{moe_session}})::moe_status
moe_run_close(run) = @ccall libmoe.moe_run_close(run::Ptr{moe_run})::Cvoid
