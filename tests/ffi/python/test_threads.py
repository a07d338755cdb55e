"""Threads and signals: a handle in two threads is an error, handles in many threads work, and Ctrl-C ends a long call in
good order. The calls of a handle in use are made while it evaluates, which takes long enough to be met."""
import os
import signal
import threading
import time
import unittest

from support import TestCase, run_python, tiny_arrays, tiny_config, tiny_data

import moe
from moe import handle as handles


def long_window(session, micro_batches=400):
    """Queues what takes seconds to step through."""
    batch = moe.Batch(tiny_arrays())
    for _ in range(micro_batches):
        session.feed(batch)


class Thread(threading.Thread):
    """Keeps what its function raised."""

    def __init__(self, work):
        super().__init__()
        self.work, self.error = work, None
        self.start()

    def run(self):
        try:
            self.work()
        except BaseException as error:
            self.error = error


def wait_until_busy(handle):
    while not handle._lock.locked():
        time.sleep(0.001)


class ThreadsTest(TestCase):
    def test_one_handle_in_two_threads_is_an_error(self):
        with moe.Session(tiny_config()) as session, moe.Batch(tiny_arrays()) as batch:
            long_window(session)
            worker = Thread(session.step)
            wait_until_busy(session)
            for use in (session.step, lambda: session["state.step"], lambda: session.feed(batch), session.close):
                with self.fails(moe.StateError, "session: expected one thread at a time"):
                    use()
            batch["labels"] = [0, 0]  # a batch is let go when its call fails
            session.request_stop()
            worker.join()
            self.assertIsInstance(worker.error, moe.CancelledError)
            self.assertEqual(session["state.step"], "0")

    def test_sessions_in_many_threads(self):
        """Different handles train at the same time, each to the bits of one that is alone."""
        digests = []

        def train():
            with moe.Session(tiny_config()) as session:
                for seed in range(3):
                    session.feed(tiny_arrays(seed))
                    session.step()
                digests.append(session["state.digest"])
        train()
        for thread in [Thread(train) for _ in range(3)]:
            thread.join()
            self.assertIsNone(thread.error)
        self.assertEqual((len(digests), len(set(digests))), (4, 1))

    def test_errors_belong_to_their_thread(self):
        errors = []

        def fail(name):
            for _ in range(200):
                try:
                    moe.Config(f"/nowhere/{name}.yml")
                except moe.NotFoundError as error:
                    errors.append(f"/nowhere/{name}.yml" in error.text)
        for thread in [Thread(lambda name=name: fail(name)) for name in "abcd"]:
            thread.join()
        self.assertEqual((len(errors), all(errors)), (800, True))

    def test_a_forked_child_gets_an_error(self):
        session = moe.Session(tiny_config())
        session.feed(tiny_arrays())
        session.step()  # the thread for long calls now exists, and will not in the child
        child = os.fork()
        if child == 0:
            try:
                session.step()
            except moe.StateError:
                os._exit(7)
            finally:
                os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 7)


class SignalsTest(TestCase):
    def interrupt(self, handle, number=signal.SIGINT):
        def send():
            wait_until_busy(handle)
            time.sleep(0.3)
            os.kill(os.getpid(), number)
        return Thread(send)

    def test_an_interrupt_ends_a_step(self):
        with moe.Session(tiny_config()) as session:
            long_window(session)
            digest = session["state.digest"]
            sender = self.interrupt(session)
            with self.assertRaises(KeyboardInterrupt):
                session.step()
            sender.join()
            self.assertEqual(session["state.digest"], digest)
            session.feed(tiny_arrays())
            self.assertEqual(session.step().step, 1)

    def test_an_exception_of_any_handler_ends_a_step(self):
        def leave(number, frame):
            raise SystemExit(4)
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, leave))
        with moe.Session(tiny_config()) as session:
            long_window(session)
            sender = self.interrupt(session, signal.SIGUSR1)
            with self.assertRaises(SystemExit):
                session.step()
            sender.join()

    def test_a_handler_may_ask_for_the_stop(self):
        with moe.Session(tiny_config()) as session:
            self.addCleanup(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, lambda *_: session.request_stop()))
            long_window(session)
            sender = self.interrupt(session, signal.SIGTERM)
            with self.fails(moe.CancelledError, "nothing was changed"):
                session.step()
            sender.join()

    def test_an_interrupt_when_a_call_is_just_over(self):
        """The main thread has waited to the end, then the handler raises: nothing is stopped or waited for again."""
        task = handles._Task(lambda: None)
        task.run()
        task.running.acquire()
        handles._give_up(task, lambda: self.fail("a call that was over was stopped"))

    def test_an_interrupt_of_a_run_leaves_a_checkpoint(self):
        config = tiny_config(tiny_data(self.folder()), train__epochs=1000, train__eval_every=1000, train__log_every=1000)
        place = os.path.join(self.folder(), "run")
        with moe.Run(config, place) as run:
            sender = self.interrupt(run)
            with self.assertRaises(KeyboardInterrupt):
                for event in run:
                    pass
            sender.join()
            steps = int(run.session["state.step"])
        self.assertGreater(steps, 0)
        with moe.Run(None, place, moe.Mode.RESUME) as run:
            self.assertEqual(int(run.session["state.step"]), steps)

    def test_an_interrupt_of_a_program(self):
        """The same from outside, in a fresh process whose handlers nobody set."""
        code = ("import os, signal, sys, threading, time; sys.path.insert(0, sys.argv[1])\n"
                "import moe, support, test_threads\n"
                "session = moe.Session(support.tiny_config()); test_threads.long_window(session)\n"
                "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
                "session.step()\n")
        out = run_python("-c", code, os.path.dirname(__file__))
        self.assertEqual(out.stderr.strip().splitlines()[-1], "KeyboardInterrupt", out.stderr)
        self.assertEqual(out.returncode, -signal.SIGINT)


if __name__ == "__main__":
    unittest.main()
