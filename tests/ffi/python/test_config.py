"""Settings: where they come from, what they may be, and where an error is; exceptions as the built-ins they also are."""
import copy
import os
import pathlib
import pickle
import unittest

from support import TINY, SOURCE, TestCase, tiny_config

import moe


class ConfigTest(TestCase):
    def test_files(self):
        path = pathlib.Path(SOURCE, "configs/rtdetr/synthetic.yml")
        with moe.Config(path) as config:
            self.assertEqual(config["train.epochs"], "6")
            self.assertIn("synthetic.yml:", config.origin("train.epochs"))
            self.assertIn("detector.yml:", config.origin("optimizer.groups.pretrained.lr"))
            self.assertEqual(config.origin("seed"), "default")

    def test_overrides(self):
        config = tiny_config()
        config.update({"train.epochs": 5, "optimizer.lr": 1e-5, "model.experts.kind": "ffn", "data.size": [32, 64],
                       "data.root": pathlib.Path("a b"), "data.augment.flip": "0.25"})
        got = [config[key] for key in ("train.epochs", "model.experts.kind", "data.size", "data.root", "data.augment.flip")]
        self.assertEqual(got, ["5", "ffn", "[32, 64]", '"a b"', "0.25"])
        self.assertEqual((float(config["optimizer.lr"]), config.origin("optimizer.lr")), (1e-5, "override"))

    def test_copies_and_dumps(self):
        config = tiny_config()
        other = config.copy()
        other["seed"] = 8
        self.assertEqual((config["seed"], other["seed"]), ("7", "8"))
        self.assertEqual(moe.Config.parse(config.dump()).dump(), config.dump())
        self.assertIn("# default", config.dump(origins=True))

    def test_the_reference_page(self):
        self.assertIn("model.experts.top_k", moe.describe_settings("rtdetr"))
        self.assertIn("train.epochs", moe.describe_settings())
        with self.fails(moe.NotFoundError, "nothing"):
            moe.describe_settings("nothing")

    def test_errors_say_where(self):
        path = os.path.join(self.folder(), "a.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("task: rtdetr\noptimizer:\n  lr: fast\n")
        with self.fails(moe.ConfigError, f"{path}:3:7: optimizer.lr: expected a number") as caught:
            moe.Config(path)
        error = caught.error
        self.assertEqual((error.status, error.line, error.column), (moe.Status.ERR_CONFIG, 3, 7))
        self.assertIsInstance(error, ValueError)
        self.assertEqual(error.text, str(error))

    def test_wrong_settings(self):
        config = tiny_config()
        before = config.dump()
        with self.fails(moe.ConfigError, 'did you mean "train.epochs"?'):
            config["train.epoch"] = 5
        with self.fails(moe.ConfigError, "train.epochs"):
            config["train.epochs"] = None
        with self.fails(moe.ParseError, "train.epochs"):
            config["train.epochs"] = "[1"
        with self.fails(TypeError, "not JSON serializable"):
            config["train.epochs"] = object()
        with self.fails(KeyError, "nope"):
            config["nope"]
        self.assertEqual(config.dump(), before)

    def test_missing_files_are_both_built_ins(self):
        with self.fails(moe.NotFoundError, "/nowhere.yml") as caught:
            moe.Config("/nowhere.yml")
        self.assertIsInstance(caught.error, FileNotFoundError)
        self.assertIsInstance(caught.error, KeyError)
        self.assertNotIn('"', str(caught.error))
        with self.fails(moe.ParseError, "<memory>:1"):
            moe.Config.parse("a: [")
        with self.fails(moe.ParseError, "mine.yml:1"):
            moe.Config.parse("a: [", "mine.yml")

    def test_errors_survive_other_processes(self):
        try:
            moe.Config.parse({**TINY, "seed": "x"})
        except moe.Error as error:
            twin = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(twin), twin.status, twin.line), (moe.ConfigError, moe.Status.ERR_CONFIG, 1))
        self.assertEqual(str(pickle.loads(pickle.dumps(moe.NotFoundError("text")))), "text")

    def test_closed(self):
        config = tiny_config()
        config.close()
        config.close()
        self.assertEqual((config.closed, repr(config)), (True, "<moe.Config closed>"))
        for use in (lambda: config["seed"], lambda: config.update({"seed": 1}), config.copy, config.dump,
                    lambda: moe.Session(config), lambda: moe.Run(config, self.folder()), lambda: moe.Loader(config, "val")):
            with self.fails(moe.StateError, "config: expected an open handle, got a closed one"):
                use()

    def test_a_shallow_copy_is_the_same_handle(self):
        config = tiny_config()
        twin = copy.copy(config)
        twin.close()
        self.assertTrue(config.closed)
        with self.assertRaises((TypeError, ValueError)):
            pickle.dumps(config)

    def test_facts_about_the_library(self):
        info = moe.build_info()
        self.assertEqual((info["version"], info["abi"]), (moe.__version__, 0))
        self.assertIn("rtdetr", info["tasks"])
        with self.fails(moe.InvalidArgumentError, "threads"):
            moe.set_threads(0)


if __name__ == "__main__":
    unittest.main()
