#!/usr/bin/env python3
"""Doxygen's input filter: reads a file of the project in its own style and prints it as Doxygen wants it, line for line.

moe.h: the opening comment becomes the main page, each banner (/* ----- Batches) a group, a comment before a declaration
its description, a comment behind a member or value that one's; "Errors:" and "Since" become paragraphs of their own. What
the header says once for all is said at each place: struct_size, reserved, _INIT macros, opaque handles.
Markdown pages: links to files outside docs/ become plain text.

  filter.py FILE
"""
import re
import sys

BANNER = re.compile(r"/\* -{20,} (\w+)(?: \*/)?$")
TRAILING = re.compile(r"^(\s*\S.*?[,;{}\w)\]\"])(\s+)/\* (.*)$")
CODE = re.compile(r"^ \*     ")
NAME = re.compile(r'(?<![\w#."])((?:MOE_[A-Z0-9_]*[A-Z0-9]|moe_[a-z0-9_]*[a-z0-9]))(?![\w*(]|_\*|\.\w)')
# Declarations whose meaning is a convention of the header, with the words for it.
CONVENTIONS = [
    (re.compile(r"^\s+uint32_t struct_size;$"), "Size of the struct; the _INIT macro or _init function sets it."),
    (re.compile(r"^\s+int32_t reserved;$"), "0"),
    (re.compile(r"^\s+void \*log_user;$"), "Handed on to log_fn."),
    (re.compile(r"^#define MOE_\w+_INIT "), "First value of a variable of this struct."),
    (re.compile(r"^typedef struct (moe_\w+) \1;$"), "Opaque handle."),
]


def paragraphs(text):
    """Errors and Since as paragraphs of their own; @errors is an alias of the Doxyfile."""
    text = re.sub(r"\bErrors:", "@errors", text)
    return re.sub(r"\bSince (\d+\.\d+)(?!\w)", r"@since \1", text)


def links(line):
    """Names of moe.h become links, which Doxygen checks; not in code and not where * stands for several. An @ is itself."""
    if CODE.match(line):
        return line
    pieces = line.split("`")
    pieces[::2] = [NAME.sub(r"#\1", piece.replace("@", "\\@")) for piece in pieces[::2]]
    return "`".join(pieces)


def opening(lines):
    """The main page: the conventions as a heading and a list."""
    out = ["/** @file moe.h", " */ /** @mainpage libmoe"]
    for line in lines[2:]:
        line = re.sub(r"^ \* CONVENTIONS, (.*)$", r" * ## Conventions, \1", line)
        line = re.sub(r"^ \* (Results|Ownership|Text|Structs|Threads|Callbacks)\b(\.?)", r" * - **\1\2**", line)
        out.append(links(line))
    return out


def header(lines):
    end = next(i for i, line in enumerate(lines) if line.strip() == "*/") + 1
    out, group, inside = opening(lines[:end]), None, False
    for line in lines[end:]:
        banner = BANNER.match(line)
        if banner:
            if group:
                out[-1] = "/** @} */"  # in place of the empty line before a banner
            group = banner[1]
            inside = not line.endswith("*/")
            out.append(f"/** @defgroup {group.lower()} {group}" + ("" if inside else " */"))
        elif out[-1].startswith("/** @defgroup") and not inside:
            out.append("/** @{ */")  # in place of the empty line after a banner without text
        elif inside:
            inside = not line.endswith("*/")
            out.append(links(line) if inside else links(line[:-2]) + " @{ */")
        else:
            out.append(convert(line))
    last = max(i for i, line in enumerate(out) if line.startswith("#ifdef __cplusplus"))
    out[last - 1] = "/** @} */"
    return out


def convert(line):
    """One line outside the opening comment and the banners."""
    trailing = TRAILING.match(line)
    if trailing and not line.lstrip().startswith(("/*", "*")):
        return f"{trailing[1]}{trailing[2]}/**< {links(trailing[3])}"
    for pattern, words in CONVENTIONS:
        if pattern.match(line):
            return f"{line} /**< {words} */"
    if not line.lstrip().startswith(("/*", "*")):
        return line
    return paragraphs(links(re.sub(r"^(\s*)/\* ", r"\1/** ", line)))


def markdown(lines):
    out = [re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", line) for line in lines]
    return [line.replace("`", "") if re.match(r"#+ ", line) else line for line in out]  # Doxygen prints <tt> in headings


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = file.read().splitlines()
    print("\n".join(markdown(lines) if sys.argv[1].endswith(".md") else header(lines)))


if __name__ == "__main__":
    main()
