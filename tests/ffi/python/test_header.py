"""The ctypes declarations are those of moe.h: every function, struct, offset and constant. Nothing is compared by hand, so
a change of the header that Python does not follow fails here; the last test proves that."""
import ctypes
import os
import shutil

from support import SOURCE, TestCase

from header import Header
from moe import abi, errors, records


def differences(folder):
    """What moe.h in a folder has that moe.abi says otherwise, or not at all."""
    header = Header(folder)
    return [*_compare("function", header.functions(), abi.FUNCTIONS),
            *_compare("fields of", header.structs(), {s.__name__: _fields(s) for s in abi.STRUCTS}),
            *_compare("layout of", header.layout(), _layout()),
            *_compare("constant", header.constants(), _constants())]


def _compare(what, theirs, ours):
    return [f"{what} {name}: moe.h has {theirs.get(name)}, moe.abi has {ours.get(name)}"
            for name in {**theirs, **ours} if _plain(theirs.get(name)) != _plain(ours.get(name))]


def _plain(value):
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _fields(struct):
    return [tuple(field) for field in struct._fields_]


def _layout():
    sizes = {s.__name__: ctypes.sizeof(s) for s in abi.STRUCTS}
    return {**sizes, **{f"{s.__name__}.{name}": getattr(s, name).offset for s in abi.STRUCTS for name, _ in s._fields_}}


def _constants():
    out = {"MOE_VERSION": abi.VERSION, "MOE_VERSION_MAJOR": abi.VERSION // 10000, "MOE_ABI": abi.ABI,
           "MOE_VERSION_MINOR": abi.VERSION // 100 % 100, "MOE_VERSION_PATCH": abi.VERSION % 100,
           "MOE_MAX_DIMS": abi.MAX_DIMS}
    for prefix, enums in abi.ENUMS.items():
        for enum in enums if isinstance(enums, tuple) else (enums,):
            out.update({prefix + name: int(value) for name, value in enum.__members__.items()})
    return out


class HeaderTest(TestCase):
    def header_copy(self, **changes):
        """A folder with moe.h, after replacing one text by another."""
        folder = self.folder()
        shutil.copy(os.path.join(SOURCE, "include/moe.h"), folder)
        path = os.path.join(folder, "moe.h")
        for old, new in changes.get("replace", {}).items():
            with open(path, encoding="utf-8") as file:
                text = file.read()
            self.assertIn(old, text)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text.replace(old, new, 1))
        return folder

    def test_declarations_are_those_of_the_header(self):
        folder = self.header_copy()
        header = Header(folder)
        self.assertGreaterEqual(len(header.functions()), 66)
        self.assertGreaterEqual(len(header.structs()), 12)
        self.assertGreaterEqual(len(header.constants()), 50)
        self.assertEqual(differences(folder), [])

    def test_every_status_has_its_exception(self):
        classes = {cls.status for cls in errors.Error.__subclasses__()}
        self.assertEqual(classes, {s for s in abi.Status if s > abi.Status.END})

    def test_records_have_the_fields_of_their_structs(self):
        pairs = [(records.LayerInfo, abi.moe_layer_info), (records.ExpertStat, abi.moe_expert_stat),
                 (records.LayerStat, abi.moe_layer_stat), (records.Event, abi.moe_run_event),
                 (records.DataReport, abi.moe_data_report)]
        for record, struct in pairs:
            names = {name for name, _ in struct._fields_} - {"struct_size", "reserved"}
            self.assertEqual(set(record._fields), names)
        names = {name for name, _ in abi.moe_step_info._fields_} - {"struct_size", "loss_count", "loss_name", "loss_value"}
        self.assertEqual(set(records.StepInfo._fields), names | {"losses"})

    def test_a_changed_header_is_noticed(self):
        changes = {"double class_nmi;": "double class_nmi; double added;",
                   "int32_t dead_experts;": "int32_t added; int32_t dead_experts;",
                   "double gini;": "float gini;",
                   "MOE_ERR_SHAPE = 8,": "MOE_ERR_SHAPE = 28,",
                   "MOE_WINDOW_LAST_EVAL = 3 ": "MOE_WINDOW_LAST_EVAL = 3, MOE_WINDOW_OTHER = 4 ",
                   "moe_session_draw(moe_session *session, const moe_batch *batch, const moe_batch *prediction, int64_t":
                   "moe_session_draw(moe_session *session, const moe_batch *batch, const moe_batch *prediction, int32_t",
                   "MOE_API moe_status moe_batch_clear(moe_batch *batch);": "",
                   "MOE_API void moe_run_close": "MOE_API moe_status moe_run_added(moe_run *run);\nMOE_API void moe_run_close",
                   "#define MOE_ABI 0": "#define MOE_ABI 1"}
        for old, new in changes.items():
            with self.subTest(old):
                self.assertNotEqual(self.noticed({old: new}), [])

    def noticed(self, change):
        try:
            return differences(self.header_copy(replace=change))
        except KeyError as unknown_type:  # `float`
            return [unknown_type]
