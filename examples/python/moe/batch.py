"""Named tensors that go into a session and come out of it."""
import ctypes
from typing import NamedTuple

from . import arrays, dlpack
from .abi import Device, Dtype, moe_tensor_info
from .handle import Handle, call
from .library import library, utf8


class TensorInfo(NamedTuple):
    name: str
    dtype: Dtype
    shape: tuple
    bytes: int  # of the dense form


class Tensor:
    """A tensor of a batch for numpy.from_dlpack, torch.from_dlpack and their like, which share its memory.

    It must not be written. What they make stays valid when the batch is changed or closed."""

    def __init__(self, batch, name):
        self._batch, self.name = batch, name

    def __repr__(self):
        return f"<moe.Tensor {self.name}>"

    def __dlpack_device__(self):
        return int(Device.CPU), 0

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if stream is not None:
            raise BufferError(f"{self.name}: expected stream None for memory of the CPU, got {stream!r}")
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            raise BufferError(f"{self.name}: expected the device {self.__dlpack_device__()}, got {tuple(dl_device)}")
        if copy:
            raise BufferError(f"{self.name}: expected copy False or None; Batch.read() makes a copy")
        return dlpack.capsule_of(self._batch._export(self.name), max_version)


class Batch(Handle):
    """One micro-batch: a mapping from names to tensors, as Batch(images=..., boxes=...) or filled one by one.

    batch[name] = array copies any array whose strides are >= 0; batch[name] is a read-only array over the batch's
    memory, which stays valid when the batch changes. bind() takes a tensor of another library without a copy."""
    name = "batch"

    def __init__(self, tensors=None, /, **named):
        pointer = ctypes.c_void_p()
        library.moe_batch_create(ctypes.byref(pointer))
        super().__init__(pointer.value, library.moe_batch_free)
        for name, array in dict(tensors or {}, **named).items():
            self[name] = array

    def set(self, name, array, dtype=None):
        """Copies an array into the batch. dtype: None, or the Dtype that it must have (BF16: of raw bits in uint16)."""
        view = arrays.view_of(name, array, dtype)
        call(library.moe_batch_set, self, utf8(name), ctypes.byref(view))

    __setitem__ = set

    def bind(self, name, tensor):
        """Shares the memory of anything with __dlpack__ (NumPy, PyTorch, JAX ...); it must not be written while bound."""
        key = utf8(name)
        call(lambda pointer: library.moe_batch_bind_dlpack(pointer, key, dlpack.take_over(name, tensor)), self)

    def __getitem__(self, name):
        return arrays.array_of(self._export(name))

    def tensor(self, name):
        """The tensor for from_dlpack() of another library."""
        self.info(name)
        return Tensor(self, name)

    def read(self, name):
        """A copy as an array of its own, which may be written."""
        import numpy
        info = self.info(name)
        out = numpy.empty(info.shape, arrays.numpy_type(info.dtype))
        call(library.moe_batch_read, self, utf8(name), out.ctypes.data, out.nbytes, None)
        return out

    def info(self, name):
        info = moe_tensor_info()
        call(library.moe_batch_info, self, utf8(name), ctypes.byref(info))
        return TensorInfo(info.name.decode(), Dtype(info.dtype), tuple(info.shape[:info.ndim]), info.bytes)

    def clear(self):
        """Removes every tensor."""
        call(library.moe_batch_clear, self)

    def keys(self):
        """Names in the order of their setting."""
        info = moe_tensor_info()
        names = []
        for i in range(len(self)):
            call(library.moe_batch_info_at, self, i, ctypes.byref(info))
            names.append(info.name.decode())
        return names

    def __len__(self):
        count = ctypes.c_int32()
        call(library.moe_batch_count, self, ctypes.byref(count))
        return count.value

    def __iter__(self):
        return iter(self.keys())

    def __contains__(self, name):
        return name in self.keys()

    def items(self):
        return [(name, self[name]) for name in self]

    def _export(self, name):
        out = ctypes.c_void_p()
        call(library.moe_batch_export_dlpack, self, utf8(name), ctypes.byref(out))
        return ctypes.cast(out, ctypes.POINTER(dlpack.DLManagedTensorVersioned))


def as_batch(tensors):
    """A batch as it is; a mapping of arrays as a new one."""
    return tensors if isinstance(tensors, Batch) else Batch(tensors)
