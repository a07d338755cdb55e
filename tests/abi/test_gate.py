#!/usr/bin/env python3
"""Proves that the ABI gate (capi/abi.py) fires: changed copies of moe.h are compared with the header itself.

usage: test_gate.py        (CC names the C compiler)
"""
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "capi"))
sys.dont_write_bytecode = True
import abi  # noqa: E402

HEADER = abi.HEADER.read_text(encoding="utf-8")
SECONDS_LEFT = r"(  double seconds_left;[^\n]*\n)"
EVENT_TEXT = r"(  char text\[512\];[^\n]*\n)"
CLEAR = r"^MOE_API moe_status moe_batch_clear\([^\n]*\n"

# What is done to moe.h: (pattern, replacement).
BREAKS = {
    "member inserted in the middle": (SECONDS_LEFT, r"\1  double extra;\n"),
    "members inserted in the middle and at the end": (SECONDS_LEFT + EVENT_TEXT, r"\1  double extra;\n\2  double more;\n"),
    "member appended to a struct without struct_size": (r"(  double importance;[^\n]*\n)", r"\1  double extra;\n"),
    "member of another type and the same size": (r"double metric; ", "int64_t metric; "),
    "retyped member and an appended one": (r"double metric; (.*?)" + EVENT_TEXT, r"int64_t metric; \1\2  double extra;\n"),
    "member renamed": (r"double metric; ", "double meter; "),
    "array member enlarged": (r"char name\[64\]", "char name[128]"),
    "function removed": (CLEAR, ""),
    "parameter widened": (r"moe_set_threads\(int32_t", "moe_set_threads(int64_t"),
    "parameter made unsigned": (r"moe_set_threads\(int32_t", "moe_set_threads(uint32_t"),
    "parameters exchanged": (r"moe_run_open\(const moe_config \*config, const char \*dir",
                             "moe_run_open(const char *dir, const moe_config *config"),
    "result changed": (r"^MOE_API void moe_run_close", "MOE_API moe_status moe_run_close"),
    "callback changed": (r"\(\*moe_log_fn\)\(int32_t level", "(*moe_log_fn)(int64_t level"),
    "enum value changed": (r"MOE_ERR_NUMERIC = 16", "MOE_ERR_NUMERIC = 26"),
    "enum constant removed": (r", MOE_LOG_ERROR = 3", ""),
    "enum constant renamed": (r"MOE_LOG_ERROR = 3", "MOE_LOG_FAILURE = 3"),
    "another binary interface": (r"MOE_ABI 0", "MOE_ABI 1"),
}
GROWTH = {
    "member appended to a struct with struct_size": (SECONDS_LEFT + EVENT_TEXT, r"\1\2  double extra;\n"),
    "function added": (CLEAR, r"\g<0>MOE_API moe_status moe_batch_new(moe_batch *batch);\n"),
    "enum constant appended": (r"MOE_ERR_INTERNAL = 18 ", "MOE_ERR_INTERNAL = 18, MOE_ERR_NEW = 19 "),
    "enum added": (r"^enum \{ MOE_MAX_DIMS", r"enum { MOE_NEW = 8 };\n\g<0>"),
}
NOTHING = {
    "function deprecated": (CLEAR, r'MOE_DEPRECATED("0.4: use moe_batch_free()") \g<0>'),
    "comment changed": (r"/\* Removes every tensor\.", "/* Drops every tensor."),
}


def changed(pattern, replacement):
    text, count = re.subn(pattern, replacement, HEADER, count=1, flags=re.MULTILINE | re.DOTALL)
    assert count == 1 and text != HEADER, f"{pattern} no longer matches moe.h"
    return text


class Gate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.current = abi.describe(HEADER, cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def verdict(self, header):
        with tempfile.TemporaryDirectory() as folder:
            return abi.compare(self.current, abi.describe(header, folder))

    def expect(self, changes, expected):
        for name, change in changes.items():
            with self.subTest(name):
                verdict, report = self.verdict(changed(*change))
                self.assertEqual(verdict, expected, report)
                self.assertEqual(bool(report.strip()), expected != "same")

    def test_a_break_is_seen(self):
        self.expect(BREAKS, "broken")

    def test_growth_passes(self):
        self.expect(GROWTH, "grown")

    def test_what_is_no_interface_is_ignored(self):
        self.expect(NOTHING, "same")

    def test_no_debug_information_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(abi.GateError, "no debug information"):
            abi.describe(HEADER, folder, flags=("-g0",))

    def test_every_function_and_constant_is_described(self):
        text = self.current.read_text(encoding="utf-8")
        for name in re.findall(r"^MOE_API.*?\b(moe_\w+)\(", HEADER, re.MULTILINE):
            self.assertIn(f"<function-decl name='{name}'", text)
        for name in re.findall(r"\b(MOE_\w+) = ", re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)):
            self.assertIn(f"<enumerator name='{name}'", text)

    def test_suppressions_name_the_structs_that_may_grow(self):
        header = changed(r"typedef struct moe_metric \{", r"\g<0>\n  uint32_t struct_size;")
        self.assertEqual(abi.rule_problems(HEADER, ""), [])
        self.assertRegex(abi.rule_problems(header, "")[0], "^moe_metric: expected in moe.abignore")

    def test_new_functions_stand_in_the_changelog(self):
        comment = r"/\* Removes every tensor\. Since 0\.1 \*/"
        header = changed(comment, "/* Removes every tensor. Since 0.2 */")
        self.assertRegex(abi.rule_problems(header, "")[0], "^moe_batch_clear: expected in CHANGELOG.md, since it is new in 0.2$")
        self.assertEqual(abi.rule_problems(header, "- `moe_batch_clear`"), [])

    def test_update_refuses_a_break_within_one_abi(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("BASELINE", "SUPPRESSIONS"):
                path = getattr(abi, name)
                self.addCleanup(setattr, abi, name, path)
                setattr(abi, name, pathlib.Path(shutil.copy(path, folder)))
            abi.BASELINE.unlink()
            self.assertEqual(abi.update(HEADER)[0], 0)
            before = abi.BASELINE.read_bytes()
            broken = changed(*BREAKS["function removed"])
            self.assertEqual(abi.update(broken)[0], 1)
            self.assertEqual(abi.BASELINE.read_bytes(), before)
            self.assertEqual(abi.update(changed(*GROWTH["function added"]))[0], 0)
            self.assertEqual(abi.update(broken.replace("#define MOE_ABI 0", "#define MOE_ABI 1"))[0], 0)


if __name__ == "__main__":
    unittest.main()
