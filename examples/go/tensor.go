package moe

// #include "bridge.h"
import "C"

import (
	"fmt"
	"math/bits"
	"slices"
	"unsafe"
)

// DType is an element type: DLPack's type code in the low byte, bits per element in the next.
type DType int32

const (
	I8   DType = C.MOE_I8
	I16  DType = C.MOE_I16
	I32  DType = C.MOE_I32
	I64  DType = C.MOE_I64
	U8   DType = C.MOE_U8
	F16  DType = C.MOE_F16
	F32  DType = C.MOE_F32
	F64  DType = C.MOE_F64
	BF16 DType = C.MOE_BF16
	Bool DType = C.MOE_BOOL
)

var dtypeNames = map[DType]string{I8: "i8", I16: "i16", I32: "i32", I64: "i64", U8: "u8", F16: "f16", F32: "f32", F64: "f64",
	BF16: "bf16", Bool: "bool"}

func (d DType) String() string {
	if name, known := dtypeNames[d]; known {
		return name
	}
	return fmt.Sprintf("DType(%#x)", int32(d))
}

// Float16 holds the 16 bits of an IEEE half, BFloat16 those of a bfloat16.
type (
	Float16  uint16
	BFloat16 uint16
)

// Element lists the Go types of tensor elements.
type Element interface {
	int8 | int16 | int32 | int64 | uint8 | Float16 | float32 | float64 | BFloat16 | bool
}

func dtypeOf[T Element]() DType {
	switch any(*new(T)).(type) {
	case int8:
		return I8
	case int16:
		return I16
	case int32:
		return I32
	case int64:
		return I64
	case uint8:
		return U8
	case Float16:
		return F16
	case float32:
		return F32
	case float64:
		return F64
	case BFloat16:
		return BF16
	}
	return Bool
}

// Tensor is a view of a slice: which element of it lies where. Made by [View].
type Tensor struct {
	dtype   DType
	data    unsafe.Pointer // of `length` elements
	length  int
	shape   []int64
	strides []int64 // in elements; nil: dense, row-major
}

// View sees a slice as a dense, row-major tensor. No shape at all is a scalar.
func View[T Element](data []T, shape ...int64) Tensor {
	return Tensor{dtype: dtypeOf[T](), data: unsafe.Pointer(unsafe.SliceData(data)), length: len(data), shape: slices.Clone(shape)}
}

// WithStrides sees the same slice with these distances, in elements, between neighbours of each dimension; each >= 0.
func (t Tensor) WithStrides(strides ...int64) Tensor {
	t.strides = slices.Clone(strides)
	return t
}

// check refuses what the library cannot see: a shape that reaches beyond the slice.
func (t Tensor) check(name string) error {
	if t.strides != nil && len(t.strides) != len(t.shape) {
		return t.bad(name, fmt.Sprintf("%d strides, got %d", len(t.shape), len(t.strides)))
	}
	reach, ok := t.reach()
	if !ok {
		return t.bad(name, "sizes and strides >= 0 whose product fits 63 bits")
	}
	if reach > uint64(t.length) {
		return t.bad(name, fmt.Sprintf("a slice of at least %d elements, got %d", reach, t.length))
	}
	return nil
}

func (t Tensor) bad(name, expected string) error {
	text := fmt.Sprintf("%s: shape %d", name, t.shape)
	if t.strides != nil {
		text += fmt.Sprintf(", strides %d", t.strides)
	}
	return &Error{Status: ErrShape, Text: text + ": expected " + expected}
}

// reach is the number of elements up to the last one that the view sees; false when it cannot be computed.
func (t Tensor) reach() (uint64, bool) {
	count, last, ok := uint64(1), uint64(0), true
	for i := len(t.shape) - 1; i >= 0; i-- {
		size, stride := t.shape[i], int64(count)
		if t.strides != nil {
			stride = t.strides[i]
		}
		if size < 0 || stride < 0 {
			return 0, false
		}
		high, steps := bits.Mul64(uint64(max(size, 1)-1), uint64(stride))
		last += steps
		ok = ok && high == 0 && last < 1<<63 && steps < 1<<63
		high, count = bits.Mul64(count, uint64(size))
		ok = ok && high == 0 && count < 1<<63
	}
	if ok && count == 0 {
		return 0, true
	}
	return last + 1, ok
}

// set hands the view to the library: every pointer is an argument of the call, which keeps it in place.
func (t Tensor) set(batch *C.moe_batch, name *C.char) C.moe_status {
	return C.moe_go_batch_set(batch, name, C.moe_dtype(t.dtype), (*C.char)(t.data), C.int32_t(len(t.shape)),
		(*C.int64_t)(unsafe.SliceData(t.shape)), (*C.int64_t)(unsafe.SliceData(t.strides)))
}

// TensorInfo is what is known of a tensor without its data.
type TensorInfo struct {
	Name  string
	DType DType
	Shape []int64
	Bytes uint64 // of the dense row-major form
}

func tensorInfo(c *C.moe_tensor_info) TensorInfo {
	shape := make([]int64, c.ndim)
	for i := range shape {
		shape[i] = int64(c.shape[i])
	}
	return TensorInfo{Name: C.GoString(&c.name[0]), DType: DType(c.dtype), Shape: shape, Bytes: uint64(c.bytes)}
}
