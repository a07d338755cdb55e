"""NumPy arrays into batches and out: element types, strides, memory that outlives its batch, and what is refused."""
import gc
import unittest

import numpy as np
from support import TestCase

import moe
from moe import Dtype

TYPES = {Dtype.I8: "int8", Dtype.I16: "int16", Dtype.I32: "int32", Dtype.I64: "int64", Dtype.U8: "uint8",
         Dtype.F16: "float16", Dtype.F32: "float32", Dtype.F64: "float64", Dtype.BOOL: "bool"}


class ArraysTest(TestCase):
    def setUp(self):
        self.batch = moe.Batch()
        self.addCleanup(self.batch.close)

    def same(self, array, name="x"):
        """Copied and shared results are the array."""
        for got in (self.batch[name], self.batch.read(name)):
            np.testing.assert_array_equal(got, array)
            self.assertEqual((got.dtype, got.shape), (array.dtype, array.shape))

    def test_every_type(self):
        for dtype, name in TYPES.items():
            with self.subTest(name):
                array = (np.arange(-3, 9).reshape(3, 4) % 5 - 2).astype(name)
                self.batch["x"] = array
                self.assertEqual(self.batch.info("x"), ("x", dtype, (3, 4), array.nbytes))
                self.same(array)

    def test_raw_bits_of_bfloat16(self):
        values = np.array([1, -2.5, 3e38], np.float32)
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        self.batch.set("x", bits, Dtype.BF16)
        self.assertEqual(self.batch.info("x").dtype, Dtype.BF16)
        self.same(bits)

    def test_strides(self):
        base = np.arange(2 * 6 * 8 * 4, dtype=np.float32).reshape(2, 6, 8, 4)
        views = {"transposed": base.transpose(3, 0, 2, 1), "steps": base[:, ::2, 1::3], "column": base[0, 0, :, 1],
                 "broadcast": np.broadcast_to(base[0, 0, 0], (5, 4)), "fortran": np.asfortranarray(base),
                 "one backwards": base[:1][::-1], "none": base[:0, ::2], "number": base[1, 2, 3, 0]}
        for name, view in views.items():
            with self.subTest(name):
                self.batch["x"] = view
                self.same(np.asarray(view))

    def test_sequences_and_read_only_arrays(self):
        self.batch["x"] = [[1, 2], [3, 4]]
        self.same(np.array([[1, 2], [3, 4]]))
        array = np.ones(3)
        array.flags.writeable = False
        self.batch["x"] = array
        self.same(array)

    def test_a_copy_goes_in(self):
        array = np.zeros(4, np.float32)
        self.batch["x"] = array
        array[:] = 1
        self.same(np.zeros(4, np.float32))

    def test_shared_memory_outlives_the_batch(self):
        self.batch["x"] = np.arange(1000.0)
        shared, again = self.batch["x"], self.batch["x"]
        self.assertTrue(np.shares_memory(shared, again))
        self.assertFalse(shared.flags.writeable)
        part = shared[10:20]
        self.batch["x"] = np.zeros(1000)
        self.batch.close()
        del shared, again
        gc.collect()
        np.testing.assert_array_equal(part, np.arange(10.0, 20))

    def test_a_read_is_a_copy(self):
        self.batch["x"] = np.zeros(3)
        copy = self.batch.read("x")
        copy[0] = 5
        self.assertEqual(self.batch["x"][0], 0)

    def test_a_mapping(self):
        with moe.Batch({"images": np.zeros((1, 2))}, labels=[1]) as batch:
            self.assertEqual((list(batch), len(batch), "labels" in batch, "boxes" in batch), (["images", "labels"], 2, True, False))
            self.assertEqual({name: array.shape for name, array in dict(batch).items()}, {"images": (1, 2), "labels": (1,)})
            self.assertEqual([name for name, _ in batch.items()], ["images", "labels"])
            batch.clear()
            self.assertEqual(len(batch), 0)

    def test_wrong_types(self):
        refused = {"complex128": np.zeros(2, complex), "uint32": np.zeros(2, np.uint32), "object": np.array([None]),
                   "<U1": np.array(["a"]), "datetime64": np.zeros(1, "datetime64[s]"), "float128": np.zeros(1, np.longdouble)}
        for part, array in refused.items():
            with self.subTest(part), self.fails(moe.DtypeError, part) as caught:
                self.batch["x"] = array
            self.assertIsInstance(caught.error, TypeError)
        with self.fails(moe.DtypeError, "got uint16; pass dtype=moe.Dtype.BF16"):
            self.batch["x"] = np.zeros(2, np.uint16)
        with self.fails(moe.DtypeError, "native byte order, got >f4"):
            self.batch["x"] = np.zeros(2, ">f4")
        with self.fails(moe.DtypeError, "x: expected elements of float32, got float64"):
            self.batch.set("x", np.zeros(2), Dtype.F32)
        with self.fails(moe.DtypeError, "expected elements of bfloat16, got int16"):
            self.batch.set("x", np.zeros(2, np.int16), Dtype.BF16)
        self.assertEqual(len(self.batch), 0)

    def test_wrong_shapes_and_strides(self):
        with self.fails(moe.ShapeError, "at most 8 dimensions, got 9"):
            self.batch["x"] = np.zeros((1,) * 9)
        with self.fails(moe.ShapeError, "expected strides >= 0, got (-8,) bytes"):
            self.batch["x"] = np.arange(4.0)[::-1]
        packed = np.zeros(3, np.dtype([("a", "u1"), ("b", "f4")]))
        with self.fails(moe.ShapeError, "strides of whole elements (4 bytes), got (5,)"):
            self.batch["x"] = packed["b"]
        with self.fails(moe.InvalidArgumentError, "divisible by 4"):
            self.batch["x"] = np.zeros(9, np.uint8)[1:].view(np.float32)
        with self.assertRaises(ValueError):
            self.batch["x"] = [[1, 2], [3]]

    def test_wrong_names(self):
        with self.fails(moe.InvalidArgumentError, "name"):
            self.batch[""] = np.zeros(2)
        with self.fails(moe.InvalidArgumentError, "name"):
            self.batch["n" * 64] = np.zeros(2)
        with self.fails(ValueError, "without a NUL character"):
            self.batch["a\0b"] = np.zeros(2)
        with self.assertRaises(TypeError):
            self.batch[3] = np.zeros(2)
        for use in (self.batch.__getitem__, self.batch.read, self.batch.info, self.batch.tensor):
            with self.fails(KeyError, "boxes") as caught:
                use("boxes")
            self.assertIsInstance(caught.error, moe.NotFoundError)


if __name__ == "__main__":
    unittest.main()
