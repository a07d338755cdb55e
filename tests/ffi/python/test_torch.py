"""PyTorch in the same process, imported before libmoe or after: its tensors go into batches and come out of them without a
copy, bfloat16 included, and a batch of them trains to the same bits as one of NumPy arrays. Skipped where PyTorch is
absent."""
import gc
import os
import unittest

import numpy as np
from support import TestCase, run_python, tiny_arrays, tiny_config

try:
    import torch
except ImportError:
    torch = None

import moe


@unittest.skipUnless(torch, "PyTorch is absent")
class TorchTest(TestCase):
    def setUp(self):
        self.batch = moe.Batch()
        self.addCleanup(self.batch.close)

    def test_memory_is_shared_into_a_batch(self):
        tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4).t()
        self.batch.bind("x", tensor)
        tensor[3, 2] = -1
        np.testing.assert_array_equal(self.batch["x"], tensor.numpy())
        self.assertEqual(self.batch["x"].ctypes.data, tensor.data_ptr())

    def test_memory_is_shared_out_of_a_batch(self):
        self.batch["x"] = np.arange(6.0)
        tensor = torch.from_dlpack(self.batch.tensor("x"))
        self.assertEqual(tensor.data_ptr(), self.batch["x"].ctypes.data)
        self.batch.close()
        gc.collect()
        self.assertEqual(tensor.tolist(), [0, 1, 2, 3, 4, 5])

    def test_every_type_both_ways(self):
        for dtype in (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.float16, torch.float32,
                      torch.float64, torch.bfloat16, torch.bool):
            with self.subTest(str(dtype)):
                tensor = torch.tensor([[0, 1, 0], [1, 1, 0]]).to(dtype)
                self.batch.bind("x", tensor)
                back = torch.from_dlpack(self.batch.tensor("x"))
                self.assertEqual((back.dtype, back.data_ptr()), (dtype, tensor.data_ptr()))
                self.assertTrue(torch.equal(back, tensor))

    def test_bits_of_bfloat16(self):
        tensor = torch.randn(5, dtype=torch.bfloat16)
        self.batch.bind("x", tensor)
        np.testing.assert_array_equal(self.batch["x"], tensor.view(torch.uint16).numpy())

    def test_what_cannot_be_bound(self):
        with self.assertRaises(BufferError):
            self.batch.bind("x", torch.zeros(2, requires_grad=True))
        with self.fails(moe.DtypeError, "dtype"):
            self.batch.bind("x", torch.zeros(2, dtype=torch.complex64))

    def test_training_on_torch_tensors_gives_the_same_bits(self):
        digests = set()
        for convert in (lambda array: array, torch.from_numpy):
            with moe.Session(tiny_config()) as session:
                for seed in range(3):
                    for name, array in tiny_arrays(seed).items():
                        self.batch.bind(name, convert(array))
                    session.feed(self.batch)
                    session.step()
                digests.add(session["state.digest"])
        self.assertEqual(len(digests), 1)

    def test_either_may_come_first(self):
        """Both compute: libmoe trains, torch convolves, and each has its gradient."""
        code = ("import sys; sys.path.insert(0, sys.argv[1])\nimport {}\nimport {}\nimport support\n"
                "session = moe.Session(support.tiny_config()); session.feed(support.tiny_arrays()); session.step()\n"
                "x = torch.ones(4, 3, 64, 64, requires_grad=True)\n"
                "torch.nn.functional.conv2d(x, torch.ones(8, 3, 3, 3)).sum().backward()\n"
                "print(session['state.digest'], float(x.grad.sum()))\n")
        outs = [run_python("-c", code.format(*order), os.path.dirname(os.path.abspath(__file__)))
                for order in (("moe", "torch"), ("torch", "moe"))]
        self.assertEqual([out.returncode for out in outs], [0, 0], outs)
        self.assertEqual(outs[0].stdout, outs[1].stdout)


if __name__ == "__main__":
    unittest.main()
