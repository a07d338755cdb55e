"""Runs: events as an iteration, resuming, the run's own session, and stopping in good order."""
import math
import os
import unittest

from support import TestCase, tiny_arrays, tiny_config, tiny_data

import moe
from moe import EventKind, Mode


class RunTest(TestCase):
    def setUp(self):
        self.root = tiny_data(self.folder())
        self.config = tiny_config(self.root)
        self.place = os.path.join(self.folder(), "run")

    def digest(self, place):
        with moe.Run(self.config, place) as run:
            list(run)
            return run.session["state.digest"]

    def test_a_whole_training(self):
        lines = []
        with moe.Run(self.config, self.place, log=lambda level, text: lines.append(text)) as run:
            events = list(run)
        self.assertEqual([e.step for e in events if e.kind == EventKind.STEP], list(range(1, 9)))
        self.assertEqual(len([e for e in events if e.kind == EventKind.EVAL]), 2)
        last = events[-1]
        self.assertEqual((last.kind, last.epoch, last.epochs, last.steps), (EventKind.DONE, 2, 2, 8))
        self.assertTrue(all(math.isfinite(e.loss) and e.text for e in events))
        self.assertTrue(os.path.exists(os.path.join(self.place, "checkpoints/best.safetensors")))

    def test_a_run_that_was_left_goes_on(self):
        whole = self.digest(self.place + "-whole")
        with moe.Run(self.config, self.place) as run:
            for event in run:
                if event.step == 3:
                    run.request_stop()
                    break
            with self.fails(moe.CancelledError, "stopped at step 3 of 8"):
                next(run)
        with moe.Run(None, self.place, Mode.RESUME) as run:
            self.assertEqual(next(run).step, 4)
            list(run)
            self.assertEqual(run.session["state.digest"], whole)

    def test_an_interrupt_between_two_events(self):
        self.config["train.checkpoint_every"] = 1000
        for way in (KeyboardInterrupt, SystemExit):
            place = self.place + way.__name__
            with self.assertRaises(way), moe.Run(self.config, place) as run:
                for event in run:
                    if event.step == 3:
                        raise way
            with moe.Run(None, place, Mode.RESUME) as run:
                self.assertEqual(run.session["state.step"], "3")

    def test_modes(self):
        with self.fails(moe.StateError, self.place):
            moe.Run(self.config, self.place, Mode.RESUME)
        with moe.Run(self.config, self.place, Mode.NEW):
            with self.fails(moe.StateError, "in use"):
                moe.Run(self.config, self.place)
        with self.assertRaises(moe.InvalidArgumentError):
            moe.Run(self.config, self.place, mode=7)
        with self.assertRaises(moe.InvalidArgumentError):
            moe.Run(None, self.place + "-new")

    def test_the_session_of_a_run(self):
        with moe.Run(self.config, self.place) as run:
            next(run)
            with run.session as session:
                self.assertEqual(session["state.step"], "1")
            self.assertFalse(session.closed)
            self.assertEqual(len(session.predict(tiny_arrays())["offsets"]), 3)
            self.assertEqual(session.layers[0].experts, 3)
        self.assertTrue(session.closed)
        with self.fails(moe.StateError, "session: expected an open handle"):
            session.layers

    def test_a_session_keeps_its_run(self):
        session = moe.Run(self.config, self.place).session
        self.assertEqual(session["state.step"], "0")

    def test_closed(self):
        run = moe.Run(self.config, self.place)
        run.close()
        run.request_stop()
        for use in (lambda: next(run), lambda: run.session):
            with self.fails(moe.StateError, "run: expected an open handle"):
                use()


if __name__ == "__main__":
    unittest.main()
