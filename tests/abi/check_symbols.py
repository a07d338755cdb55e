#!/usr/bin/env python3
"""Checks what libmoe.so exports against moe.symbols and moe.h.

usage: check_symbols.py LIBRARY SYMBOLS HEADER ARGUMENTS

Exported symbols, the golden list and the functions declared MOE_API are the same set; every declaration has a comment that
ends on the line above it and names the version that first had it; ARGUMENTS, the test of bad arguments, calls every function
that can fail.
"""
import re
import subprocess
import sys


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    names = [line.split()[-1] for line in out.splitlines()]
    # The version node itself is listed as an absolute symbol.
    return {name.split("@")[0] for name in names} - {"MOE_0"}, {name.rsplit("@", 1)[-1] for name in names if "@" in name}


def declared(header):
    """Function name -> the text of the comment directly above it, or None."""
    lines = open(header, encoding="utf-8").read().splitlines()
    functions = {}
    for number, line in enumerate(lines):
        if not line.startswith("MOE_API"):
            continue
        name = re.search(r"\b(moe_\w+)\(", line + " " + lines[number + 1]).group(1)
        functions[name] = comment_above(lines, number)
    return functions


def comment_above(lines, number):
    if not lines[number - 1].rstrip().endswith("*/"):
        return None
    first = number - 1
    while not lines[first].lstrip().startswith("/*"):
        first -= 1
    return " ".join(lines[first:number])


CANNOT_FAIL = {"moe_version", "moe_version_string", "moe_abi_version", "moe_status_name"}


def main(library, symbols, header, arguments):
    problems = []
    golden = open(symbols, encoding="utf-8").read().split()
    functions = declared(header)
    names, nodes = exported(library)
    if golden != sorted(golden):
        problems.append(f"{symbols} is not sorted")
    for kind, other in (("exported by the library", names), ("declared in the header", set(functions))):
        problems += [f"{name} is in {symbols}, but not {kind}" for name in sorted(set(golden) - other)]
        problems += [f"{name} is {kind}, but not in {symbols}" for name in sorted(other - set(golden))]
    called = set(re.findall(r"\b(moe_\w+)\(", open(arguments, encoding="utf-8").read()))
    problems += [f"{name} is not called in {arguments}" for name in golden if name not in called | CANNOT_FAIL]
    if nodes - {"MOE_0"}:
        problems.append(f"expected the version node MOE_0 alone, got {sorted(nodes)}")
    for name, comment in functions.items():
        if comment is None:
            problems.append(f"{name} has no comment directly above it")
        elif not re.search(r"Since \d+\.\d+", comment):
            problems.append(f"{name}: its comment does not say since which version it exists")
    print("\n".join(problems) or f"{len(golden)} functions: exported, declared, documented and called with bad arguments")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
