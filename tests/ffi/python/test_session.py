"""A program's own loop on NumPy arrays: feed, step, predict, save, load, what the experts did, and refused input."""
import json
import math
import os
import unittest

import numpy as np
from support import SIDE, TestCase, tiny_arrays, tiny_config, tiny_data

import moe
from moe import Window


def train(session, steps):
    for _ in range(steps):
        session.feed(tiny_arrays())
        info = session.step()
    return info


class SessionTest(TestCase):
    def setUp(self):
        self.session = moe.Session(tiny_config())
        self.addCleanup(self.session.close)

    def test_the_loss_falls(self):
        first = train(self.session, 1)
        self.assertEqual((first.step, first.micro_batches, first.samples, first.skipped), (1, 1, 2, False))
        self.assertTrue(math.isclose(sum(first.losses.values()), first.loss, rel_tol=1e-6) and len(first.losses) > 3)
        self.assertLess(train(self.session, 24).loss, 0.8 * first.loss)

    def test_windows(self):
        for _ in range(3):
            self.session.feed(moe.Batch(tiny_arrays()))
        self.assertEqual(self.session.step()[:3], (1, 3, 6))
        self.session.feed(tiny_arrays())
        self.session.discard()
        with self.fails(moe.StateError, "step: expected at least one batch"):
            self.session.step()

    def test_predictions(self):
        out = self.session.predict({"images": tiny_arrays()["images"]})
        self.assertEqual(out["boxes"].shape, (len(out["scores"]), 4))
        self.assertEqual((out["offsets"][0], out["offsets"][-1], len(out["offsets"])), (0, len(out["labels"]), 3))
        again = self.session.predict(tiny_arrays(), out)
        self.assertIs(again, out)
        path = os.path.join(self.folder(), "picture.png")
        self.session.draw(tiny_arrays(), out, 0, path, min_score=0)
        with open(path, "rb") as file:
            self.assertEqual(file.read(4), b"\x89PNG")

    def test_saved_and_loaded(self):
        path = os.path.join(self.folder(), "a.safetensors")
        train(self.session, 2)
        digest = self.session["state.digest"]
        self.session.save(path)
        train(self.session, 1)
        self.assertNotEqual(self.session["state.digest"], digest)
        self.session.load(path)
        self.assertEqual(self.session["state.digest"], digest)
        with moe.Session.open(path) as other:
            self.assertEqual((other["state.digest"], other["state.step"]), (digest, "2"))
            self.assertEqual(other.config()["seed"], "7")
        for missing in (self.session.load, moe.Session.open):
            with self.assertRaises(FileNotFoundError):
                missing(path + ".not")

    def test_values(self):
        self.session["optimizer.groups.default.lr"] = 1e-5
        self.assertEqual(float(self.session["optimizer.groups.default.lr"]), 1e-5)
        self.assertIn("images", self.session.describe_batch())
        with self.fails(moe.NotFoundError, "nope"):
            self.session["nope"]
        with self.fails(moe.InvalidArgumentError, "lr"):
            self.session["optimizer.groups.default.lr"] = "fast"

    def test_what_the_experts_did(self):
        train(self.session, 3)
        layer, = self.session.layers
        self.assertEqual((layer.experts, layer.top_k, layer.classes, layer.unit), (3, 2, 6, "image"))
        self.assertEqual(len(self.session.expert_names(0)), 3)
        for window, steps in ((Window.LAST_STEP, 1), (Window.LIFETIME, 3)):
            experts, total = self.session.expert_stats(0, window), self.session.layer_stats(0, window)
            self.assertEqual(total.tokens, 2 * steps)
            self.assertEqual(sum(e.tokens for e in experts), total.assignments)
            self.assertAlmostEqual(sum(e.share for e in experts), 1)
            self.assertAlmostEqual(max(e.share for e in experts), total.dominant_share)
            self.assertAlmostEqual(total.mutual_information, total.marginal_entropy - total.token_entropy)
            table = self.session.class_routing(0, window)
            self.assertEqual((table.shape, table.dtype), ((6, 3), np.int64))
            pairs = self.session.coactivation(0, window)
            self.assertEqual(pairs.shape, (3, 3))
            np.testing.assert_array_equal(pairs, pairs.T)
            np.testing.assert_array_equal(np.diag(pairs), [e.tokens for e in experts])
        self.session.stats_reset()
        self.assertEqual(self.session.layer_stats(0, Window.SINCE_RESET).tokens, 0)

    def test_constants_out_of_range(self):
        for use in (lambda: self.session.expert_stats(1), lambda: self.session.layer_stats(-1),
                    lambda: self.session.expert_names(7), lambda: self.session.expert_stats(0, 9)):
            with self.assertRaises(moe.InvalidArgumentError):
                use()

    def test_refused_batches_leave_the_window(self):
        images = np.zeros((2, 3, SIDE, SIDE), np.float32)
        refused = [(moe.ShapeError, "images: expected [B, 3,", {"images": images[0]}),
                   (moe.DtypeError, "images: expected float32, got uint8", {"images": images.astype(np.uint8)}),
                   (moe.DtypeError, "boxes: expected float32, got float64", {"boxes": np.zeros((2, 4))}),
                   (moe.DataError, "label", {"labels": [0, 6]}), (moe.DataError, "offsets", {"offsets": [0, 2, 1]}),
                   (moe.NumericError, "images", {"images": images + np.nan})]
        self.session.feed(tiny_arrays())
        for kind, part, arrays in refused:
            with self.subTest(part), self.fails(kind, part):
                self.session.feed({**tiny_arrays(), **arrays})
        with self.fails(moe.NotFoundError, "images"):
            self.session.feed({})
        self.assertEqual(self.session.step().micro_batches, 1)

    def test_evaluation(self):
        config = tiny_config(tiny_data(self.folder()))
        with moe.Loader(config, "val") as loader:
            metrics = self.session.evaluate(loader)
        self.assertEqual(list(metrics)[:2], ["AP", "AP50"])
        self.assertEqual(self.session.layer_stats(0, Window.LAST_EVAL).tokens, 4)
        with moe.Loader(config, "train") as loader, self.fails(moe.UnsupportedError, "evaluation") as caught:
            self.session.evaluate(loader)
        self.assertIsInstance(caught.error, NotImplementedError)

    def test_weights_for_other_programs(self):
        path = os.path.join(self.folder(), "weights.safetensors")
        self.session.export(path)
        self.assertGreater(os.path.getsize(path), 100000)
        with self.fails(moe.InvalidArgumentError, "format"):
            self.session.export(path, "nothing")
        with self.fails(moe.UnsupportedError, "experts"):
            self.session.export(path + "-hf", "transformers")

    def test_detections_of_any_program(self):
        """One box that is found as it is: every official number that can be told is 1."""
        box = {"image_id": 1, "category_id": 1, "bbox": [10.0, 20.0, 40.0, 50.0]}
        truth = {"images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
                 "categories": [{"id": 1, "name": "car"}], "annotations": [{"id": 1, "area": 2000.0, "iscrowd": 0, **box}]}
        annotations, detections = (os.path.join(self.folder(), name) for name in ("truth.json", "found.json"))
        for path, content in ((annotations, truth), (detections, [{"score": 0.9, **box}])):
            with open(path, "w", encoding="utf-8") as file:
                json.dump(content, file)
        metrics = moe.coco_evaluate(annotations, detections)
        for name, value in {"AP": 1, "AP50": 1, "AP/car": 1, "AP_large": -1}.items():
            self.assertAlmostEqual(metrics[name], value, places=12)
        with self.fails(FileNotFoundError, "nowhere.json"):
            moe.coco_evaluate(annotations, "nowhere.json")

    def test_closed(self):
        batch = moe.Batch(tiny_arrays())
        self.session.close()
        self.session.request_stop()
        for use in (lambda: self.session.feed(batch), self.session.step, self.session.discard, self.session.config,
                    lambda: self.session.predict(batch), lambda: self.session["state.step"], lambda: self.session.layers,
                    lambda: self.session.save("a"), self.session.__enter__().describe_batch):
            with self.fails(moe.StateError, "session: expected an open handle, got a closed one"):
                use()

    def test_settings_that_make_no_session(self):
        with self.fails(moe.NotFoundError, "weights"):
            moe.Session(tiny_config(model__pretrained="/nowhere/weights.pth"))
        with self.fails(TypeError, "log: expected a function of (level, text), got int"):
            moe.Session(tiny_config(), log=3)


if __name__ == "__main__":
    unittest.main()
