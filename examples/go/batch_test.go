package moe_test

import (
	"slices"
	"strings"
	"testing"

	"example.org/moe"
)

func roundTrip[T moe.Element](t *testing.T, dtype moe.DType, data ...T) {
	t.Helper()
	batch := must(moe.NewBatch())
	defer batch.Close()
	ok(t, batch.Set("x", moe.View(data, int64(len(data)))))
	info := must(batch.Info("x"))
	if info.DType != dtype || !slices.Equal(info.Shape, []int64{int64(len(data))}) {
		t.Fatalf("expected %v [%d], got %+v", dtype, len(data), info)
	}
	read, shape, err := moe.Read[T](batch, "x")
	ok(t, err)
	if !slices.Equal(read, data) || !slices.Equal(shape, info.Shape) {
		t.Fatalf("expected %v, got %v %v", data, shape, read)
	}
}

func TestEveryElementType(t *testing.T) {
	roundTrip(t, moe.I8, int8(-128), 127)
	roundTrip(t, moe.I16, int16(-32768), 5)
	roundTrip(t, moe.I32, int32(-1), 1<<30)
	roundTrip(t, moe.I64, int64(-1), 1<<62)
	roundTrip(t, moe.U8, uint8(0), 255)
	roundTrip(t, moe.F16, moe.Float16(0x3C00), 0x7BFF)
	roundTrip(t, moe.F32, float32(1.5), -2)
	roundTrip(t, moe.F64, 1e300, -0.1)
	roundTrip(t, moe.BF16, moe.BFloat16(0x3F80), 0x4000)
	roundTrip(t, moe.Bool, true, false, true)
	roundTrip[float32](t, moe.F32)
}

func TestStridesAndScalars(t *testing.T) {
	batch := must(moe.NewBatch())
	defer batch.Close()
	matrix := []int32{1, 2, 3, 4, 5, 6}
	ok(t, batch.Set("transposed", moe.View(matrix, 3, 2).WithStrides(1, 3)))
	ok(t, batch.Set("column", moe.View(matrix[1:], 2).WithStrides(3)))
	ok(t, batch.Set("repeated", moe.View(matrix[:1], 4).WithStrides(0)))
	ok(t, batch.Set("scalar", moe.View(matrix)))
	for name, want := range map[string][]int32{"transposed": {1, 4, 2, 5, 3, 6}, "column": {2, 5}, "repeated": {1, 1, 1, 1}, "scalar": {1}} {
		if got, _, err := moe.Read[int32](batch, name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: expected %v, got %v %v", name, want, got, err)
		}
	}
	var names []string
	for _, info := range must(batch.Tensors()) {
		names = append(names, info.Name)
	}
	if !slices.Equal(names, []string{"transposed", "column", "repeated", "scalar"}) || must(batch.Len()) != 4 {
		t.Fatalf("expected the order of setting, got %v", names)
	}
	ok(t, batch.Clear())
	if must(batch.Len()) != 0 {
		t.Fatal("expected an empty batch after Clear")
	}
}

// Part of an object that also holds pointers: the address alone goes to C.
func TestArrayWithinAStruct(t *testing.T) {
	object := &struct {
		name   *string
		values [4]float32
	}{new(string), [4]float32{1, 2, 3, 4}}
	batch := must(moe.NewBatch())
	defer batch.Close()
	ok(t, batch.Set("x", moe.View(object.values[:], 2, 2)))
}

func TestWrongShapes(t *testing.T) {
	batch := must(moe.NewBatch())
	defer batch.Close()
	ten := make([]float32, 10)
	for _, bad := range []struct {
		tensor moe.Tensor
		part   string
	}{
		{moe.View(ten, 11), "x: shape [11]: expected a slice of at least 11 elements, got 10"},
		{moe.View(ten, 2, -1), "sizes and strides >= 0"},
		{moe.View(ten, 1<<40, 1<<40), "sizes and strides >= 0"},
		{moe.View(ten, 1<<62, 4).WithStrides(1<<62, 1), "sizes and strides >= 0"},
		{moe.View(ten, 2, 5).WithStrides(6, 1), "at least 11 elements"},
		{moe.View(ten, 2, 5).WithStrides(-1, 1), "sizes and strides >= 0"},
		{moe.View(ten, 2, 5).WithStrides(1), "expected 2 strides, got 1"},
		{moe.View(ten, 1, 1, 1, 1, 1, 1, 1, 1, 1), "8"},
		{moe.View([]float32(nil), 1), "at least 1 elements, got 0"},
	} {
		expectError(t, batch.Set("x", bad.tensor), moe.ErrShape, bad.part)
	}
	expectError(t, batch.Set("", moe.View(ten, 10)), moe.ErrInvalidArgument, "name")
	expectError(t, batch.Set(strings.Repeat("n", 64), moe.View(ten, 10)), moe.ErrInvalidArgument, "63")
	ok(t, batch.Set("empty", moe.View([]float32(nil), 0, 4)))
	if must(batch.Len()) != 1 {
		t.Fatal("expected that nothing wrong was set")
	}
}

func TestWrongElementTypes(t *testing.T) {
	batch := tinyBatch(t, 1)
	_, _, err := moe.Read[float32](batch, "labels")
	expectError(t, err, moe.ErrDType, "labels: expected to be read as i64, got f32")
	_, _, err = moe.Read[float32](batch, "label")
	expectError(t, err, moe.ErrNotFound, "label")
	session := tinySession(t)
	ok(t, batch.Set("labels", moe.View([]float32{0, 3, 4}, 3)))
	expectError(t, session.Feed(batch), moe.ErrDType, "labels")
	ok(t, batch.Set("labels", moe.View([]int64{0, 3, 4}, 3, 1)))
	expectError(t, session.Feed(batch), moe.ErrShape, "labels")
	ok(t, batch.Set("labels", moe.View([]int64{0, 3, 6}, 3)))
	expectError(t, session.Feed(batch), moe.ErrData, "6")
	ok(t, batch.Clear())
	expectError(t, session.Feed(batch), moe.ErrNotFound, "images")
}
