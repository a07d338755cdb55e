#!/usr/bin/env python3
"""Compares the Julia module with moe.h, because no Julia is at hand to run it: every @ccall (name, number, order, names and types of
its arguments, return type), every mirrored struct (fields, order, types), every constant, the callback's signature, and that each
function is used by the module or listed here.

usage: check.py MOE_H JULIA_SRC_FOLDER
"""
import pathlib
import re
import sys

# Functions that the module declares but does not call, and why.
UNUSED = {
    "moe_batch_bind_dlpack": "setindex! copies",
    "moe_batch_export_dlpack": "getindex copies",
    "moe_tensor_view_init": "the struct's constructor takes every field",
    "moe_step_info_init": "zeroed() does it",
}
SCALARS = {"int32_t": "Int32", "uint32_t": "UInt32", "int64_t": "Int64", "uint64_t": "UInt64", "size_t": "Csize_t", "double": "Float64",
           "moe_status": "moe_status", "moe_dtype": "moe_dtype", "moe_log_fn": "moe_log_fn"}
ALIASES = {"moe_status": "Int32", "moe_dtype": "Int32", "moe_log_fn": "Ptr{Cvoid}"}
VERSION = re.compile(r"#define MOE_VERSION_(MAJOR|MINOR|PATCH) (\d+)")


def words(text):
    return " ".join(text.split())


def c_declaration(text):
    """'const char *const *paths' -> ('paths', 'char', 2, []): name, base type, stars, sizes of an array."""
    match = re.fullmatch(r"(.*?)(\w+)((?:\[\w+\])*)", words(text))
    base = re.sub(r"\b(const|struct)\b|\*", "", match.group(1)).strip()
    return match.group(2), base, match.group(1).count("*"), [int(n) for n in re.findall(r"\[(\d+)\]", match.group(3))]


class Header:
    def __init__(self, text):
        self.version = {part: int(number) for part, number in VERSION.findall(text)}
        self.abi = int(re.search(r"#define MOE_ABI (\d+)", text).group(1))
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        self.constants = {name: int(value, 0) for block in re.findall(r"enum\s*\{(.*?)\}", text, flags=re.S)
                          for name, value in re.findall(r"(MOE_\w+)\s*=\s*(\w+)", block)}
        self.opaque = set(re.findall(r"typedef struct (moe_\w+) \1;", text)) | {"DLManagedTensorVersioned"}
        self.structs = {name: [c_declaration(field) for field in body.split(";") if field.strip()]
                        for name, body in re.findall(r"typedef struct (moe_\w+) \{(.*?)\n\} \w+;", text, flags=re.S)}
        self.functions = {name: (words(result), [] if words(arguments) == "void" else [c_declaration(a) for a in arguments.split(",")])
                          for result, name, arguments in re.findall(r"MOE_API ([^;(]*?)\b(moe_\w+)\((.*?)\);", text, flags=re.S)}
        self.callback = [c_declaration(a) for a in re.search(r"\(\*moe_log_fn\)\((.*?)\)", text).group(1).split(",")]


class Module:
    def __init__(self, files):
        text = re.sub(r"(?m)#.*$", "", files["lib.jl"])
        self.constants = {name: int(value, 0) for name, value in re.findall(r"^const (MOE_\w+) = Int32\((\w+)\)$", text, flags=re.M)}
        self.aliases = dict(re.findall(r"^const (moe_\w+) = (.+)$", text, flags=re.M))
        self.opaque = set(re.findall(r"^mutable struct (\w+) end$", text, flags=re.M))
        self.structs = {name: [tuple(line.strip().split("::")) for line in body.strip().splitlines()]
                        for name, body in re.findall(r"^struct (\w+)\n(.*?)^end$", text, flags=re.M | re.S)}
        self.functions, self.wrong = {}, []
        for name, taken, called, arguments, result in re.findall(
                r"^(moe_\w+)\((.*?)\) =\s+@ccall libmoe\.(\w+)\((.*?)\)::(\w+)$", text, flags=re.M | re.S):
            typed = [tuple(a.strip().split("::")) for a in arguments.split(", ") + [""] if a.strip()] if "\n" not in arguments else [
                tuple(a.strip().split("::")) for a in words(arguments).split(", ")]
            if name != called or [a.strip() for a in taken.split(",") if a.strip()] != [a[0] for a in typed]:
                self.wrong.append(f"{name}: expected to hand its arguments on to the function of its name, in their order")
            self.functions[called] = (result, typed)
        if len(self.functions) != text.count("@ccall"):
            self.wrong.append(f"lib.jl: {text.count('@ccall')} @ccall, of which {len(self.functions)} can be read")
        self.rest = "\n".join(text for name, text in files.items() if name != "lib.jl")
        if re.search(r"@ccall (?!libmoe\.\.\.)|ccall\(", re.sub(r"(?m)#.*$", "", self.rest)):
            self.wrong.append("expected every @ccall in lib.jl, got one elsewhere")


def field_type(base, stars, sizes):
    """The one Julia type that lays a field out as C does."""
    name = {"char": "UInt8", "void": "Cvoid"}.get(base) or SCALARS[base]
    name = "Ptr{" * stars + name + "}" * stars
    for size in reversed(sizes):
        name = f"NTuple{{{size},{name}}}"
    return name


def argument_types(header, base, stars):
    """Julia types that a C argument can be passed as."""
    if stars == 0:
        return {SCALARS[base]}
    if base == "char":
        return {1: {"Cstring", "Ptr{UInt8}"}, 2: {"Ptr{Cstring}"}}[stars]
    if base == "void":
        return {"Ptr{Cvoid}"}
    known = base if base in header.structs or base in header.opaque else SCALARS[base]
    if stars == 2:
        return {f"Ref{{Ptr{{{known}}}}}"}
    return {f"Ptr{{{known}}}"} if base in header.opaque else {f"Ref{{{known}}}", f"Ptr{{{known}}}"}


def check_functions(header, module):
    for name in sorted(set(header.functions) ^ set(module.functions)):
        yield f"{name}: " + ("not in moe.h" if name in module.functions else "not declared")
    for name in sorted(set(header.functions) & set(module.functions)):
        (c_result, c_arguments), (result, arguments) = header.functions[name], module.functions[name]
        wanted = {"void": "Cvoid", "const char *": "Cstring"}.get(c_result) or SCALARS.get(c_result)
        if result != wanted:
            yield f"{name}: expected to return {wanted}, got {result}"
        if len(arguments) != len(c_arguments):
            yield f"{name}: expected {len(c_arguments)} arguments, got {len(arguments)}"
            continue
        for (c_name, base, stars, _), (got_name, got) in zip(c_arguments, arguments):
            if got_name != c_name or got not in argument_types(header, base, stars):
                yield f"{name}: expected {c_name}::{sorted(argument_types(header, base, stars))}, got {got_name}::{got}"
        if (name in UNUSED) == bool(re.search(rf"\b{name}\b", module.rest)):
            yield f"{name}: used and listed as unused, or neither"


def check_structs(header, module):
    for name in sorted(set(header.structs) ^ set(module.structs)):
        yield f"{name}: a struct of one side alone"
    for name in sorted(set(header.structs) & set(module.structs)):
        wanted = [(field, field_type(*rest)) for field, *rest in header.structs[name]]
        if wanted != module.structs[name]:
            yield f"{name}: expected {wanted}, got {module.structs[name]}"


def check_constants(header, module):
    version = header.version["MAJOR"] * 10000 + header.version["MINOR"] * 100 + header.version["PATCH"]
    wanted = header.constants | {"MOE_VERSION": version, "MOE_ABI": header.abi}
    for name in sorted(set(wanted) | set(module.constants)):
        if wanted.get(name) != module.constants.get(name):
            yield f"{name}: expected {wanted.get(name)}, got {module.constants.get(name)}"
    if module.aliases != ALIASES:
        yield f"expected the types {ALIASES}, got {module.aliases}"
    if module.opaque != header.opaque:
        yield f"expected the opaque types {sorted(header.opaque)}, got {sorted(module.opaque)}"
    for name in header.constants:
        if name.startswith("MOE_ERR_") and f"({name}, :" not in module.rest:
            yield f"{name}: has no exception type"


def check_callback(header, module):
    wanted = [{"int32_t": "Int32", "char": "Cstring", "void": "Ptr{Cvoid}"}[base] for _, base, _, _ in header.callback]
    made = re.search(r"@cfunction\((\w+), Cvoid, \((.*?)\)\)", module.rest)
    if not made or made.group(2).split(", ") != wanted:
        yield f"@cfunction: expected the arguments {wanted}, got {made and made.group(2)}"
    taken = made and re.search(rf"function {made.group(1)}\((.*?)\)", module.rest)
    if not taken or [a.split("::")[1] for a in taken.group(1).split(", ")] != wanted:
        yield f"the callback's method: expected the arguments {wanted}, got {taken and taken.group(1)}"


def check(header_text, files):
    header, module = Header(header_text), Module(files)
    problems = list(module.wrong)
    for part in (check_functions, check_structs, check_constants, check_callback):
        problems += part(header, module)
    return problems, header


def read(header, folder):
    return (pathlib.Path(header).read_text(encoding="utf-8"),
            {path.name: path.read_text(encoding="utf-8") for path in sorted(pathlib.Path(folder).glob("*.jl"))})


def main(header, folder):
    problems, found = check(*read(header, folder))
    print("\n".join(problems) or f"{len(found.functions)} functions, {len(found.structs)} structs, {len(found.constants)} constants: alike")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
