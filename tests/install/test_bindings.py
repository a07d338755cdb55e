#!/usr/bin/env python3
"""Installs libmoe, moves the tree, and trains from Python, Rust and Go with the layers that were installed, each got as its guide in
docs/ says, without the build tree. A language whose toolchain is absent is skipped.
"""
import importlib.util
import os
import pathlib
import shutil
import sys
import unittest
import zlib

from support import BINARY, SOURCE, fresh_folder, hiding, install_moved, run, train

sys.path.insert(0, str(SOURCE / "tests/ffi/cross"))
from drivers import tool_absent  # noqa: E402  the folder is on the path only now

PYTHON = """\
import moe
run = moe.Run(moe.Config("tiny.yml"), "run")
for event in run:
    print(event.text)
"""
RUST = """\
use moe::{Config, Run};

fn main() -> moe::Result<()> {
    for event in Run::open(&Config::load("tiny.yml")?, "run")? {
        println!("{}", event?.text);
    }
    Ok(())
}
"""
GO = """\
package main

import (
	"context"
	"fmt"
	"log"

	"example.org/moe"
)

func main() {
	config, err := moe.LoadConfig("tiny.yml")
	if err != nil {
		log.Fatal(err)
	}
	run, err := moe.OpenRun(config, "run", moe.RunOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range run.Events(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Text)
	}
}
"""


class InstalledBindings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = fresh_folder("installed_bindings")
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.prefix = install_moved(cls.work, "moved")
        cls.examples = cls.prefix / "share/doc/libmoe/examples"
        # Go's build cache does not look at C headers: another header is another flag.
        header = zlib.crc32((cls.prefix / "include/moe.h").read_bytes())
        cls.variables = {"PKG_CONFIG_PATH": str(cls.prefix / "lib/pkgconfig"), "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "",
                         "CGO_CFLAGS": f"-DMOE_TREE_SUM={header}", "CARGO_TARGET_DIR": str(BINARY / "rust/installed")}

    def need(self, program, argument, oldest):
        reason = tool_absent(program, argument, oldest)
        if reason:
            print(f"SKIPPED: the installed layer was NOT tried: {reason}")
            self.skipTest(reason)

    def folder(self, name):
        folder = self.work / name
        folder.mkdir()
        return folder

    def call(self, folder, *command, **variables):
        return run(*hiding(), *command, cwd=folder, **self.variables, **variables)

    def check_training(self, name, *program):
        """The program trains one epoch on rendered scenes and prints its events."""
        output = train(self.work / f"{name}_run", self.prefix / "bin/moe", program)
        self.assertRegex(output, r"(?m)^done: 2 steps")

    def python_paths(self, package):
        return f"PYTHONPATH={package}", f"MOE_LIBRARY={self.prefix}/lib/libmoe.so"

    def test_python(self):
        program = self.folder("python_program") / "first.py"
        program.write_text(PYTHON, encoding="utf-8")
        python = self.examples / "python"
        self.check_training("python", "env", *self.python_paths(python), sys.executable, program)
        missing = [name for name in ("pip", "setuptools", "wheel") if not importlib.util.find_spec(name)]
        if missing:
            print(f"SKIPPED: the installed Python layer was NOT got by pip: no {', '.join(missing)} in {sys.executable}")
            return
        shutil.copytree(python, self.work / "python")  # pip writes beside the sources
        self.call(self.work, sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation",
                  "--root-user-action=ignore", "--target", self.work / "site", self.work / "python")
        self.check_training("pip", "env", *self.python_paths(self.work / "site"), sys.executable, program)

    def test_rust(self):
        self.need("cargo", "--version", "1.85")
        folder = self.folder("rust_program")
        self.call(folder, "cargo", "init", "--quiet", "--name", "first", "--vcs", "none")
        shutil.copy2(SOURCE / "examples/rust/Cargo.lock", folder)  # the crates at hand
        self.call(folder, "cargo", "add", "--quiet", "--path", self.examples / "rust/moe")
        (folder / "src/main.rs").write_text(RUST, encoding="utf-8")
        flags = f"-C relro-level=partial -C link-arg=-Wl,-rpath,{self.prefix}/lib"
        self.call(folder, "cargo", "build", "--quiet", RUSTFLAGS=flags)
        self.check_training("rust", BINARY / "rust/installed/debug/first")

    def test_go(self):
        self.need("go", "version", "1.23")
        folder = self.folder("go_program")
        (folder / "first.go").write_text(GO, encoding="utf-8")
        self.call(folder, "go", "mod", "init", "first")
        self.call(folder, "go", "mod", "edit", "-require", "example.org/moe@v0.1.0", "-replace",
                  f"example.org/moe@v0.1.0={self.examples / 'go'}")
        self.call(folder, "go", "build", "-o", "first", CGO_LDFLAGS=f"-Wl,-rpath,{self.prefix}/lib")
        self.check_training("go", folder / "first")


if __name__ == "__main__":
    for place in (pathlib.Path.home() / ".cargo/bin", pathlib.Path("/usr/local/go/bin")):
        os.environ["PATH"] += f":{place}"
    unittest.main()
