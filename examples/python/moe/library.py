"""Finds and loads libmoe, checks that it fits these declarations, and makes every status above MOE_END an exception.

MOE_LIBRARY names the file; without it the system's loader looks for the installed name, as for any program. Loading
happens once, at `import moe`; whatever is wrong is an ImportError of one line.
"""
import ctypes
import json
import os
import sys

from . import abi
from .errors import Error, make_error

INSTALLED_NAME = f"libmoe.so.{abi.ABI}"


def _open(path):
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        beside = f" (this process has imported torch {_foreign_torch()})" if _foreign_torch() else ""
        raise ImportError(f"moe: expected the shared library {path}, got: {error}{beside}; "
                          "install libmoe or set MOE_LIBRARY to its file", name="moe", path=path) from None


def _foreign_torch():
    """Version of a PyTorch that this process has imported, without its local part; None when there is none."""
    torch = sys.modules.get("torch")
    return str(torch.__version__).split("+")[0] if hasattr(torch, "__version__") else None


def _number(library, function, path):
    """The result of moe_version or moe_abi_version, which every libmoe has."""
    if not hasattr(library, function):
        raise ImportError(f"moe: expected libmoe in {path}, got a library without {function}()", name="moe", path=path)
    return getattr(library, function)()


def _check_versions(library, path):
    got = _number(library, "moe_abi_version", path)
    if got != abi.ABI:
        raise ImportError(f"moe: expected binary interface {abi.ABI}, got {got} from {path}", name="moe", path=path)
    got = _number(library, "moe_version", path)
    if got < abi.VERSION:
        raise ImportError(f"moe: expected libmoe {_dotted(abi.VERSION)} or newer, got {_dotted(got)} from {path}",
                          name="moe", path=path)


def _dotted(version):
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def _declare(library, path):
    for name, (result, parameters) in abi.FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"moe: expected the function {name}, which {path} lacks", name="moe", path=path) from None
        function.restype, function.argtypes = result, parameters
        if result is ctypes.c_int32 and name not in ("moe_version", "moe_abi_version", "moe_last_error"):
            function.errcheck = _raise_error


def _raise_error(status, function, arguments):
    """Runs in the thread of the call, right after it: the library keeps the last error for each thread."""
    if status > abi.Status.END:
        info = abi.moe_error_info()
        library.moe_last_error(ctypes.byref(info))
        raise make_error(info)
    return status


def _check_torch(library, path):
    """Two versions of LibTorch in one process share symbols: what libmoe then computes is anybody's guess."""
    imported = _foreign_torch()
    if imported is None:
        return
    try:
        built = json.loads(text_of(library.moe_build_info))["torch"].split("+")[0]
    except Error as error:  # it has found the other LibTorch itself
        raise ImportError(f"moe: expected a library that works beside torch {imported}, got from {path}: {error}",
                          name="moe", path=path) from None
    if built != imported:
        raise ImportError(f"moe: expected torch {built}, which {path} is built with, got {imported} imported in this "
                          "process; use them in separate processes", name="moe", path=path)


def text_of(function, *arguments):
    """The text that a function writes into (buffer, capacity, needed), its last three parameters."""
    needed = ctypes.c_size_t()
    function(*arguments, None, 0, ctypes.byref(needed))
    buffer = ctypes.create_string_buffer(needed.value)
    function(*arguments, buffer, len(buffer), None)
    return buffer.value.decode()


def utf8(value):
    """A str, path or bytes as the C text that the library takes; None stays None."""
    if value is None:
        return None
    text = os.fsencode(value)
    if b"\0" in text:
        raise ValueError(f"expected text without a NUL character, got {value!r}")
    return text


def _load():
    path = os.environ.get("MOE_LIBRARY") or INSTALLED_NAME
    found = _open(path)
    _check_versions(found, path)
    _declare(found, path)
    return found, path


library, path = _load()
_check_torch(library, path)
