#!/usr/bin/env python3
"""libmoe in a process that also uses PyTorch: of the same version both work, in either order, and the weights are the bits of a
training alone; of another version the answer is one line. Skipped where no Python with PyTorch is found: MOE_PEERS names one.
"""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "install"))
from support import BINARY, SETTINGS  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
LIBRARY = BINARY / "lib" / "libmoe.so"


def python_with_torch():
    """A Python that imports torch and the version it has, or None."""
    peers = os.environ.get("MOE_PEERS") or os.path.expanduser("~/.cache/moe-peers")
    python = os.path.join(peers, "bin", "python") if os.path.isdir(peers) else peers
    try:
        result = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    except OSError:
        return None
    return (python, result.stdout.strip().split("+")[0]) if result.returncode == 0 else None


def own_torch():
    return subprocess.run(["pkg-config", "--variable=torch_version", str(BINARY / "lib/pkgconfig/moe.pc")], check=True,
                          capture_output=True, text=True).stdout.strip()


FOUND = python_with_torch()


class TorchBeside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        (cls.work / "tiny.yml").write_text(SETTINGS, encoding="utf-8")
        subprocess.run([BINARY / "bin/moe", "data", "synth", "traffic", cls.work / "scenes", "--train", "8", "--val", "4",
                        "--size", "192x128"], check=True, stdout=subprocess.DEVNULL)
        assert cls.train("alone") == "trained\n"

    @classmethod
    def train(cls, order):
        command = [FOUND[0], HERE / "torch_beside.py", order, LIBRARY, "tiny.yml", order]
        result = subprocess.run(command, cwd=cls.work, stdout=subprocess.PIPE, text=True)
        assert result.returncode == 0, f"{order}: exit code {result.returncode}"
        return result.stdout

    def weights(self, order):
        """Digest of the tensors of the last checkpoint, without its header, which tells the time."""
        content = (self.work / order / "checkpoints" / "step-00000002.safetensors").read_bytes()
        return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little"):]).hexdigest()

    def check(self, order):
        output = self.train(order)
        self.assertEqual(output.count("\n"), 1, output)
        if FOUND[1] == own_torch():
            self.assertEqual(output, "trained\n")
            self.assertEqual(self.weights(order), self.weights("alone"))
        else:
            self.assertNotEqual(output, "trained\n")

    def test_torch_imported_before(self):
        self.check("torch")

    def test_torch_imported_after(self):
        self.check("moe")


if __name__ == "__main__":
    if not FOUND:
        print("SKIPPED: no Python with PyTorch; MOE_PEERS names one, or its virtual environment")
        sys.exit(77)
    print(f"PyTorch {FOUND[1]} in {FOUND[0]}, libmoe on LibTorch {own_torch()}")
    unittest.main()
