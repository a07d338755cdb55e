"""Finding and checking the shared library: what is missing, foreign, older or built with another torch is an ImportError of
one line; never a crash."""
import os
import subprocess
import unittest

from support import TestCase, run_python

from moe import abi

IMPORT = "import moe; print(moe.__version__)"
TORCH = "import sys, types; t = types.ModuleType('torch'); t.__version__ = '2.3.1+cpu'; sys.modules['torch'] = t; "


class LibraryTest(TestCase):
    def stub(self, functions):
        """A shared library of C functions that return a number: {name: number}."""
        path = os.path.join(self.folder(), "libstub.so")
        text = "".join(f"int {name}() {{ return {number}; }}\n" for name, number in functions.items())
        subprocess.run([os.environ.get("MOE_CC", "cc"), "-shared", "-fPIC", "-x", "c", "-", "-o", path],
                       input=text, text=True, check=True)
        return path

    def refused(self, part, path, code=IMPORT):
        out = run_python("-c", code, MOE_LIBRARY=path)
        self.assertEqual(out.returncode, 1, out.stderr)
        line = out.stderr.strip().splitlines()[-1]
        self.assertTrue(line.startswith("ImportError: moe: expected"), out.stderr)
        self.assertIn(part, line)

    def test_the_library_loads(self):
        out = run_python("-c", IMPORT)
        self.assertEqual((out.returncode, out.stdout), (0, "0.1.0\n"), out.stderr)

    def test_a_missing_library(self):
        self.refused("/nowhere/libmoe.so, got: /nowhere/libmoe.so: cannot open", "/nowhere/libmoe.so")

    def test_without_the_variable_the_installed_name_is_looked_for(self):
        out = run_python("-c", IMPORT, MOE_LIBRARY="", LD_LIBRARY_PATH=os.path.dirname(os.environ["MOE_LIBRARY"]))
        self.assertEqual((out.returncode, out.stdout), (0, "0.1.0\n"), out.stderr)

    def test_a_file_that_is_no_library(self):
        path = os.path.join(self.folder(), "libmoe.so")
        with open(path, "w", encoding="utf-8") as file:
            file.write("text")
        self.refused("file too short", path)

    def test_another_library(self):
        path = self.stub({"other": 1})
        self.refused(f"libmoe in {path}, got a library without moe_abi_version()", path)

    def test_another_binary_interface(self):
        path = self.stub({"moe_abi_version": abi.ABI + 1, "moe_version": abi.VERSION})
        self.refused(f"binary interface {abi.ABI}, got {abi.ABI + 1} from {path}", path)

    def test_an_older_library(self):
        path = self.stub({"moe_abi_version": abi.ABI, "moe_version": abi.VERSION - 1})
        self.refused(f"libmoe 0.1.0 or newer, got 0.0.99 from {path}", path)

    def test_a_library_that_lacks_a_function(self):
        path = self.stub({"moe_abi_version": abi.ABI, "moe_version": abi.VERSION})
        self.refused(f"the function moe_last_error, which {path} lacks", path)

    def test_a_newer_library_is_welcome(self):
        functions = {name: 0 for name in abi.FUNCTIONS}
        path = self.stub({**functions, "moe_abi_version": abi.ABI, "moe_version": abi.VERSION + 100})
        out = run_python("-c", "import moe.library; print(moe.library.path)", MOE_LIBRARY=path)
        self.assertNotIn("ImportError", out.stderr)

    def test_another_torch_in_the_process(self):
        self.refused("got 2.3.1 imported in this process", os.environ["MOE_LIBRARY"], TORCH + IMPORT)
        self.refused("(this process has imported torch 2.3.1)", "/nowhere/libmoe.so", TORCH + IMPORT)

    def test_a_library_that_has_found_another_torch(self):
        """Its every call that can fail does."""
        functions = {name: int(abi.Status.ERR_STATE) for name in abi.FUNCTIONS}
        path = self.stub({**functions, "moe_abi_version": abi.ABI, "moe_version": abi.VERSION, "moe_last_error": 0})
        self.refused(f"works beside torch 2.3.1, got from {path}", path, TORCH + IMPORT)

    def test_constants_of_a_newer_library(self):
        self.assertIs(abi.known(abi.EventKind, 1), abi.EventKind.STEP)
        self.assertEqual(abi.known(abi.EventKind, 99), 99)

    def test_open_handles_at_exit(self):
        """A program that closes nothing ends in good order, also in a thread that is at work."""
        code = ("import sys, threading; sys.path.insert(0, sys.argv[1]); import moe, support\n"
                "session = moe.Session(support.tiny_config()); batch = moe.Batch(support.tiny_arrays())\n"
                "array = batch['images']; tensor = batch.tensor('images').__dlpack__(); old = batch.tensor('boxes').__dlpack__(max_version=(1, 0))\n"
                "def work():\n  while True: session.feed(batch); session.step()\n"
                "threading.Thread(target=work, daemon=True).start()\n"
                "import time; time.sleep(0.5); print(array.sum() > 0)\n")
        out = run_python("-c", code, os.path.dirname(__file__))
        self.assertEqual((out.returncode, out.stdout, out.stderr), (0, "True\n", ""))


if __name__ == "__main__":
    unittest.main()
