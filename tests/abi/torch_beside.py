#!/usr/bin/env python3
"""Trains with libmoe in a Python that also uses PyTorch, and uses PyTorch afterwards. Run by test_torch_beside.py.

usage: torch_beside.py ORDER LIBRARY SETTINGS RUN_FOLDER      ORDER: torch (imported first), moe (loaded first) or alone

Prints one line: "trained", or the error of libmoe or of the loader.
"""
import ctypes
import sys


class ErrorInfo(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("status", ctypes.c_int32), ("line", ctypes.c_int32), ("column", ctypes.c_int32),
                ("text", ctypes.c_char * 1024)]


class RunEvent(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("kind", ctypes.c_int32), ("counts", ctypes.c_int64 * 4),
                ("numbers", ctypes.c_double * 6), ("text", ctypes.c_char * 512)]


def check(library, status):
    if status > 1:
        error = ErrorInfo(ctypes.sizeof(ErrorInfo))
        library.moe_last_error(ctypes.byref(error))
        raise RuntimeError(error.text.decode())
    return status


def load(path):
    library = ctypes.CDLL(path)
    check(library, library.moe_set_threads(2))
    return library


def train(library, settings, folder):
    config, run, event = ctypes.c_void_p(), ctypes.c_void_p(), RunEvent(ctypes.sizeof(RunEvent))
    check(library, library.moe_config_load(settings.encode(), ctypes.byref(config)))
    check(library, library.moe_run_open(config, folder.encode(), None, ctypes.byref(run)))
    while check(library, library.moe_run_next(run, ctypes.byref(event))) == 0:
        pass
    library.moe_run_close(run)
    library.moe_config_free(config)


def check_torch(torch):
    """PyTorch works as before: sums, gradients, its modes."""
    x = torch.arange(64.0, requires_grad=True)
    (x * x).sum().backward()
    assert torch.equal(x.grad, 2 * x.detach()) and torch.is_grad_enabled()
    assert torch.equal(torch.ones(64, 64) @ torch.ones(64, 64), torch.full((64, 64), 64.0))


def main(order, path, settings, folder):
    torch = __import__("torch") if order == "torch" else None
    try:
        library = load(path)
        torch = __import__("torch") if order == "moe" else torch
        train(library, settings, folder)
    except (OSError, ImportError, RuntimeError) as error:
        print(error)
        return
    if torch:
        check_torch(torch)
    print("trained")


if __name__ == "__main__":
    main(*sys.argv[1:])
