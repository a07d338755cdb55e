"""DLPack 1.x between this process's libraries and libmoe, in capsules, without a copy.

In: whatever __dlpack__() gives becomes a DLManagedTensorVersioned that libmoe takes over. Out: libmoe's own becomes a
capsule. A capsule is renamed when its tensor changes hands, so that every deleter runs exactly once. Libraries that
know only the DLPack before 1.0 (NumPy before 2.1) get and give its struct, wrapped here.
"""
import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p, py_object

_deleter_type = ctypes.CFUNCTYPE(None, c_void_p)


class DLTensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
                ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16), ("shape", POINTER(c_int64)),
                ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class DLManagedTensor(ctypes.Structure):
    """Of DLPack before 1.0."""
    _fields_ = [("dl_tensor", DLTensor), ("manager_ctx", c_void_p), ("deleter", _deleter_type)]


class DLManagedTensorVersioned(ctypes.Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("manager_ctx", c_void_p), ("deleter", _deleter_type),
                ("flags", c_uint64), ("dl_tensor", DLTensor)]


def _immortal(value):
    """Never freed: foreign libraries may call back, or look at a capsule's name, while the interpreter ends."""
    ctypes.pythonapi.Py_IncRef(py_object(value))
    return value


def _python(name, result, *parameters):
    return ctypes.PYFUNCTYPE(result, *parameters)((name, ctypes.pythonapi))


# A capsule that is being freed must not get a reference: its functions take the address.
_capsule_new = _python("PyCapsule_New", py_object, c_void_p, c_char_p, c_void_p)
_capsule_is = _python("PyCapsule_IsValid", c_int, c_void_p, c_char_p)
_capsule_pointer = _python("PyCapsule_GetPointer", c_void_p, c_void_p, c_char_p)
_capsule_rename = _python("PyCapsule_SetName", c_int, c_void_p, c_char_p)

_VERSIONED, _USED_VERSIONED = _immortal(b"dltensor_versioned"), _immortal(b"used_dltensor_versioned")
_OLD, _USED_OLD = _immortal(b"dltensor"), _immortal(b"used_dltensor")

# Structs made here, by address, until their deleter runs: (struct, what it wraps).
_wrapped = _immortal({})


def delete(managed):
    """Ends the use of a struct of either version."""
    if managed.contents.deleter:
        managed.contents.deleter(ctypes.addressof(managed.contents))


@_immortal
@_deleter_type
def _delete_wrapped(address, wrapped=_wrapped, delete=delete):
    delete(wrapped.pop(address)[1])


def _wrap(kind, inner, **fields):
    """A struct of the other version around the same memory; its deleter runs that of `inner`."""
    outer = kind(dl_tensor=inner.contents.dl_tensor, deleter=_delete_wrapped, **fields)
    _wrapped[ctypes.addressof(outer)] = outer, inner
    return ctypes.pointer(outer)


def _take(capsule, name, used, kind):
    """The struct of a capsule, which from now on belongs to the caller."""
    pointer = ctypes.cast(_capsule_pointer(id(capsule), name), POINTER(kind))
    _capsule_rename(id(capsule), used)
    return pointer


def take_over(name, tensor):
    """The address of a DLManagedTensorVersioned of anything with __dlpack__. name: for messages."""
    if not hasattr(tensor, "__dlpack__"):
        raise TypeError(f"{name}: expected an object with __dlpack__, got {type(tensor).__name__}")
    try:
        capsule = tensor.__dlpack__(max_version=(1, 0))
    except TypeError:  # from before DLPack 1.0
        capsule = tensor.__dlpack__()
    if _capsule_is(id(capsule), _VERSIONED):
        return ctypes.addressof(_take(capsule, _VERSIONED, _USED_VERSIONED, DLManagedTensorVersioned).contents)
    if _capsule_is(id(capsule), _OLD):
        old = _take(capsule, _OLD, _USED_OLD, DLManagedTensor)
        return ctypes.addressof(_wrap(DLManagedTensorVersioned, old, major=1, minor=0).contents)
    raise TypeError(f"{name}: expected __dlpack__() to give an unused capsule of a tensor, got {capsule!r}")


@_immortal
@ctypes.PYFUNCTYPE(None, c_void_p)
def _free_capsule(capsule, pointer=_capsule_pointer, valid=_capsule_is, delete=delete,
                  kinds=((_VERSIONED, DLManagedTensorVersioned), (_OLD, DLManagedTensor))):
    """Nobody took what is inside."""
    for name, kind in kinds:
        if valid(capsule, name):
            delete(ctypes.cast(pointer(capsule, name), POINTER(kind)))


def capsule_of(managed, max_version):
    """A capsule that takes over a pointer to a DLManagedTensorVersioned. max_version: of __dlpack__()."""
    if max_version is not None and max_version[0] >= 1:
        return _capsule_new(ctypes.addressof(managed.contents), _VERSIONED, _free_capsule)
    return _capsule_new(ctypes.addressof(_wrap(DLManagedTensor, managed).contents), _OLD, _free_capsule)
