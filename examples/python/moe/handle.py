"""What Config, Batch, Loader, Session and Run share: closing, use by one thread at a time, log functions, and signals.

A handle is closed by close(), by leaving its `with` block, or when it is collected. Every use takes its lock without
waiting: a second thread gets a StateError, as does a log function that calls back into its own handle.
"""
import atexit
import os
import queue
import threading
import weakref

from .abi import LogLevel, known, moe_log_fn
from .errors import StateError


class Log:
    """A Python function as moe_log_fn. What it raises never enters C: it is kept and raised when the call is over."""

    def __init__(self, function=None):
        if function is not None and not callable(function):
            raise TypeError(f"log: expected a function of (level, text), got {type(function).__name__}")
        self.function, self.error = function, None
        self.pointer = moe_log_fn(self._receive) if function else moe_log_fn()

    def _receive(self, level, message, user):
        try:
            self.function(known(LogLevel, level), message.decode("utf-8", "replace"))
        except BaseException as error:  # also KeyboardInterrupt
            self.error = self.error or error

    def raise_kept(self):
        error, self.error = self.error, None
        if error is not None:
            raise error


_exiting = threading.Event()
weakref.finalize(Log, lambda: None)  # weakref's exit function is now registered; atexit runs the one of the next line before it
atexit.register(_exiting.set)


def _halt_at_exit():
    """At exit a daemon thread ends in silence: an error in it, printed while Python ends, may abort the process."""
    if _exiting.is_set() and threading.current_thread() is not threading.main_thread():
        raise SystemExit


def _free(lock, free, pointer, request_stop, logs):
    """When collected nobody uses a handle. At exit a daemon thread may: it is stopped, and can call no more, because the
    lock is kept. logs: what the library may call until then."""
    if not lock.acquire(blocking=False):
        if request_stop:
            request_stop(pointer)
        if not lock.acquire(timeout=60):
            return
    free(pointer)


class Handle:
    """An open handle of the library. name: for messages; free: closes it; request_stop: ends its long calls."""
    name = "handle"

    def __init__(self, pointer, free, request_stop=None, log=None):
        self._pointer, self._request_stop = pointer, request_stop
        self._logs = [log or Log()]
        self._lock = threading.Lock()
        # Reentrant: a signal handler may ask for a stop while the same thread is closing the handle.
        self._stop_lock = threading.RLock()
        self._finalizer = weakref.finalize(self, _free, self._lock, free, pointer, request_stop, self._logs)

    @property
    def closed(self):
        return not self._finalizer.alive

    def close(self):
        """Frees what the library holds. A second close does nothing."""
        if self.closed:
            return
        self._take()
        self._lock.release()
        with self._stop_lock:
            self._finalizer()  # which takes the lock for good

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        return f"<moe.{type(self).__name__} {'closed' if self.closed else 'open'}>"

    def _take(self):
        """Takes the lock of an open handle."""
        taken = not self.closed and self._lock.acquire(blocking=False)
        if self.closed:
            if taken:
                self._lock.release()
            _halt_at_exit()
            raise StateError(f"{self.name}: expected an open handle, got a closed one")
        if not taken:
            _halt_at_exit()
            raise StateError(f"{self.name}: expected one thread at a time, got a call while another one is at work")


class StoppableHandle(Handle):
    """With calls that may take long."""

    def request_stop(self):
        """Asks the call at work to end with a CancelledError. From any thread or signal handler; nothing when closed."""
        with self._stop_lock:
            if not self.closed:
                self._request_stop(self._pointer)


def call(function, *arguments, stop=None):
    """Calls the library. Handles among the arguments are locked meanwhile. stop: the handle's request_stop, of a long
    call that an exception of a signal handler, such as KeyboardInterrupt, shall end."""
    handles = list({id(a._lock): a for a in arguments if isinstance(a, Handle)}.values())
    taken = []
    try:
        for handle in handles:
            handle._take()
            taken.append(handle)
        plain = [a._pointer if isinstance(a, Handle) else a for a in arguments]
        return _stoppable(lambda: function(*plain), stop) if stop else function(*plain)
    finally:
        for handle in taken:
            handle._lock.release()
        _halt_at_exit()
        for handle in taken:
            handle._logs[0].raise_kept()


class _Task:
    """A call in the worker thread, for a main thread that waits."""

    def __init__(self, work):
        self.work, self.result, self.error, self.over = work, None, None, False
        self.claim, self.running = threading.Lock(), threading.Lock()
        self.running.acquire()

    def run(self):
        if not self.claim.acquire(blocking=False):
            return  # the main thread has given it up
        try:
            self.result = self.work()
        except BaseException as error:
            self.error = error
        finally:
            self.over = True
            self.running.release()


class _Worker:
    """A thread that makes the long calls of the main thread, so that Python can run signal handlers meanwhile."""

    def __init__(self):
        self.tasks, self.thread = queue.SimpleQueue(), None
        self.busy = threading.Lock()

    def start(self, task):
        if self.thread is None:
            self.thread = threading.Thread(target=self._serve, name="moe", daemon=True)
            self.thread.start()
        self.tasks.put(task)

    def _serve(self):
        while True:
            self.tasks.get().run()


_worker = _Worker()


def _reset_worker():
    global _worker
    _worker = _Worker()


os.register_at_fork(after_in_child=_reset_worker)  # the child has no such thread


def _stoppable(work, stop):
    worker = _worker
    if threading.current_thread() is not threading.main_thread() or not worker.busy.acquire(blocking=False):
        return work()
    task = _Task(work)
    try:
        worker.start(task)
        task.running.acquire()
    except BaseException:
        _give_up(task, stop)
        raise
    finally:
        worker.busy.release()
    try:
        if task.error is not None:
            raise task.error
        return task.result
    finally:
        del task  # its error's traceback holds this frame


def _give_up(task, stop):
    """Ends a task in good order after a signal handler raised: the handle is free again when this returns."""
    if task.claim.acquire(blocking=False):
        return  # it had not begun
    if task.over:
        return  # the signal came late, perhaps when `running` was ours already
    stop()
    while not task.over:
        try:
            task.running.acquire()
        except BaseException:  # a second Ctrl-C: the step at hand is ended all the same
            pass
