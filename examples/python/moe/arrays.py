"""NumPy arrays at the boundary: any array as a moe_tensor_view, and a batch's tensor as an array without a copy.

NumPy has no bfloat16: such a tensor comes out as its raw bits in uint16, and goes in as uint16 with dtype=Dtype.BF16
(or as an array of the dtype "bfloat16" that the package ml_dtypes adds).
"""
import ctypes
import weakref

from .abi import MAX_DIMS, Dtype, moe_tensor_view
from .dlpack import delete
from .errors import DtypeError, ShapeError

_TYPES = {"int8": Dtype.I8, "int16": Dtype.I16, "int32": Dtype.I32, "int64": Dtype.I64, "uint8": Dtype.U8,
          "float16": Dtype.F16, "float32": Dtype.F32, "float64": Dtype.F64, "bfloat16": Dtype.BF16, "bool": Dtype.BOOL}
_TYPESTRINGS = {Dtype.I8: "|i1", Dtype.I16: "<i2", Dtype.I32: "<i4", Dtype.I64: "<i8", Dtype.U8: "|u1",
                Dtype.F16: "<f2", Dtype.F32: "<f4", Dtype.F64: "<f8", Dtype.BF16: "<u2", Dtype.BOOL: "|b1"}

# Where NumPy, which refuses NULL, sees the data of a tensor without elements.
_nowhere = ctypes.addressof(_byte := ctypes.c_double())


def name_of(dtype):
    """ "float32" of Dtype.F32. """
    return next(name for name, value in _TYPES.items() if value == dtype)


def numpy_type(dtype):
    """What NumPy calls the type of elements; uint16 for the bits of bfloat16."""
    return _TYPESTRINGS[dtype]


def _dtype(name, array, wanted):
    """The Dtype of an array. wanted: None, or what the caller says that the elements are."""
    if not array.dtype.isnative:
        raise DtypeError(f"{name}: expected elements in native byte order, got {array.dtype.str}")
    found = _TYPES.get(array.dtype.name)
    raw = wanted == Dtype.BF16 and array.dtype.name == "uint16"
    if wanted is not None and found != wanted and not raw:
        raise DtypeError(f"{name}: expected elements of {name_of(wanted)}, got {array.dtype}")
    if raw or found is not None:
        return wanted or found
    hint = "; pass dtype=moe.Dtype.BF16 for the bits of bfloat16" if array.dtype.name == "uint16" else ""
    raise DtypeError(f"{name}: expected one of {', '.join(_TYPES)}, got {array.dtype}{hint}")


def _strides(name, array):
    """In elements; None for dense row-major, which also forgives odd strides of sizes 0 and 1."""
    if array.flags.c_contiguous:
        return None
    if any(stride % array.itemsize for stride in array.strides):
        raise ShapeError(f"{name}: expected strides of whole elements ({array.itemsize} bytes), got {array.strides}; "
                         "numpy.ascontiguousarray() makes a dense copy")
    if any(stride < 0 for stride in array.strides):
        raise ShapeError(f"{name}: expected strides >= 0, got {array.strides} bytes; "
                         "numpy.ascontiguousarray() makes a dense copy")
    return (ctypes.c_int64 * array.ndim)(*(stride // array.itemsize for stride in array.strides))


def view_of(name, array, wanted=None):
    """A moe_tensor_view of an array, or of what numpy.asarray makes one of. It keeps the array alive."""
    import numpy
    array = numpy.asarray(array)
    dtype = _dtype(name, array, wanted)
    if array.ndim > MAX_DIMS:
        raise ShapeError(f"{name}: expected at most {MAX_DIMS} dimensions, got {array.ndim}")
    view = moe_tensor_view(dtype=dtype, ndim=array.ndim, data=array.ctypes.data,
                           shape=(ctypes.c_int64 * array.ndim)(*array.shape), strides=_strides(name, array))
    view.array = array
    return view


class _Exported:
    """Memory of a tensor that was exported as DLPack, as NumPy's array interface; its deleter runs with the last array."""

    def __init__(self, managed):
        tensor = managed.contents.dl_tensor
        dtype = Dtype(tensor.code | tensor.bits << 8)
        item = tensor.bits // 8
        strides = tuple(tensor.strides[i] * item for i in range(tensor.ndim)) if tensor.strides else None
        self.__array_interface__ = {"version": 3, "typestr": _TYPESTRINGS[dtype], "strides": strides,
                                    "shape": tuple(tensor.shape[i] for i in range(tensor.ndim)),
                                    "data": ((tensor.data or _nowhere) + tensor.byte_offset, True)}
        # Not at exit: an array of a module's globals may still be read then.
        weakref.finalize(self, delete, managed).atexit = False


def array_of(managed):
    """A read-only array over a DLManagedTensorVersioned, which it takes over."""
    import numpy
    return numpy.asarray(_Exported(managed))
