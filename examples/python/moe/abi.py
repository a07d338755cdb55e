"""The binary interface of libmoe as ctypes sees it: constants, structs and functions of moe.h under their C names.

Nothing is added here; what a function does is written in moe.h. `tests/ffi/python/test_header.py` compares every
declaration with that header.
"""
import ctypes
import enum
from ctypes import POINTER, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

VERSION = 100  # MOE_VERSION of the header: major * 10000 + minor * 100 + patch
ABI = 0        # MOE_ABI
MAX_DIMS = 8   # MOE_MAX_DIMS


class Status(enum.IntEnum):
    OK = 0
    END = 1
    ERR_INVALID_ARGUMENT = 2
    ERR_OUT_OF_MEMORY = 3
    ERR_NOT_FOUND = 4
    ERR_IO = 5
    ERR_PARSE = 6
    ERR_CONFIG = 7
    ERR_SHAPE = 8
    ERR_DTYPE = 9
    ERR_DEVICE = 10
    ERR_STATE = 11
    ERR_VERSION = 12
    ERR_UNSUPPORTED = 13
    ERR_CANCELLED = 14
    ERR_BUFFER_TOO_SMALL = 15
    ERR_NUMERIC = 16
    ERR_DATA = 17
    ERR_INTERNAL = 18


class Dtype(enum.IntEnum):
    """Element types: DLPack's type code in the low byte, bits per element in the next."""
    I8 = 0x0800
    I16 = 0x1000
    I32 = 0x2000
    I64 = 0x4000
    U8 = 0x0801
    F16 = 0x1002
    F32 = 0x2002
    F64 = 0x4002
    BF16 = 0x1004
    BOOL = 0x0806


class Device(enum.IntEnum):
    CPU = 1
    CUDA = 2


class Dump(enum.IntEnum):
    VALUES = 0
    ORIGINS = 1


class LogLevel(enum.IntEnum):
    DEBUG = 0
    INFO = 1
    WARNING = 2
    ERROR = 3


class Window(enum.IntEnum):
    """Which part of a training the numbers of the experts are about."""
    LAST_STEP = 0
    SINCE_RESET = 1
    LIFETIME = 2
    LAST_EVAL = 3


class Mode(enum.IntEnum):
    """What to do with the folder of a run: make or resume it, only make it, only resume it."""
    AUTO = 0
    NEW = 1
    RESUME = 2


class EventKind(enum.IntEnum):
    STEP = 1
    EPOCH = 2
    EVAL = 3
    CHECKPOINT = 4
    DONE = 5


def known(enumeration, number):
    """The constant of that number; the number itself where a newer library has more of them."""
    return next((constant for constant in enumeration if constant == number), number)


# Prefix in moe.h of each enumeration; Status and Dtype have none of their own.
ENUMS = {"MOE_DEVICE_": Device, "MOE_DUMP_": Dump, "MOE_LOG_": LogLevel, "MOE_WINDOW_": Window, "MOE_RUN_": Mode,
         "MOE_EVENT_": EventKind, "MOE_": (Status, Dtype)}


class Sized(ctypes.Structure):
    """A struct that begins with struct_size, which is set here as its _INIT macro does."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


moe_log_fn = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)


class moe_error_info(Sized):
    _fields_ = [("struct_size", c_uint32), ("status", c_int32), ("line", c_int32), ("column", c_int32),
                ("text", c_char * 1024)]


class moe_tensor_view(Sized):
    _fields_ = [("struct_size", c_uint32), ("dtype", c_int32), ("device_type", c_int32), ("device_index", c_int32),
                ("ndim", c_int32), ("reserved", c_int32), ("data", c_void_p), ("shape", POINTER(c_int64)),
                ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class moe_tensor_info(Sized):
    _fields_ = [("struct_size", c_uint32), ("dtype", c_int32), ("ndim", c_int32), ("reserved", c_int32),
                ("shape", c_int64 * 8), ("bytes", c_uint64), ("name", c_char * 64)]


class moe_generate_options(Sized):
    _fields_ = [("struct_size", c_uint32), ("train_images", c_int32), ("val_images", c_int32), ("width", c_int32),
                ("height", c_int32), ("threads", c_int32), ("seed", c_uint64), ("log_fn", moe_log_fn),
                ("log_user", c_void_p)]


class moe_data_report(Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_int32), ("pictures", c_int64), ("objects", c_int64),
                ("problems", c_int64), ("excluded", c_int64)]


class moe_session_options(Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_int32), ("log_fn", moe_log_fn), ("log_user", c_void_p)]


class moe_step_info(Sized):
    _fields_ = [("struct_size", c_uint32), ("micro_batches", c_int32), ("step", c_int64), ("samples", c_int64),
                ("loss", c_double), ("grad_norm", c_double), ("lr", c_double), ("seconds", c_double),
                ("skipped", c_int32), ("loss_count", c_int32), ("loss_name", (c_char * 32) * 16),
                ("loss_value", c_double * 16)]


class moe_metric(ctypes.Structure):
    _fields_ = [("name", c_char * 64), ("value", c_double)]


class moe_layer_info(Sized):
    _fields_ = [("struct_size", c_uint32), ("experts", c_int32), ("top_k", c_int32), ("classes", c_int32),
                ("name", c_char * 64), ("kind", c_char * 32), ("unit", c_char * 16)]


class moe_expert_stat(ctypes.Structure):
    _fields_ = [("tokens", c_int64), ("computed", c_int64), ("dropped", c_int64), ("share", c_double),
                ("activation_rate", c_double), ("gate_mean", c_double), ("importance", c_double)]


class moe_layer_stat(Sized):
    _fields_ = [("struct_size", c_uint32), ("dead_experts", c_int32), ("tokens", c_int64), ("assignments", c_int64),
                ("token_entropy", c_double), ("marginal_entropy", c_double), ("load_cv", c_double),
                ("max_violation", c_double), ("dropped", c_int64), ("unrouted", c_int64),
                ("mutual_information", c_double), ("gini", c_double), ("dominant_share", c_double),
                ("confidence", c_double), ("margin", c_double), ("class_nmi", c_double)]


class moe_run_options(Sized):
    _fields_ = [("struct_size", c_uint32), ("mode", c_int32), ("log_fn", moe_log_fn), ("log_user", c_void_p)]


class moe_run_event(Sized):
    _fields_ = [("struct_size", c_uint32), ("kind", c_int32), ("epoch", c_int64), ("epochs", c_int64),
                ("step", c_int64), ("steps", c_int64), ("loss", c_double), ("metric", c_double),
                ("images_per_second", c_double), ("load_seconds", c_double), ("step_seconds", c_double),
                ("seconds_left", c_double), ("text", c_char * 512)]


STRUCTS = [moe_error_info, moe_tensor_view, moe_tensor_info, moe_generate_options, moe_data_report, moe_session_options,
           moe_step_info, moe_metric, moe_layer_info, moe_expert_stat, moe_layer_stat, moe_run_options, moe_run_event]

# Function: (result, parameters). A handle, and a pointer to a struct of DLPack, is c_void_p.
_status = c_int32
_handle, _out = c_void_p, POINTER(c_void_p)
_text = (c_char_p, c_size_t, POINTER(c_size_t))  # buffer, capacity, needed

FUNCTIONS = {
    "moe_last_error": (_status, [POINTER(moe_error_info)]),
    "moe_status_name": (c_char_p, [c_int32]),
    "moe_version": (c_int32, []),
    "moe_version_string": (c_char_p, []),
    "moe_abi_version": (c_int32, []),
    "moe_build_info": (_status, [*_text]),
    "moe_set_threads": (_status, [c_int32]),
    "moe_tensor_view_init": (None, [POINTER(moe_tensor_view)]),
    "moe_config_load": (_status, [c_char_p, _out]),
    "moe_config_parse": (_status, [c_char_p, c_size_t, c_char_p, _out]),
    "moe_config_clone": (_status, [_handle, _out]),
    "moe_config_set": (_status, [_handle, c_char_p, c_char_p]),
    "moe_config_get": (_status, [_handle, c_char_p, *_text]),
    "moe_config_origin": (_status, [_handle, c_char_p, *_text]),
    "moe_config_dump": (_status, [_handle, c_int32, *_text]),
    "moe_config_describe": (_status, [c_char_p, *_text]),
    "moe_config_free": (None, [_handle]),
    "moe_batch_create": (_status, [_out]),
    "moe_batch_set": (_status, [_handle, c_char_p, POINTER(moe_tensor_view)]),
    "moe_batch_bind_dlpack": (_status, [_handle, c_char_p, c_void_p]),
    "moe_batch_count": (_status, [_handle, POINTER(c_int32)]),
    "moe_batch_info_at": (_status, [_handle, c_int32, POINTER(moe_tensor_info)]),
    "moe_batch_info": (_status, [_handle, c_char_p, POINTER(moe_tensor_info)]),
    "moe_batch_read": (_status, [_handle, c_char_p, c_void_p, c_size_t, POINTER(c_size_t)]),
    "moe_batch_export_dlpack": (_status, [_handle, c_char_p, _out]),
    "moe_batch_clear": (_status, [_handle]),
    "moe_batch_free": (None, [_handle]),
    "moe_loader_create": (_status, [_handle, c_char_p, _out]),
    "moe_loader_create_files": (_status, [_handle, POINTER(c_char_p), c_size_t, _out]),
    "moe_loader_next": (_status, [_handle, _handle]),
    "moe_loader_set_log": (_status, [_handle, moe_log_fn, c_void_p]),
    "moe_loader_size": (_status, [_handle, POINTER(c_int64), POINTER(c_int64)]),
    "moe_loader_file_name": (_status, [_handle, c_int64, *_text]),
    "moe_loader_broken": (_status, [_handle, POINTER(c_int64)]),
    "moe_loader_free": (None, [_handle]),
    "moe_data_generate": (_status, [c_char_p, c_char_p, POINTER(moe_generate_options)]),
    "moe_data_check": (_status, [_handle, c_char_p, moe_log_fn, c_void_p, POINTER(moe_data_report)]),
    "moe_session_create": (_status, [_handle, POINTER(moe_session_options), _out]),
    "moe_session_open": (_status, [c_char_p, POINTER(moe_session_options), _out]),
    "moe_session_config": (_status, [_handle, _out]),
    "moe_session_describe_batch": (_status, [_handle, *_text]),
    "moe_session_feed": (_status, [_handle, _handle]),
    "moe_step_info_init": (None, [POINTER(moe_step_info)]),
    "moe_session_step": (_status, [_handle, POINTER(moe_step_info)]),
    "moe_session_discard": (_status, [_handle]),
    "moe_session_predict": (_status, [_handle, _handle, _handle]),
    "moe_session_evaluate": (_status, [_handle, _handle, POINTER(moe_metric), c_size_t, POINTER(c_size_t)]),
    "moe_coco_evaluate": (_status, [c_char_p, c_char_p, moe_log_fn, c_void_p, POINTER(moe_metric), c_size_t,
                                    POINTER(c_size_t)]),
    "moe_session_draw": (_status, [_handle, _handle, _handle, c_int64, c_double, c_char_p]),
    "moe_session_save": (_status, [_handle, c_char_p]),
    "moe_session_load": (_status, [_handle, c_char_p]),
    "moe_session_export": (_status, [_handle, c_char_p, c_char_p]),
    "moe_session_get": (_status, [_handle, c_char_p, *_text]),
    "moe_session_set": (_status, [_handle, c_char_p, c_char_p]),
    "moe_session_request_stop": (_status, [_handle]),
    "moe_session_free": (None, [_handle]),
    "moe_session_layer_count": (_status, [_handle, POINTER(c_int32)]),
    "moe_session_layer_info": (_status, [_handle, c_int32, POINTER(moe_layer_info)]),
    "moe_session_expert_name": (_status, [_handle, c_int32, c_int32, *_text]),
    "moe_session_expert_stats": (_status, [_handle, c_int32, c_int32, POINTER(moe_expert_stat), c_size_t,
                                           POINTER(c_size_t)]),
    "moe_session_layer_stats": (_status, [_handle, c_int32, c_int32, POINTER(moe_layer_stat)]),
    "moe_session_class_routing": (_status, [_handle, c_int32, c_int32, POINTER(c_int64), c_size_t, POINTER(c_size_t)]),
    "moe_session_coactivation": (_status, [_handle, c_int32, c_int32, POINTER(c_int64), c_size_t, POINTER(c_size_t)]),
    "moe_session_stats_reset": (_status, [_handle]),
    "moe_run_open": (_status, [_handle, c_char_p, POINTER(moe_run_options), _out]),
    "moe_run_next": (_status, [_handle, POINTER(moe_run_event)]),
    "moe_run_request_stop": (_status, [_handle]),
    "moe_run_session": (_status, [_handle, _out]),
    "moe_run_close": (None, [_handle]),
}
