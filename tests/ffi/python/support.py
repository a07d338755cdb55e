"""What the tests share: a model with few weights, batches and data for it, folders that go away, and other processes."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import moe

SOURCE = os.environ.get("MOE_SOURCE_DIR") or os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
EXAMPLES = os.path.join(SOURCE, "examples/python")
SIDE = 64

# Three experts (vehicles, people, two-wheelers) over the six classes of roadside scenes.
TINY = {
    "task": "rtdetr",
    "seed": 7,
    "data": {"size": [SIDE, SIDE], "workers": 1, "augment": {"flip": 0}},
    "model": {
        "backbone": {"width": 0.125},
        "hidden": 32,
        "heads": 4,
        "encoder": {"ffn": 64},
        "decoder": {"layers": 2, "ffn": 64},
        "denoising": {"queries": 8},
        "experts": {"kind": "class_partitioned", "groups": "by_complexity", "top_k": 2, "queries": 12},
    },
    "optimizer": {"lr": 3e-3},
    "train": {"batch_size": 2, "epochs": 2, "log_every": 1, "clip_norm": 1},
}


def tiny_config(root=None, **settings):
    """settings: train__epochs=1 overrides train.epochs."""
    config = moe.Config.parse(TINY)
    if root is not None:
        config["data.root"] = root
    config.update({key.replace("__", "."): value for key, value in settings.items()})
    return config


def tiny_arrays(seed=0):
    """Two images with a bright rectangle each, a car and a person."""
    random = np.random.default_rng(seed)
    images = np.full((2, 3, SIDE, SIDE), 0.2, np.float32)
    boxes = random.uniform(0.3, 0.6, (2, 4)).astype(np.float32)
    for i, (cx, cy, w, h) in enumerate((boxes * SIDE).astype(int)):
        images[i, i, max(cy - h // 2, 0):cy + h // 2, max(cx - w // 2, 0):cx + w // 2] = 1
    return {"images": images, "boxes": boxes, "labels": np.array([0, 3]), "offsets": np.array([0, 1, 2])}


def tiny_data(root, train_images=8, val_images=4):
    moe.generate_data("traffic", root, train_images=train_images, val_images=val_images, width=160, height=96)
    return root


def run_python(*arguments, **environment):
    """Another Python with the same paths: a finished process with its texts."""
    return subprocess.run([sys.executable, "-B", *arguments], capture_output=True, text=True, timeout=240,
                          env={**os.environ, **environment})


class TestCase(unittest.TestCase):
    def folder(self):
        """A folder of this test alone."""
        path = tempfile.mkdtemp(prefix="moe-python-")
        self.addCleanup(shutil.rmtree, path)
        return path

    def fails(self, kind, part):
        """A context that must raise `kind` with one line that holds `part`."""
        return _Fails(self, kind, part)


class _Fails:
    def __init__(self, case, kind, part):
        self.case, self.kind, self.part = case, kind, part

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.case.assertIsNotNone(error, f"expected {self.kind.__name__}, nothing was raised")
        if not isinstance(error, self.kind):
            return False
        self.case.assertIn(self.part, str(error))
        self.case.assertNotIn("\n", str(error))
        self.error = error
        return True
