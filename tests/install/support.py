"""What the tests of installed trees share: running commands without the build tree, what a program loads, a small training.

The environment names the trees: MOE_SOURCE_DIR, MOE_BINARY_DIR, MOE_TORCH_LIB, and CC.
"""
import functools
import os
import pathlib
import re
import shutil
import subprocess

SOURCE = pathlib.Path(os.environ["MOE_SOURCE_DIR"]).resolve()
BINARY = pathlib.Path(os.environ["MOE_BINARY_DIR"]).resolve()
TORCH = pathlib.Path(os.environ["MOE_TORCH_LIB"]).resolve().parent
CC = os.environ.get("CC", "cc")
SYSTEM_LIBRARY = re.compile(r"^/(usr/)?lib(64)?/")
SETTINGS = """\
task: rtdetr
seed: 3
data: {root: scenes, size: [64, 96], workers: 1}
model:
  backbone: {width: 0.25}
  hidden: 32
  heads: 4
  encoder: {ffn: 48}
  decoder: {layers: 2, ffn: 48}
  denoising: {queries: 10}
  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 12}
train: {epochs: 1, batch_size: 4, log_every: 1}
"""


def environment(**extra):
    """The user's environment without anything that could lead a compiler or the loader to another libmoe."""
    names = ("PATH", "HOME", "LANG", "TMPDIR")
    return {**{name: os.environ[name] for name in names if name in os.environ}, "OMP_NUM_THREADS": "2",
            "PKG_CONFIG_LIBDIR": "/nowhere", **extra}


def run(*command, check=True, **extra):
    """Output of a command, stderr included. cwd= and environment variables by name."""
    cwd = extra.pop("cwd", None)
    result = subprocess.run([str(word) for word in command], cwd=cwd, env=environment(**extra), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} exited with {result.returncode}:\n{result.stdout}")
    return result.stdout


HIDE = 'for folder in "$1" "$2" "$3" "$4"; do mount -t tmpfs none "$folder" || exit 125; done; shift 4; exec "$@"'


@functools.lru_cache(None)
def hiding():
    """Words before a command that show it empty folders in place of the build's libraries and LibTorch; none where the kernel has no
    unprivileged mounts."""
    folders = [str(folder) for folder in (BINARY / "lib", BINARY / "bin", SOURCE / "include", TORCH)]
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", HIDE, "sh", *folders]
    if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL).returncode == 0:
        return words
    print("note: no unprivileged mounts here; programs run with the build tree in sight, only their libraries' paths are checked")
    return []


def libraries(program, **extra):
    """Library name -> path, as the loader finds them for a program."""
    output = run(*hiding(), "ldd", program, **extra)
    missing = re.findall(r"(\S+) => not found", output)
    if missing:
        raise AssertionError(f"{program} needs {', '.join(missing)}, which is not found")
    return {name: os.path.realpath(path) for name, path in re.findall(r"(\S+) => (/.*) \(0x", output)}


def dynamic(path, tag):
    """Values of a tag in a file's dynamic section: dynamic(library, "RUNPATH")."""
    return re.findall(rf"\({tag}\).*\[(.*)\]", run("readelf", "-dW", path))


def install_moved(work, name):
    """The prefix of an installed tree that was moved to the folder `name` of `work`."""
    run("cmake", "--install", BINARY, "--prefix", work / "first")
    prefix = work / name / "libmoe"
    prefix.parent.mkdir()
    return (work / "first").rename(prefix)


def train(folder, command, program):
    """Renders scenes with the `moe` at `command`, trains with `program SETTINGS RUN_FOLDER`; returns the program's output."""
    folder.mkdir(parents=True)
    (folder / "tiny.yml").write_text(SETTINGS, encoding="utf-8")
    run(*hiding(), command, "data", "synth", "traffic", "scenes", "--train", "8", "--val", "4", "--size", "192x128", cwd=folder)
    return run(*hiding(), *program, "tiny.yml", "run", cwd=folder)


def fresh_folder(name):
    folder = BINARY / "tests" / "scratch" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
