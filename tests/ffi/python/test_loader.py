"""Loaders and generated data: epochs as iterations, and log functions whose exceptions never reach C."""
import glob
import os
import unittest

import numpy as np
from support import TestCase, tiny_config, tiny_data

import moe


class LoaderTest(TestCase):
    def setUp(self):
        self.root = tiny_data(self.folder())
        self.config = tiny_config(self.root)

    def test_an_epoch_is_an_iteration(self):
        with moe.Loader(self.config, "train") as loader:
            self.assertEqual((loader.samples, len(loader), loader.broken), (8, 4, 0))
            first = [batch["images"] for batch in loader]
            self.assertEqual([images.shape for images in first], 4 * [(2, 3, 64, 64)])
            second = [batch["images"] for batch in loader]
            self.assertFalse(all(np.array_equal(a, b) for a, b in zip(first, second)))

    def test_one_batch_again_and_again(self):
        with moe.Loader(self.config, "val") as loader, moe.Batch() as batch:
            while loader.next(batch):
                self.assertIn("images", batch)
            self.assertEqual(len(batch), 0)
            self.assertIsNotNone(loader.next())

    def test_image_files(self):
        files = sorted(glob.glob(os.path.join(self.root, "image/*")))[:3]
        with moe.Loader.of_files(self.config, files) as loader:
            self.assertEqual(loader.samples, 3)
            ids = np.concatenate([batch["image_ids"] for batch in loader])
            self.assertEqual([loader.file_name(int(i)) for i in ids], files)
            with self.assertRaises(moe.NotFoundError):
                loader.file_name(99)

    def test_a_check_of_the_data(self):
        report = moe.check_data(self.config)
        self.assertEqual((report.pictures, report.problems, report.excluded), (12, 0, 0))
        self.assertGreater(report.objects, 0)
        broken = sorted(glob.glob(os.path.join(self.root, "image/*")))[0]
        with open(broken, "wb") as file:
            file.write(b"no picture")
        lines, names = [], os.path.join(self.root, "exclude.txt")
        report = moe.check_data(self.config, names, log=lambda level, text: lines.append((level, text)))
        self.assertEqual((report.problems, report.excluded), (1, 1))
        warning, = [text for level, text in lines if level == moe.LogLevel.WARNING]
        self.assertIn(os.path.basename(broken), warning)
        with open(names, encoding="utf-8") as file:
            self.assertIn(os.path.splitext(os.path.basename(broken))[0], file.read())
        with self.fails(FileNotFoundError, "/nowhere"):
            moe.check_data(tiny_config("/nowhere"))

    def test_wrong_data(self):
        with self.fails(FileNotFoundError, "/nowhere"):
            moe.Loader(tiny_config("/nowhere"), "train")
        with self.fails(moe.InvalidArgumentError, "split"):
            moe.Loader(self.config, "test")
        with self.fails(moe.StateError, "empty"):
            moe.generate_data("traffic", self.root)
        with self.fails(moe.InvalidArgumentError, "kind"):
            moe.generate_data("nothing", self.folder())

    def test_log_functions(self):
        lines = []
        with moe.Loader(self.config, "train", log=lambda level, text: lines.append((level, text))) as loader:
            self.assertTrue(lines and all(isinstance(level, moe.LogLevel) and text for level, text in lines))
            loader.set_log(None)
            count = len(lines)
            list(loader)
            self.assertEqual(len(lines), count)

    def test_an_exception_of_a_log_function(self):
        def explode(level, text):
            raise KeyError("from Python")
        with self.assertRaisesRegex(KeyError, "from Python"):
            moe.Loader(self.config, "train", log=explode)
        with open(sorted(glob.glob(os.path.join(self.root, "image/*")))[0], "wb") as file:
            file.write(b"no picture")
        self.config["data.max_broken"] = 100
        for split in ("train", "val"):  # the broken one is in either
            loader = moe.Loader(self.config, split)
            with self.assertRaises(KeyError):
                loader.set_log(explode)
            try:
                list(loader)
            except KeyError as error:
                self.assertIn("from Python", str(error))
                self.assertEqual(loader.broken, 1)
                return
        self.fail("the broken picture was not told of")

    def test_an_exception_while_data_is_generated(self):
        """The work is finished, then the exception is raised."""
        def leave(level, text):
            raise SystemExit(3)
        root = self.folder()
        with self.assertRaises(SystemExit):
            moe.generate_data("traffic", root, 2, 0, 64, 64, log=leave)
        self.assertEqual(len(os.listdir(os.path.join(root, "image"))), 2)

    def test_a_log_function_that_calls_its_own_loader(self):
        def call_back(level, text):
            loader.samples
        loader = moe.Loader(self.config, "train")
        with self.fails(moe.StateError, "loader: expected one thread at a time"):
            loader.set_log(call_back)
        self.assertEqual(loader.samples, 8)

    def test_closed(self):
        loader = moe.Loader(self.config, "val")
        loader.close()
        for use in (loader.next, lambda: len(loader), lambda: list(loader), lambda: loader.set_log(None)):
            with self.fails(moe.StateError, "loader: expected an open handle"):
                use()


if __name__ == "__main__":
    unittest.main()
