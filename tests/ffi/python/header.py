"""Reads moe.h: functions and struct fields as ctypes would declare them, sizes, offsets and constants as a C compiler
sees them."""
import ctypes
import os
import re
import subprocess

from moe import abi

_BASIC = {"int32_t": ctypes.c_int32, "moe_status": ctypes.c_int32, "moe_dtype": ctypes.c_int32,
          "int64_t": ctypes.c_int64, "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64,
          "size_t": ctypes.c_size_t, "double": ctypes.c_double, "char": ctypes.c_char, "void": None,
          "moe_log_fn": abi.moe_log_fn, "struct DLManagedTensorVersioned": ctypes.c_void_p,
          **{struct.__name__: struct for struct in abi.STRUCTS}}


class Header:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "moe.h"), encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", file.read(), flags=re.S)
        self.text = re.sub(r"\\\n", " ", text)
        self.handles = re.findall(r"typedef struct (\w+) \1;", self.text)

    def ctype(self, declaration):
        """The ctypes type of a C type; an opaque handle is void."""
        words = declaration.replace("const", " ")
        stars, name = words.count("*"), " ".join(words.replace("*", " ").split())
        if name in self.handles or name == "struct DLManagedTensorVersioned":
            kind, stars = ctypes.c_void_p, stars - 1
        else:
            kind = _BASIC[name]
        if stars and kind is ctypes.c_char:
            kind, stars = ctypes.c_char_p, stars - 1
        if stars and kind is None:
            kind, stars = ctypes.c_void_p, stars - 1
        for _ in range(stars):
            kind = ctypes.POINTER(kind)
        return kind

    def functions(self):
        """{name: (result, parameters)}"""
        found = re.findall(r"MOE_API\s+([^;()]*?)(\w+)\s*\(([^;]*?)\)\s*;", self.text)
        return {name: (self.ctype(result), [self.ctype(self._split(p)[0]) for p in parameters.split(",")
                                            if p.strip() != "void"]) for result, name, parameters in found}

    def structs(self):
        """{name: [(field, type)]}"""
        found = re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", self.text, flags=re.S)
        return {name: [self._field(f) for f in body.split(";") if f.strip()] for name, body in found}

    def constants(self):
        """{name: value} of enumerations and of macros that are numbers."""
        names = [n for body in re.findall(r"enum \{(.*?)\}", self.text, flags=re.S) for n in re.findall(r"(\w+)\s*=", body)]
        names += re.findall(r"#define (MOE_(?:VERSION\w*|ABI)) ", self.text)
        return self._compiled([f'printf("{name} %lld\\n", (long long)({name}));' for name in names])

    def layout(self):
        """{struct or struct.field: (size, offset)}"""
        lines = []
        for struct, fields in self.structs().items():
            lines.append(f'printf("{struct} %zu\\n", sizeof({struct}));')
            lines += [f'printf("{struct}.{name} %zu\\n", offsetof({struct}, {name}));' for name, _ in fields]
        return self._compiled(lines)

    def _field(self, declaration):
        kind, name = self._split(declaration)
        sizes = [int(n) for n in re.findall(r"\[(\d+)\]", declaration)]
        kind = self.ctype(kind)
        for size in reversed(sizes):
            kind = kind * size
        return name, kind

    @staticmethod
    def _split(declaration):
        """Type and name of a parameter or field."""
        match = re.fullmatch(r"\s*(.*?)(\w+)\s*(?:\[\d+\])*\s*", declaration, flags=re.S)
        return match.group(1), match.group(2)

    def _compiled(self, lines):
        """What a C program of these lines prints: {name: number}."""
        program = "#include <moe.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
        binary = os.path.join(self.folder, "probe")
        compiler = os.environ.get("MOE_CC", "cc")
        subprocess.run([compiler, "-x", "c", "-", f"-I{self.folder}", "-o", binary], input=program, text=True, check=True)
        out = subprocess.run([binary], capture_output=True, text=True, check=True).stdout
        return {name: int(value) for name, value in (line.split() for line in out.splitlines())}
