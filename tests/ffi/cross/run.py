#!/usr/bin/env python3
"""Trains the same settings through the training driver of every language and compares the digests they print; README.md
says what a driver is. A language whose toolchain or source is absent is named as skipped; one that is there must succeed.

  run.py SOURCE_FOLDER BUILD_FOLDER [LANGUAGE ...]
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

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
OVERRIDES = ["train.epochs=2", "optimizer.lr=2e-3"]
LIMIT_SECONDS = 600  # a first build of the Rust or Go driver included


class Driver:
    """One language: the tools its driver needs, its file in the source or build tree, and how it is called."""

    def __init__(self, language, tools, file, command, folder=None):
        self.language, self.tools, self.file, self.command, self.folder = language, tools, file, command, folder

    def absent(self):
        missing = [tool for tool in self.tools if shutil.which(tool) is None]
        if missing:
            return f"no {' or '.join(missing)} here"
        return None if self.file.exists() else f"no {self.file}"


def drivers(source, build):
    rust, go = source / "examples/rust", source / "examples/go"
    python = source / "examples/python/train.py"
    return [
        Driver("C", [], build / "examples/train_digest", [str(build / "examples/train_digest")]),
        Driver("C++", [], build / "examples/cpp/train", [str(build / "examples/cpp/train")]),
        Driver("Rust", ["cargo"], rust / "Cargo.toml",
               ["cargo", "run", "--quiet", "--release", "--example", "train", "--"], rust),
        Driver("Go", ["go"], go / "cmd/train", ["go", "run", "./cmd/train"], go),
        Driver("Python", [], python, [sys.executable, str(python)]),
    ]


def environment(build):
    """What every driver finds the library by, and the thread count that belongs to the result."""
    out = dict(os.environ, MOE_LIBRARY=str(build / "lib/libmoe.so"), OMP_NUM_THREADS="1")
    for name, value in {"LD_LIBRARY_PATH": build / "lib", "PKG_CONFIG_PATH": build / "lib/pkgconfig"}.items():
        out[name] = ":".join(filter(None, [str(value), os.environ.get(name)]))
    return out


def digest(driver, settings, folder, variables):
    """The digest that a driver prints as its last line, or an error in words."""
    command = [*driver.command, str(settings), str(folder), *OVERRIDES]
    try:
        done = subprocess.run(command, cwd=driver.folder, env=variables, capture_output=True, text=True,
                              timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return None, f"still running after {LIMIT_SECONDS} s"
    last = (done.stdout.strip().splitlines() or [""])[-1]
    found = re.fullmatch(r"digest ([0-9a-f]{16})", last)
    if done.returncode == 0 and found:
        return found[1], None
    return None, f"exit code {done.returncode}, last line \"{last}\"\n{done.stderr.strip()}"


def main():
    source, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    only = {name.lower() for name in sys.argv[3:]}
    found, failures = {}, 0
    with tempfile.TemporaryDirectory(prefix="moe-cross-") as name:
        work = Path(name)
        subprocess.run([build / "bin/moe", "data", "synth", "traffic", work / "scenes", "--train", "12", "--val", "4",
                        "--size", "192x128"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        settings = work / "settings.yml"
        settings.write_text(SETTINGS % (work / "scenes"), encoding="utf-8")
        for driver in drivers(source, build):
            if only and driver.language.lower() not in only:
                continue
            reason = driver.absent()
            if reason:
                print(f"SKIPPED {driver.language}: {reason}")
                continue
            value, error = digest(driver, settings, work / driver.language, environment(build))
            if error:
                print(f"FAILED {driver.language}: {error}")
                failures += 1
            else:
                print(f"{driver.language:8} {value}")
                found[driver.language] = value
    if len(set(found.values())) > 1:
        print("FAILED: expected one digest, got", ", ".join(f"{v} from {k}" for k, v in found.items()))
        failures += 1
    if len(found) < 2 and not only:
        print("FAILED: expected at least two drivers, got", len(found))
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
