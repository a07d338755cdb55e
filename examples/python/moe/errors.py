"""Statuses of libmoe as exceptions: one class for each, named after it, which is also the built-in that fits.

    Error                      .status, .text (one line), .line and .column of a file (0: none)
      InvalidArgumentError     ValueError
      OutOfMemoryError         MemoryError
      NotFoundError            FileNotFoundError, KeyError: a file, key or name does not exist
      IoError                  OSError
      ParseError, ConfigError, ShapeError, DataError   ValueError
      DtypeError               TypeError
      UnsupportedError         NotImplementedError
      NumericError             ArithmeticError
      DeviceError, StateError, VersionError, CancelledError, BufferTooSmallError, InternalError   RuntimeError
"""
from .abi import Status


class Error(Exception):
    """An error of libmoe: what was expected, what came, and where, in one line."""
    status = None

    def __init__(self, text, line=0, column=0):
        super().__init__(text)
        self.text, self.line, self.column = text, line, column

    def __str__(self):  # KeyError would show the quoted form
        return self.text


class InvalidArgumentError(Error, ValueError):
    status = Status.ERR_INVALID_ARGUMENT


class OutOfMemoryError(Error, MemoryError):
    status = Status.ERR_OUT_OF_MEMORY


class NotFoundError(Error, FileNotFoundError, KeyError):
    status = Status.ERR_NOT_FOUND


class IoError(Error, OSError):
    status = Status.ERR_IO


class ParseError(Error, ValueError):
    status = Status.ERR_PARSE


class ConfigError(Error, ValueError):
    status = Status.ERR_CONFIG


class ShapeError(Error, ValueError):
    status = Status.ERR_SHAPE


class DtypeError(Error, TypeError):
    status = Status.ERR_DTYPE


class DeviceError(Error, RuntimeError):
    status = Status.ERR_DEVICE


class StateError(Error, RuntimeError):
    status = Status.ERR_STATE


class VersionError(Error, RuntimeError):
    status = Status.ERR_VERSION


class UnsupportedError(Error, NotImplementedError):
    status = Status.ERR_UNSUPPORTED


class CancelledError(Error, RuntimeError):
    status = Status.ERR_CANCELLED


class BufferTooSmallError(Error, RuntimeError):
    status = Status.ERR_BUFFER_TOO_SMALL


class NumericError(Error, ArithmeticError):
    status = Status.ERR_NUMERIC


class DataError(Error, ValueError):
    status = Status.ERR_DATA


class InternalError(Error, RuntimeError):
    status = Status.ERR_INTERNAL


_CLASSES = {cls.status: cls for cls in Error.__subclasses__()}


def make_error(info):
    """The exception of a filled moe_error_info; a plain Error with the number as status if a newer library has more."""
    text = info.text.decode("utf-8", "replace")
    error = _CLASSES.get(info.status, Error)(text, info.line, info.column)
    if error.status is None:
        error.status = info.status
    return error
