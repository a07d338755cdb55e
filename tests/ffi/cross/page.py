#!/usr/bin/env python3
"""Compiles and runs the training program of a language that is printed in docs/bindings.md, as that page says, and expects a
finished run in the folder it names. Exit code 77: the language's toolchain is absent.

  page.py SOURCE_FOLDER BUILD_FOLDER LANGUAGE
"""
import re
import sys
import tempfile
from pathlib import Path

from drivers import SKIPPED, Tree, tool_absent

CARGO = """\
[package]
name = "first"
version = "0.1.0"
edition = "2024"

[dependencies]
moe = { path = "%s" }

[workspace]
"""


def compile_c(tree, folder, compiler, source, *flags):
    flags = [*flags, "-Wall", "-Wextra", "-Werror", source]
    return ["sh", "-c", f"{compiler} {' '.join(map(str, flags))} $(pkg-config --cflags --libs moe) -o first && ./first"]


def write_rust(tree, folder):
    (folder / "src").mkdir()
    (folder / "first.rs").rename(folder / "src/main.rs")
    (folder / "Cargo.toml").write_text(CARGO % (tree.source / "examples/rust/moe"), encoding="utf-8")
    (folder / "Cargo.lock").write_bytes((tree.source / "examples/rust/Cargo.lock").read_bytes())  # the crates at hand
    return ["cargo", "run", "--quiet"]


def write_go(tree, folder):
    (folder / "go.mod").write_text("module first\n\ngo 1.23\n", encoding="utf-8")
    install = re.search(r"`(go mod edit [^`]*)`", (tree.source / "docs/bindings.md").read_text(encoding="utf-8"))[1]
    return ["sh", "-ec", f"{install.replace('/path/to/libmoe', str(tree.source))}\ngo run ."]


# Fence of the block -> file that is written, the tool it takes, the command.
LANGUAGES = {
    "c": ("first.c", None, lambda tree, folder: compile_c(tree, folder, "cc", "first.c", "-std=c99")),
    "cpp": ("first.cpp", None,
            lambda tree, folder: compile_c(tree, folder, "c++", "first.cpp", "-std=c++17", f"-I{tree.source}/examples/cpp")),
    "rust": ("first.rs", ("cargo", "--version", "1.85"), write_rust),
    "go": ("first.go", ("go", "version", "1.23"), write_go),
    "python": ("first.py", None, lambda tree, folder: [sys.executable, "first.py"]),
    "julia": ("first.jl", ("julia", "--version", "1.9"),
              lambda tree, folder: ["julia", f"--project={tree.source}/examples/julia", "first.jl"]),
}


def attempt(tree, language, program):
    """An error in words, or None."""
    name, tool, command = LANGUAGES[language]
    with tempfile.TemporaryDirectory(prefix=f"moe-page-{language}-") as work:
        folder = Path(work)
        settings = tree.write_settings(folder)
        settings.write_text(settings.read_text(encoding="utf-8").replace("epochs: 9", "epochs: 1"), encoding="utf-8")
        (folder / name).write_text(program, encoding="utf-8")
        code, out, error = tree.run(command(tree, folder), folder)
        if code != 0 or not (folder / "runs/first/metrics.csv").exists() or "done: " not in out:
            return f"exit code {code}\n{out[-1000:]}\n{error.strip()[-3000:]}"
    return None


def main():
    tree, language = Tree(*sys.argv[1:3]), sys.argv[3]
    tool = LANGUAGES[language][1]
    reason = tool and tool_absent(*tool)
    if reason:
        print(f"SKIPPED: the {language} program of docs/bindings.md was NOT tried: {reason}")
        return SKIPPED
    page = (tree.source / "docs/bindings.md").read_text(encoding="utf-8")
    program = re.search(rf"^```{language}\n(.*?)^```$", page, flags=re.S | re.M)
    error = attempt(tree, language, program[1]) if program else "no program in docs/bindings.md"
    print(f"FAILED {language}: {error}" if error else f"{language} trains")
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
