#!/usr/bin/env python3
"""Checks the dynamic section of libmoe.so: name, flags, and what it needs.

usage: check_binary.py LIBRARY
"""
import re
import subprocess
import sys

ALLOWED = re.compile(r"^(libtorch_cpu|libc10|libyaml-cpp|libturbojpeg|libpng16|libz|libgomp|libstdc\+\+|libm|libgcc_s|libc|ld-linux-x86-64)\.so")
# Sanitizer builds need their run-time libraries as well.
SANITIZERS = re.compile(r"^lib(asan|ubsan|tsan)\.so")


def main(library):
    out = subprocess.run(["readelf", "-dW", library], check=True, capture_output=True, text=True).stdout
    entries = re.findall(r"\((\w+)\)\s+(.*)", out)
    needed = [re.search(r"\[(.*)\]", text).group(1) for tag, text in entries if tag == "NEEDED"]
    problems = [f"needs {name}, which is not on the list" for name in needed if not (ALLOWED.match(name) or SANITIZERS.match(name))]
    if not any(tag == "SONAME" and "[libmoe.so.0]" in text for tag, text in entries):
        problems.append("expected the SONAME libmoe.so.0")
    if not any(tag == "FLAGS_1" and "NODELETE" in text for tag, text in entries):
        problems.append("expected the flag NODELETE")
    if not any(tag == "FLAGS_1" and "NOW" in text for tag, text in entries):
        problems.append("expected the flag NOW")
    if any(tag == "RPATH" for tag, _ in entries):
        problems.append("expected RUNPATH, got RPATH, which the environment cannot override")
    if any(tag == "TEXTREL" for tag, _ in entries):
        problems.append("expected position-independent code, got TEXTREL")
    print("\n".join(problems) or "SONAME libmoe.so.0, NODELETE, NOW, needs " + ", ".join(needed))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
