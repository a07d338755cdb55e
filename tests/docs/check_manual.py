#!/usr/bin/env python3
"""The reference manual: Doxygen makes it from moe.h without a warning, every symbol of the header has a description in it,
and the gate holds: a copy of the header with an undescribed function, member or constant, or with a link that leads
nowhere, is refused.

  check_manual.py DOXYFILE HEADER
"""
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

# Part of the header, what a careless change makes of it, and what must be said about it.
CARELESS = [
    ("/* An empty batch. Since 0.1 */\n", "", "moe_batch_create"),
    ("int32_t experts; /* E */", "int32_t experts;", "experts"),
    ("MOE_I8 = 0x0800,   /* int8_t */", "MOE_I8 = 0x0800,", "MOE_I8"),
    ("/* An empty batch. Since", "/* An empty batch, see MOE_NOTHING. Since", "MOE_NOTHING"),
]


def make(doxyfile, header, folder):
    """Runs Doxygen over `header` in place of the file's own; returns its exit code and what it said."""
    text = doxyfile.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^INPUT .*$", lambda line: re.sub(r"\S+/include/moe\.h", str(header), line[0]), text)
    text += f"\nOUTPUT_DIRECTORY = {folder}\nSTRIP_FROM_PATH =\n"
    done = subprocess.run(["doxygen", "-"], input=text, capture_output=True, text=True)
    return done.returncode, done.stderr


def described(element):
    return any("".join(element.find(name).itertext()).strip() for name in ("briefdescription", "detaileddescription"))


def undescribed(folder):
    """Names in the manual without a word, and all names: Doxygen itself says nothing of constants of nameless enums."""
    names, missing = set(), []
    for path in Path(folder, "xml").glob("*.xml"):
        for element in xml.parse(path).iter():
            if element.tag not in ("memberdef", "enumvalue") or element.get("kind") == "enum":
                continue
            name = element.find("name").text
            names.add(name)
            if not described(element):
                missing.append(name)
    return names, missing


def declared(header):
    """Functions, constants and macros as the header spells them."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.S)
    names = re.findall(r"^MOE_API.*?(moe_\w+)\(", text, flags=re.M) + re.findall(r"^#define (MOE_\w+)", text, flags=re.M)
    return {*names, *re.findall(r"\b(MOE_\w+) = ", text)} - {"MOE_H"}


def main():
    doxyfile, header = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    if shutil.which("doxygen") is None:
        print("SKIPPED: the reference manual was NOT checked, no doxygen here; scripts/setup installs it")
        return 77
    failures = []
    with tempfile.TemporaryDirectory(prefix="moe-manual-") as folder:
        code, said = make(doxyfile, header, folder)
        names, missing = undescribed(folder)
        if code != 0 or missing:
            failures.append(f"expected a manual without a warning, got exit code {code}, no description of {missing}\n{said}")
        elif declared(header) - names:
            failures.append(f"expected every symbol in the manual, these are not there: {sorted(declared(header) - names)}")
    for good, careless, name in CARELESS if not failures else []:
        with tempfile.TemporaryDirectory(prefix="moe-manual-") as folder:
            copy = Path(folder, "moe.h")
            text = header.read_text(encoding="utf-8")
            if good not in text:
                failures.append(f"expected \"{good.strip()}\" in {header}, it is not there: give this test another example")
                continue
            copy.write_text(text.replace(good, careless, 1), encoding="utf-8")
            code, said = make(doxyfile, copy, folder)
            if code == 0 and name not in undescribed(folder)[1] or code != 0 and name not in said:
                failures.append(f"expected a complaint about {name}, got exit code {code}: {said.strip()}")
    print("\n".join(failures) or "all checks passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
