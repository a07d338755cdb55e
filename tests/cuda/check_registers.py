#!/usr/bin/env python3
"""check_registers.py FOLDER ARCHS: reads the *.ptxas reports that the build of libmoe_cuda.so leaves in FOLDER (ptxas -v)
and prints the registers of every kernel. Fails if a kernel spills or has a stack frame (an array that left the registers), uses
more registers than its limit on any architecture, or if an architecture of ARCHS ("75;80") is missing. Kernels for double
may spill a few bytes: they are for tests."""
import pathlib, re, shutil, subprocess, sys

# Registers of a thread. A block of n threads needs n * registers <= 65536, and half of that to have two blocks at work.
LIMITS = [("ScanBackward<double>", 240), ("ScanBackward", 168), ("ScanForward<double>", 168), ("ScanForward", 112),
          ("GateForward<double>", 96), ("", 80)]
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SPILL_OF_DOUBLE = 32  # bytes


def read_report(path):
    """Yields (mangled name, architecture, registers, stack frame, spill stores, spill loads)."""
    entry = None
    for line in path.read_text().splitlines():
        if match := ENTRY.search(line):
            entry, frames = match.groups(), []
        elif entry and (match := FRAME.search(line)):  # of the kernel, and of functions that it calls
            frames.append([int(number) for number in match.groups()])
        elif entry and (match := USED.search(line)):
            yield *entry, int(match.group(1)), *map(max, zip(*frames))
            entry = None


def short_names(mangled):
    """'void moe::cuda::element_kernel<moe::cuda::Body<float> >(...)' -> 'Body<float>'"""
    plain = subprocess.run([shutil.which("c++filt") or "c++filt"], input="\n".join(mangled), text=True,
                           capture_output=True, check=True).stdout.splitlines()
    bodies = [re.search(r"_kernel<(.*?)>?\s?>\(", name) for name in plain]
    return [re.sub(r"\w+::|\s", "", match.group(1)) + (">" if "<" in match.group(1) else "") if match else name
            for match, name in zip(bodies, plain)]


def limit_of(name):
    return next(limit for start, limit in LIMITS if name.startswith(start))


def main(folder, archs):
    entries = [entry for path in sorted(pathlib.Path(folder).glob("*.ptxas")) for entry in read_report(path)]
    if not entries:
        return f"{folder}: expected reports of ptxas, got none"
    problems, most = [], {}
    for name, (_, arch, registers, frame, stores, loads) in zip(short_names([e[0] for e in entries]), entries):
        most[name] = max(most.get(name, (0, "")), (registers, arch))
        if max(frame, stores, loads) > (SPILL_OF_DOUBLE if "<double>" in name else 0):
            problems.append(f"{name} on {arch}: {frame} bytes of stack, {stores} + {loads} bytes spilled; expected none")
        if registers > limit_of(name):
            problems.append(f"{name} on {arch}: {registers} registers; expected at most {limit_of(name)}")
    for arch in archs.split(";"):
        if not any(entry[1] == "sm_" + arch for entry in entries):
            problems.append(f"sm_{arch}: expected its kernels, got none")
    for name, (registers, arch) in sorted(most.items()):
        print(f"{name:40} {registers:4} registers at most ({arch}), limit {limit_of(name)}")
    print(f"{len(entries)} kernels, {len(most)} bodies")
    return "\n".join(problems)


if __name__ == "__main__":
    problem = main(*sys.argv[1:])
    sys.exit(problem or 0)
