"""A whole training in a folder, which goes on where it was stopped or killed."""
import contextlib
import ctypes

from .abi import EventKind, Mode, Status, known, moe_run_event, moe_run_options
from .errors import Error
from .handle import Log, StoppableHandle, call
from .library import library, utf8
from .records import Event, record
from .session import Session


class Run(StoppableHandle):
    """Makes or resumes the run in `folder`; iterating works and gives events until the training is complete.

    config: None resumes with the run's own settings (mode=Mode.RESUME). log(level, text): warnings and notes.
    Ctrl-C ends the step at hand, writes a checkpoint and raises KeyboardInterrupt; the same call resumes the run."""
    name = "run"

    def __init__(self, config, folder, mode=Mode.AUTO, log=None):
        log = Log(log)
        options = moe_run_options(mode=mode, log_fn=log.pointer)
        pointer = ctypes.c_void_p()
        try:
            call(library.moe_run_open, config, utf8(folder), ctypes.byref(options), ctypes.byref(pointer))
        finally:
            log.raise_kept()
        super().__init__(pointer.value, library.moe_run_close, library.moe_run_request_stop, log)

    def __exit__(self, kind, *exception):
        """Ctrl-C between two events writes a checkpoint as well, and so does SystemExit."""
        try:
            if kind is not None and not issubclass(kind, Exception):
                self._stop_here()
        finally:
            self.close()

    def _stop_here(self):
        with contextlib.suppress(Error, StopIteration):
            self.request_stop()
            next(self)

    def __iter__(self):
        return self

    def __next__(self):
        event = moe_run_event()
        if call(library.moe_run_next, self, ctypes.byref(event), stop=self.request_stop) == Status.END:
            raise StopIteration
        return record(Event, event, kind=known(EventKind, event.kind))

    @property
    def session(self):
        """The run's session, to ask for statistics or predictions between two events. It closes with the run."""
        return _RunSession(self)


class _RunSession(Session):
    """Of a run: one lock for both, because they are one handle to the library."""

    def __init__(self, run):
        pointer = ctypes.c_void_p()
        call(library.moe_run_session, run, ctypes.byref(pointer))
        self._run, self._pointer, self._request_stop = run, pointer.value, library.moe_session_request_stop
        self._lock, self._stop_lock, self._logs = run._lock, run._stop_lock, run._logs

    @property
    def closed(self):
        return self._run.closed

    def close(self):
        """Nothing: the run closes it."""
