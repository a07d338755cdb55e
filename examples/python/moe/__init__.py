"""libmoe from Python: train mixture-of-experts models through ctypes, without a build step.

    import moe
    config = moe.Config("configs/rtdetr/synthetic.yml")
    config["train.epochs"] = 5
    with moe.Run(config, "runs/first") as run:   # new, or resumes what is there
        for event in run:
            print(event.text)

A program with its own data and loop uses a Session: feed() arrays, step(), expert_stats(). docs/python.md is the guide,
moe.h the manual of every number and setting. Importing needs the library (MOE_LIBRARY names its file); arrays need NumPy.
"""
import json as _json

from . import library as _library
from .abi import Device, Dtype, EventKind, LogLevel, Mode, Status, Window
from .batch import Batch, Tensor, TensorInfo
from .config import Config, describe_settings
from .errors import (BufferTooSmallError, CancelledError, ConfigError, DataError, DeviceError, DtypeError, Error,
                     InternalError, InvalidArgumentError, IoError, NotFoundError, NumericError, OutOfMemoryError,
                     ParseError, ShapeError, StateError, UnsupportedError, VersionError)
from .loader import Loader, check_data, generate_data
from .records import DataReport, Event, ExpertStat, LayerInfo, LayerStat, StepInfo
from .run import Run
from .session import Session, coco_evaluate

__version__ = _library.library.moe_version_string().decode()


def build_info():
    """Facts about the loaded library: version, abi, torch, threads, cuda, gemm, compiler, tasks, libraries."""
    return _json.loads(_library.text_of(_library.library.moe_build_info))


def set_threads(threads):
    """Threads of the library's loops and products, for the whole process; set it before the first session."""
    _library.library.moe_set_threads(threads)
