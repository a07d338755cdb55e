package moe

// #include <moe.h>
import "C"

import (
	"fmt"
	"unsafe"
)

// Batch is one micro-batch: named tensors. [Session.DescribeBatch] tells what a task wants.
type Batch struct{ h *handle }

func (b *Batch) handle() *handle {
	if b == nil {
		return nil
	}
	return b.h
}

func (b *Batch) c() *C.moe_batch { return (*C.moe_batch)(b.h.ptr) }

// NewBatch is an empty batch.
func NewBatch() (*Batch, error) {
	var out *C.moe_batch
	err := call(func() C.moe_status { return C.moe_batch_create(&out) })
	h, err := newHandle("batch", unsafe.Pointer(out), func(p unsafe.Pointer) { C.moe_batch_free((*C.moe_batch)(p)) }, nil, err)
	if err != nil {
		return nil, err
	}
	return &Batch{h}, nil
}

// Set copies a tensor into the batch under a name of 1 to 63 characters, replacing one of that name:
//
//	err := batch.Set("images", moe.View(pixels, 4, 3, 320, 320))
func (b *Batch) Set(name string, tensor Tensor) error {
	if err := tensor.check(name); err != nil {
		return err
	}
	return call(func() C.moe_status { return tensor.set(b.c(), cText(name)) }, b.handle())
}

// Len is the number of tensors.
func (b *Batch) Len() (int, error) {
	var count C.int32_t
	err := call(func() C.moe_status { return C.moe_batch_count(b.c(), &count) }, b.handle())
	return int(count), err
}

// Tensors tells name, type and shape of every tensor, in the order of their setting.
func (b *Batch) Tensors() ([]TensorInfo, error) {
	var infos []TensorInfo
	err := call(func() C.moe_status {
		var count C.int32_t
		status := C.moe_batch_count(b.c(), &count)
		for i := C.int32_t(0); i < count && status == C.MOE_OK; i++ {
			info := C.moe_tensor_info{struct_size: C.sizeof_moe_tensor_info}
			status = C.moe_batch_info_at(b.c(), i, &info)
			infos = append(infos, tensorInfo(&info))
		}
		return status
	}, b.handle())
	return infos, err
}

// Info tells type and shape of one tensor.
func (b *Batch) Info(name string) (TensorInfo, error) {
	info := C.moe_tensor_info{struct_size: C.sizeof_moe_tensor_info}
	err := call(func() C.moe_status { return C.moe_batch_info(b.c(), cText(name), &info) }, b.handle())
	return tensorInfo(&info), err
}

// Read copies a tensor, dense and row-major, into a new slice. The element type must be the tensor's own.
func Read[T Element](b *Batch, name string) (data []T, shape []int64, err error) {
	var info TensorInfo
	err = call(func() C.moe_status {
		c := C.moe_tensor_info{struct_size: C.sizeof_moe_tensor_info}
		if status := C.moe_batch_info(b.c(), cText(name), &c); status != C.MOE_OK {
			return status
		}
		info = tensorInfo(&c)
		if info.DType != dtypeOf[T]() || info.Bytes == 0 {
			return C.MOE_OK
		}
		data = make([]T, uintptr(info.Bytes)/unsafe.Sizeof(*new(T)))
		return C.moe_batch_read(b.c(), cText(name), unsafe.Pointer(unsafe.SliceData(data)), C.size_t(info.Bytes), nil)
	}, b.handle())
	if err == nil && info.DType != dtypeOf[T]() {
		err = &Error{Status: ErrDType, Text: fmt.Sprintf("%s: expected to be read as %v, got %v", name, info.DType, dtypeOf[T]())}
	}
	if err != nil {
		return nil, nil, err
	}
	return data, info.Shape, nil
}

// Clear removes every tensor.
func (b *Batch) Clear() error {
	return call(func() C.moe_status { return C.moe_batch_clear(b.c()) }, b.handle())
}

// Close frees the batch.
func (b *Batch) Close() error { return b.handle().close() }
