"""DLPack with NumPy: memory that is shared in both directions, and every deleter exactly once. NumPy before 2.1 speaks the
DLPack before 1.0, newer ones DLPack 1.x; the library in a test's own hands speaks either."""
import ctypes
import gc
import sys
import unittest

import numpy as np
from support import TestCase, tiny_arrays, tiny_config

import moe
from moe import dlpack

READ_ONLY, IS_COPIED = 1, 2  # DLPack's flags


class Producer:
    """A tensor of 6 floats behind __dlpack__, which counts how often its deleter runs."""
    OLD_KINDS = {True: (dlpack.DLManagedTensor, b"dltensor"), False: (dlpack.DLManagedTensorVersioned, b"dltensor_versioned")}

    def __init__(self, old=False, **fields):
        self.old, self.deleted = old, 0
        self.values, self.shape = (ctypes.c_float * 6)(*range(6)), (ctypes.c_int64 * 2)(2, 3)
        self.deleter = dlpack._deleter_type(self.delete)
        tensor = dlpack.DLTensor(data=ctypes.addressof(self.values), device_type=1, ndim=2, code=2, bits=32, lanes=1,
                                 shape=self.shape)
        kind, self.name = self.OLD_KINDS[old]
        self.managed = kind(dl_tensor=tensor, deleter=self.deleter)
        if not old:
            self.managed.major = 1
        for name, value in fields.items():
            setattr(self.managed.dl_tensor if hasattr(self.managed.dl_tensor, name) else self.managed, name, value)

    def delete(self, address):
        assert address == ctypes.addressof(self.managed)
        self.deleted += 1

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **options):
        if self.old and options:
            raise TypeError("unexpected keyword argument")
        self.capsule = dlpack._capsule_new(ctypes.addressof(self.managed), self.name, None)
        return self.capsule


class IntoBatches(TestCase):
    def setUp(self):
        self.batch = moe.Batch()
        self.addCleanup(self.batch.close)

    def test_numpy_memory_is_shared(self):
        array = np.arange(12, dtype=np.float32).reshape(3, 4)
        self.batch.bind("x", array)
        array[1, 1] = 50
        self.assertEqual(self.batch["x"][1, 1], 50)
        self.assertTrue(np.shares_memory(self.batch["x"], array))

    def test_numpy_strides(self):
        array = np.arange(24, dtype=np.int64).reshape(2, 3, 4)[:, ::2].transpose(2, 0, 1)
        self.batch.bind("x", array)
        np.testing.assert_array_equal(self.batch["x"], array)
        self.assertTrue(np.shares_memory(self.batch["x"], array))

    def test_numpy_memory_that_must_not_be_written(self):
        """DLPack 1.x says so; before, NumPy lends no such memory."""
        array = np.arange(6.0)
        array.flags.writeable = False
        if tuple(map(int, np.__version__.split(".")[:2])) < (2, 1):
            with self.assertRaises(BufferError):
                self.batch.bind("x", array)
        else:
            self.batch.bind("x", array)
            self.assertTrue(np.shares_memory(self.batch["x"], array))

    def test_flags_are_accepted(self):
        """Batches only read: memory that must not be written, or is a copy, is as good as another."""
        for flags in (READ_ONLY, IS_COPIED, READ_ONLY | IS_COPIED):
            with self.subTest(flags=flags):
                producer = Producer(flags=flags)
                self.batch.bind("x", producer)
                self.assertEqual(self.batch["x"].ctypes.data, ctypes.addressof(producer.values))
                self.batch.clear()
                self.assertEqual(producer.deleted, 1)

    def test_numpy_arrays_live_as_long_as_the_binding(self):
        array = np.arange(6.0)
        before = sys.getrefcount(array)
        self.batch.bind("x", array)
        self.assertGreater(sys.getrefcount(array), before)
        self.batch.clear()
        self.assertEqual(sys.getrefcount(array), before)

    def test_each_way_of_letting_go_deletes_once(self):
        for old in (False, True):
            for let_go in (self.batch.clear, lambda: self.batch.set("x", [1.0]), self.batch.close):
                producer = Producer(old)
                self.batch.bind("x", producer)
                self.assertEqual((producer.deleted, self.batch["x"].tolist()), (0, [[0, 1, 2], [3, 4, 5]]))
                gc.collect()
                let_go()
                self.assertEqual(producer.deleted, 1)
            self.batch = moe.Batch()
        self.assertEqual(dlpack._wrapped, {})

    def test_a_window_keeps_what_was_fed(self):
        arrays = tiny_arrays()
        before = sys.getrefcount(arrays["images"])
        with moe.Session(tiny_config()) as session:
            for name, array in arrays.items():
                self.batch.bind(name, array)
            session.feed(self.batch)
            self.batch.clear()
            self.assertGreater(sys.getrefcount(arrays["images"]), before)
            session.step()
            self.assertEqual(sys.getrefcount(arrays["images"]), before)

    def test_refused_tensors_are_deleted_once(self):
        refused = [(moe.VersionError, "DLPack 1.x, got 2.0", {"major": 2}), (moe.DtypeError, "dtype", {"code": 5}),
                   (moe.DtypeError, "lane", {"lanes": 4}), (moe.DeviceError, "CUDA", {"device_type": 2}),
                   (moe.ShapeError, "ndim", {"ndim": 9}), (moe.InvalidArgumentError, "data", {"data": None})]
        for old in (False, True):
            for kind, part, fields in refused[1:] if old else refused:
                producer = Producer(old, **fields)
                with self.subTest(part, old=old), self.fails(kind, part):
                    self.batch.bind("x", producer)
                self.assertEqual(producer.deleted, 1)
        self.assertEqual(dlpack._wrapped, {})

    def test_bad_names_and_closed_batches_take_nothing(self):
        producer = Producer()
        with self.fails(ValueError, "NUL"):
            self.batch.bind("a\0", producer)
        self.batch.close()
        with self.fails(moe.StateError, "batch: expected an open handle"):
            self.batch.bind("x", producer)
        self.assertFalse(hasattr(producer, "capsule"))
        self.assertEqual(producer.deleted, 0)

    def test_a_used_capsule_is_refused(self):
        producer = Producer()
        self.batch.bind("x", producer)
        used = producer.capsule
        producer.__class__ = type("Used", (), {"__dlpack__": lambda self, **options: used})
        with self.fails(TypeError, "x: expected __dlpack__() to give an unused capsule"):
            self.batch.bind("x", producer)

    def test_what_is_no_tensor(self):
        with self.fails(TypeError, "x: expected an object with __dlpack__, got list"):
            self.batch.bind("x", [1, 2])
        with self.fails(TypeError, "unused capsule of a tensor, got None"):
            self.batch.bind("x", type("Odd", (), {"__dlpack__": lambda self, **options: None})())


class OutOfBatches(TestCase):
    def setUp(self):
        self.batch = moe.Batch(x=np.arange(12, dtype=np.float32).reshape(3, 4))
        self.addCleanup(self.batch.close)

    def test_numpy_shares_and_keeps_the_memory(self):
        array = np.from_dlpack(self.batch.tensor("x"))
        self.assertTrue(np.shares_memory(array, self.batch["x"]))
        self.batch.close()
        np.testing.assert_array_equal(array, np.arange(12, dtype=np.float32).reshape(3, 4))
        self.assertFalse(array.flags.writeable)

    def test_flags_tell_of_shared_memory_that_must_not_be_written(self):
        """Also where its producer may write it, or had made a copy."""
        producers = {"writable": Producer(), "read_only": Producer(flags=READ_ONLY), "copied": Producer(flags=IS_COPIED)}
        for name, producer in producers.items():
            self.batch.bind(name, producer)
        for name in self.batch:
            with self.subTest(name):
                capsule = self.batch.tensor(name).__dlpack__(max_version=(1, 0))
                address = dlpack._capsule_pointer(id(capsule), b"dltensor_versioned")
                self.assertEqual(dlpack.DLManagedTensorVersioned.from_address(address).flags, READ_ONLY)

    def test_wrapped_exports_go_away(self):
        for i in range(3):
            array = np.from_dlpack(self.batch.tensor("x"))
            del array
        capsule = self.batch.tensor("x").__dlpack__()  # of the DLPack before 1.0
        self.assertEqual(len(dlpack._wrapped), 1)
        del capsule  # unused: it frees what is inside
        self.assertEqual(dlpack._wrapped, {})

    def test_an_unused_capsule_frees_its_tensor(self):
        """A bound producer goes when the last export of it goes, used or not."""
        for version in (None, (0, 8), (1, 0), (1, 3)):
            producer = Producer()
            self.batch.bind("y", producer)
            capsule = self.batch.tensor("y").__dlpack__(max_version=version)
            self.batch.clear()
            self.assertEqual(producer.deleted, 0)
            del capsule
            self.assertEqual(producer.deleted, 1)

    def test_an_array_frees_its_tensor(self):
        producer = Producer()
        self.batch.bind("y", producer)
        array = self.batch["y"]
        self.batch.clear()
        self.assertEqual((producer.deleted, array[1, 2]), (0, 5))
        del array
        self.assertEqual(producer.deleted, 1)

    def test_from_batch_to_batch(self):
        other = moe.Batch()
        other.bind("x", self.batch.tensor("x"))
        self.assertTrue(np.shares_memory(other["x"], self.batch["x"]))
        self.batch.close()
        self.assertEqual(other["x"][2, 3], 11)

    def test_what_cannot_be_given(self):
        tensor = self.batch.tensor("x")
        self.assertEqual(tensor.__dlpack_device__(), (1, 0))
        for options in ({"stream": 1}, {"copy": True}, {"dl_device": (2, 0)}):
            with self.subTest(options), self.fails(BufferError, "expected"):
                tensor.__dlpack__(**options)
        self.batch.close()
        with self.fails(moe.StateError, "closed"):
            tensor.__dlpack__()


if __name__ == "__main__":
    unittest.main()
