#!/usr/bin/env python3
"""The binary interface of libmoe as text (moe.abi), and the gate that keeps it.

usage: abi.py check [--complete]   is moe.h compatible with moe.abi? --complete: does moe.abi hold all of moe.h, too?
       abi.py update               takes what moe.h has gained into moe.abi; refuses a change that breaks programs

A C stub that defines every function of moe.h empty is compiled with debug information and described by abidw; abidiff compares.
The stub stands for the library because the debug information of C++ would drown the interface; that the library exports the same
names is checked by tests/abi/check_symbols.py. Anonymous enums get a name and a variable in the stub, else abidw would not see them.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent
HEADER = SOURCE / "include" / "moe.h"
BASELINE = HERE / "moe.abi"
SUPPRESSIONS = HERE / "moe.abignore"
CHANGELOG = SOURCE / "CHANGELOG.md"
FIRST_RELEASE = (0, 1)


class GateError(Exception):
    """The gate cannot give a verdict: a tool fails, or there is no debug information."""


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def functions(header):
    """Name -> declaration, of every function that the header declares MOE_API."""
    found = re.findall(r"^(?:MOE_DEPRECATED\(.*?\)\s*)?(MOE_API\s+[^;{]*?\b(moe_\w+)\([^;{]*\));", without_comments(header), re.M)
    return {name: declaration for declaration, name in found}


def abi_number(header):
    return int(re.search(r"^#define MOE_ABI (\d+)$", header, re.M).group(1))


def versioned_structs(header):
    """Names of the structs that begin with struct_size: those that may grow at their end."""
    return re.findall(r"^typedef struct (\w+) \{\s*uint32_t struct_size;", without_comments(header), re.M)


def stub(header):
    """C source of a library with moe.h's interface and no content."""
    enums = []

    def named(match):
        enums.append("moe_constants_" + match.group(1))
        return f"enum {enums[-1]} {{ {match.group(1)}"

    lines = [re.sub(r"^enum\s*\{\s*(MOE_\w+)", named, without_comments(header), flags=re.M)]
    lines += [f"MOE_API enum {name} {name}_;" for name in enums]
    lines += [declaration + (" {}" if declaration.startswith("MOE_API void ") else " { return 0; }")
              for declaration in functions(header).values()]
    return "\n".join(lines) + "\n"


def run(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise GateError(f"{command[0]}: not installed; scripts/setup installs it (Debian: abigail-tools)") from None


def describe(header, folder, flags=("-g",)):
    """The interface of a header's text as abidw writes it: an XML file in `folder`."""
    source, library, output = (pathlib.Path(folder) / name for name in ("stub.c", "libmoe.so", "moe.abi"))
    source.write_text(stub(header), encoding="utf-8")
    compiled = run(os.environ.get("CC", "cc"), *flags, "-std=c11", "-O0", "-fPIC", "-shared", "-fvisibility=hidden", "-w",
                   f"-Wl,-soname,libmoe.so.{abi_number(header)}", f"-Wl,--version-script={HERE / 'moe.map'}",
                   str(source), "-o", str(library))
    if compiled.returncode != 0:
        raise GateError("the stub of moe.h does not compile:\n" + compiled.stderr)
    dumped = run("abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--type-id-style", "hash",
                 "--out-file", str(output), str(library))
    if dumped.returncode != 0:
        raise GateError("abidw: " + dumped.stderr.strip())
    require_types(output, functions(header))
    return output


def require_types(dump, names):
    """abidiff finds no difference between two libraries without debug information, whatever they hold."""
    described = {node.get("name") for node in xml.etree.ElementTree.parse(dump).iter("function-decl")}
    missing = sorted(set(names) - described)
    if missing or not described:
        raise GateError(f"{dump}: expected {len(names)} functions with their types, got none of {', '.join(missing)[:200]}: "
                        "the stub has no debug information")


def compare(old, new):
    """(verdict, report): "same", "grown" (old programs keep working) or "broken"."""
    exact = run("abidiff", "--harmless", str(old), str(new))
    tolerant = run("abidiff", "--no-added-syms", "--suppressions", str(SUPPRESSIONS), str(old), str(new))
    for result in (exact, tolerant):
        if result.returncode & 3:
            raise GateError("abidiff: " + (result.stderr or result.stdout).strip())
    moved = moved_members(old, new)
    if tolerant.returncode or moved:
        return "broken", tolerant.stdout + "".join(line + "\n" for line in moved)
    return ("grown", exact.stdout) if exact.stdout.strip() else ("same", "")


def type_text(nodes, identifier):
    """A type of the dump in words: "double", "array of 64 char", "pointer to moe_log_fn"."""
    node = nodes.get(identifier)
    if node is None or node.get("name"):
        return identifier if node is None else node.get("name")
    inner = type_text(nodes, node.get("type-id") or "void")
    if node.tag == "array-type-def":
        return f"array of {node.find('subrange').get('length')} {inner}"
    return f"{node.tag} {inner}"


def members(dump):
    """Struct name -> {member: (offset in bits, type)}."""
    root = xml.etree.ElementTree.parse(dump).getroot()
    nodes = {node.get("id"): node for node in root.iter() if node.get("id") and node.tag != "subrange"}

    def place(member):
        return int(member.get("layout-offset-in-bits")), type_text(nodes, member.find("var-decl").get("type-id"))

    return {struct.get("name"): {member.find("var-decl").get("name"): place(member) for member in struct.iter("data-member")}
            for struct in root.iter("class-decl")}


def moved_members(old, new):
    """Members that were renamed, moved or retyped. abidiff calls a new name harmless, and its suppression for growth at the end also
    hides a member whose type changed."""
    after = members(new)
    return [f"{name}.{member}: expected {place[1]} at bit {place[0]}, got {after.get(name, {}).get(member, 'no such member')}"
            for name, before in members(old).items() for member, place in before.items()
            if after.get(name, {}).get(member) != place]


def suppressed(text):
    """The place of the list of structs in moe.abignore."""
    return re.search(r"(?<=name_regexp = \^\().*(?=\)\$)", text)


def rule_problems(header, changelog):
    """What abidiff cannot see: the suppressions name the structs with struct_size alone; CHANGELOG.md names new functions."""
    problems = []
    allowed = suppressed(SUPPRESSIONS.read_text(encoding="utf-8")).group().split("|")
    for name in sorted(set(allowed) ^ set(versioned_structs(header))):
        problems.append(f"{name}: expected in moe.abignore if and only if it begins with struct_size (capi/abi.py update)")
    for name in functions(header):
        since = re.search(r"Since (\d+)\.(\d+)(?:(?!Since).)*?\b" + name + r"\(", header, re.DOTALL)
        version = since and (int(since.group(1)), int(since.group(2)))
        if version and version > FIRST_RELEASE and name not in changelog:
            problems.append(f"{name}: expected in CHANGELOG.md, since it is new in {version[0]}.{version[1]}")
    return problems


def check(header, complete):
    """(exit code, text)."""
    problems = rule_problems(header, CHANGELOG.read_text(encoding="utf-8"))
    if problems:
        return 1, "\n".join(problems)
    with tempfile.TemporaryDirectory() as folder:
        verdict, report = compare(BASELINE, describe(header, folder))
    if verdict == "broken":
        return 1, f"{report}moe.h breaks programs built with the interface in moe.abi"
    if verdict == "grown" and complete:
        return 1, f"{report}moe.abi is behind moe.h: run capi/abi.py update, and list the change in CHANGELOG.md"
    return 0, f"{len(functions(header))} functions of moe.h: " + ("as moe.abi has them" if verdict == "same" else "moe.abi has grown")


def update(header):
    """(exit code, text). A broken interface is taken only with a new MOE_ABI: it then is another library."""
    with tempfile.TemporaryDirectory() as folder:
        new = describe(header, folder)
        if BASELINE.exists():
            verdict, report = compare(BASELINE, new)
            old_soname = xml.etree.ElementTree.parse(BASELINE).getroot().get("soname")
            if verdict == "broken" and old_soname == f"libmoe.so.{abi_number(header)}":
                return 1, f"{report}expected a compatible moe.h, or a new MOE_ABI; moe.abi stays as it is"
        BASELINE.write_bytes(new.read_bytes())
    allowed = SUPPRESSIONS.read_text(encoding="utf-8")
    place = suppressed(allowed)
    names = "|".join(sorted(versioned_structs(header)))
    SUPPRESSIONS.write_text(allowed[:place.start()] + names + allowed[place.end():], encoding="utf-8")
    return 0, f"moe.abi: {len(functions(header))} functions; list the change in CHANGELOG.md"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("command", choices=["check", "update"])
    parser.add_argument("--complete", action="store_true")
    options = parser.parse_args()
    header = HEADER.read_text(encoding="utf-8")
    try:
        code, text = check(header, options.complete) if options.command == "check" else update(header)
    except GateError as error:
        code, text = 2, str(error)
    print(text, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
