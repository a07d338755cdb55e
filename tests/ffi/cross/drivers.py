"""The training drivers of all languages: what they need, how they are built and called, and the data they are given. README.md
says what a driver is."""
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

SKIPPED = 77  # exit code of a test that could not be tried

SETTINGS = """\
task: rtdetr
seed: 11
data: {root: %s, size: [64, 96], workers: 2, augment: {flip: 0.5}}
model:
  backbone: {width: 0.125}
  hidden: 32
  heads: 4
  encoder: {ffn: 48}
  decoder: {layers: 2, ffn: 48}
  denoising: {queries: 10}
  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 12}
train: {epochs: 9, batch_size: 4, log_every: 2}
optimizer: {lr: 1e-3}
"""


class Tree:
    """A source tree and a build tree of it, with the variables by which every language finds the library there."""

    def __init__(self, source, build):
        self.source, self.build = Path(source).resolve(), Path(build).resolve()
        lib = self.build / "lib"
        self.variables = dict(os.environ, MOE_LIBRARY=str(lib / "libmoe.so"), CARGO_TARGET_DIR=str(self.build / "rust"),
                              GOTOOLCHAIN="local", GOPROXY="off", CGO_CFLAGS=f"-O2 -g -DMOE_TREE_SUM={self.header_sum()}",
                              PYTHONPATH=str(self.source / "examples/python"))
        self.variables.setdefault("OMP_NUM_THREADS", "1")
        self.variables.setdefault("GOMP_SPINCOUNT", "20000")  # waiting threads soon let go of their core
        for folder in (Path.home() / ".cargo/bin", Path("/usr/local/go/bin")):  # as tests/ffi/rust and tests/ffi/go look
            if str(folder) not in os.environ["PATH"].split(":"):
                os.environ["PATH"] += f":{folder}"
        self.variables["PATH"] = os.environ["PATH"]
        for name, value in {"LD_LIBRARY_PATH": lib, "PKG_CONFIG_PATH": lib / "pkgconfig"}.items():
            self.variables[name] = ":".join(filter(None, [str(value), os.environ.get(name)]))

    def header_sum(self):
        """Go's build cache does not look at C headers: another header is another flag."""
        return zlib.crc32((self.source / "include/moe.h").read_bytes() + str(self.build).encode())

    def run(self, command, folder=None, limit=600):
        """Exit code, standard output and standard error of a command; 124 after `limit` seconds."""
        try:
            done = subprocess.run([str(part) for part in command], cwd=folder, env=self.variables, capture_output=True,
                                  text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return 124, "", f"still running after {limit} s"
        return done.returncode, done.stdout, done.stderr

    def write_settings(self, folder, train=12):
        """Renders scenes in `folder` and writes settings.yml for them; returns its path."""
        code, _, error = self.run([self.build / "bin/moe", "data", "synth", "traffic", folder / "scenes", "--train", train,
                                   "--val", "4", "--size", "192x128"])
        if code != 0:
            sys.exit(error)
        (folder / "settings.yml").write_text(SETTINGS % (folder / "scenes"), encoding="utf-8")
        return folder / "settings.yml"


class Driver:
    """One language. tool: (program, argument that prints its version, oldest version) or None; build: a command run in
    `folder`, or None; command: what is then called."""

    def __init__(self, language, tool, file, build, folder, command):
        self.language, self.tool, self.file = language, tool, file
        self.build, self.folder, self.command = build, folder, command

    def absent(self):
        """Why this language cannot be tried here, or None."""
        return self.tool and tool_absent(*self.tool)

    def prepare(self, tree):
        """Builds the driver; returns an error in words, or None."""
        if not self.file.exists():
            return f"expected the driver {self.file}, found none"
        if not self.build:
            return None
        code, _, error = tree.run(self.build, self.folder, limit=900)
        return None if code == 0 else f"{' '.join(map(str, self.build))} ended with {code}\n{error.strip()}"

    def train(self, tree, settings, run_folder, overrides):
        """Digest or None, and an error in words or None."""
        code, out, error = tree.run([*self.command, settings, run_folder, *overrides])
        last = (out.strip().splitlines() or [""])[-1]
        found = re.fullmatch(r"digest ([0-9a-f]{16})", last)
        if code == 0 and found:
            return found[1], None
        return None, f"exit code {code}, last line \"{last}\"\n{error.strip()}"


def tool_absent(program, argument, oldest):
    if shutil.which(program) is None:
        return f"no {program} on the PATH, needs {oldest} or newer"
    said = subprocess.run([program, argument], capture_output=True, text=True).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    if not version or tuple(map(int, version.groups())) < tuple(map(int, oldest.split("."))):
        return f"{program} {oldest} or newer is needed, found {said.strip()}"
    return None


def drivers(tree, work):
    """All languages; what is built for Go goes to the folder `work`."""
    rust, go, python = (tree.source / "examples" / name for name in ("rust", "go", "python"))
    c, cpp = tree.build / "examples/train_digest", tree.build / "examples/cpp/train"
    return [
        Driver("C", None, c, None, None, [c]),
        Driver("C++", None, cpp, None, None, [cpp]),
        Driver("Rust", ("cargo", "--version", "1.85"), rust / "moe/examples/train.rs",
               ["cargo", "build", "--quiet", "--locked", "--release", "--example", "train"], rust,
               [tree.build / "rust/release/examples/train"]),
        Driver("Go", ("go", "version", "1.23"), go / "cmd/train", ["go", "build", "-o", work / "go-train", "./cmd/train"], go,
               [work / "go-train"]),
        Driver("Python", None, python / "train.py", None, None, [sys.executable, python / "train.py"]),
    ]
