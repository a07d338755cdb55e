#!/usr/bin/env python3
"""Runs test modules of this folder and says loudly what was skipped. Exit code 77: nothing ran.

    run.py [--torch | --numpy FOLDER] MODULE ...

--torch: with a Python that has PyTorch: this one, or that of the virtual environment MOE_PEERS (~/.cache/moe-peers).
--numpy: with the NumPy of that folder, 2.1 or newer and for CPython 3.11.
"""
import importlib.util
import os
import sys
import unittest

SKIPPED = 77


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def use_torch():
    if importlib.util.find_spec("torch"):
        return
    environment = os.environ.get("MOE_PEERS") or os.path.expanduser("~/.cache/moe-peers")
    python = os.path.join(environment, "bin/python")
    if os.environ.get("MOE_TORCH_PYTHON") == python or not os.path.exists(python):
        skip(f"no PyTorch in {sys.executable}, nor in {environment}; MOE_PEERS names a virtual environment that has it")
    os.environ["MOE_TORCH_PYTHON"] = python
    os.execv(python, [python, "-B", *sys.argv])


def use_numpy(folder):
    if not os.path.isdir(folder):
        skip(f"DLPack 1.x was NOT tried with NumPy: no {folder} (scripts/setup puts it there)")
    if sys.version_info[:2] != (3, 11):
        skip(f"DLPack 1.x was NOT tried with NumPy: {folder} is for CPython 3.11, this is {sys.version.split()[0]}")
    sys.path.insert(0, folder)
    import numpy
    assert tuple(map(int, numpy.__version__.split(".")[:2])) >= (2, 1), numpy.__version__


def main(arguments):
    if arguments[:1] == ["--torch"]:
        use_torch()
        arguments = arguments[1:]
    if arguments[:1] == ["--numpy"]:
        use_numpy(arguments[1])
        arguments = arguments[2:]
    if not importlib.util.find_spec("numpy"):
        skip(f"no NumPy in {sys.executable} (Debian: python3-numpy, which scripts/setup installs)")
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromNames(arguments))
    for test, reason in result.skipped:
        print(f"SKIPPED: {test}: {reason}")
    if not result.wasSuccessful():
        return 1
    return SKIPPED if result.testsRun == len(result.skipped) else 0


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main(sys.argv[1:]))
