// The safetensors package of Python reads our files, and we read its files. Skipped without the package (MOE_PYTHON).
#include "support/test.h"

#include "support/tiny.h"

#include "train/safetensors.h"
#include "train/session.h"

using namespace moe;

static std::string python() {
  if (const char* given = std::getenv("MOE_PYTHON")) return given;
  const char* home = std::getenv("HOME");
  return std::string(home ? home : "") + "/.cache/moe-peers/bin/python";
}

// Exit status 0 of: python -c CODE FOLDER
static bool runs(const std::string& code, const std::string& folder) {
  return std::system((python() + " -c '" + code + "' '" + folder + "' 2>&1").c_str()) == 0;
}

static void test_python_reads_ours(void**) {
  TemporaryFolder folder;
  SafetensorsFile file;
  file.metadata = {{"key", "value"}};
  for (at::ScalarType dtype : {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kHalf,
                               at::kBFloat16, at::kFloat, at::kDouble}) {
    file.tensors.emplace_back(c10::toString(dtype), at::tensor({0, 1, 1, 0, 1, 0}).reshape({2, 3}).to(dtype));
  }
  file.tensors.emplace_back("channels_last",
                            at::arange(24, at::kFloat).reshape({1, 2, 3, 4}).to(at::MemoryFormat::ChannelsLast));
  file.tensors.emplace_back("empty", at::empty({0, 3}));
  file.tensors.emplace_back("scalar", at::full({}, 2.5));
  save_safetensors(folder / "ours.safetensors", file);
  CHECK(runs(R"(
import sys, torch
from safetensors import safe_open
with safe_open(sys.argv[1] + "/ours.safetensors", framework="pt") as f:
    assert f.metadata()["key"] == "value" and f.metadata()["checksum"].startswith("crc32:"), f.metadata()
    t = {k: f.get_tensor(k) for k in f.keys()}
assert len(t) == 13
want = torch.tensor([[0, 1, 1], [0, 1, 0]])
types = dict(Bool="bool", Byte="uint8", Char="int8", Short="int16", Int="int32", Long="int64", Half="float16",
             BFloat16="bfloat16", Float="float32", Double="float64")
for name, dtype in types.items():
    assert t[name].dtype == getattr(torch, dtype) and torch.equal(t[name], want.to(t[name].dtype)), name
assert torch.equal(t["channels_last"].flatten(), torch.arange(24.))
assert t["empty"].shape == (0, 3) and t["scalar"].item() == 2.5 and t["scalar"].shape == ()
)",
             folder.path()));
}

static void test_we_read_python(void**) {
  TemporaryFolder folder;
  CHECK(runs(R"(
import sys, torch
from safetensors.torch import save_file
t = {"b": torch.arange(6).reshape(2, 3), "a": torch.tensor([True, False]), "h": torch.tensor(1.5, dtype=torch.bfloat16),
     "e": torch.empty(0, 4)}
save_file(t, sys.argv[1] + "/theirs.safetensors", metadata={"format": "pt"})
)",
             folder.path()));
  const SafetensorsFile file = load_safetensors(folder / "theirs.safetensors");
  CHECK(file.tensors.size() == 4);
  CHECK(file.metadata.at("format") == "pt");
  CHECK(file.find("b")->equal(at::arange(6).reshape({2, 3})));
  CHECK(file.find("a")->equal(at::tensor({1, 0}).to(at::kBool)));
  CHECK(file.find("h")->scalar_type() == at::kBFloat16 && file.find("h")->item<float>() == 1.5f);
  CHECK(file.find("e")->sizes() == at::IntArrayRef({0, 4}));
}

// A session's checkpoint through the package and back; what another program wrote is no checkpoint.
static void test_python_reads_a_checkpoint(void**) {
  TemporaryFolder folder;
  Session session(tiny::config({{"ema.decay", "0.9"}}), Log());
  session.feed(tiny::batch(1, {2, 3}));
  session.step();
  session.save(folder / "c.safetensors");
  CHECK(runs(R"(
import sys
from safetensors import safe_open
from safetensors.torch import save_file
with safe_open(sys.argv[1] + "/c.safetensors", framework="pt") as f:
    metadata = f.metadata()
    tensors = {k: f.get_tensor(k) for k in f.keys()}
assert metadata["format"] == "moe-checkpoint" and "task: rtdetr" in metadata["config"] and metadata["step"] == "1", metadata
assert metadata["classes"].split("\n")[0] == "car", metadata["classes"]
del metadata["checksum"]
save_file(tensors, sys.argv[1] + "/again.safetensors", metadata=metadata)
)",
             folder.path()));
  CHECK_ERROR(MOE_ERR_DATA, "expected a checksum in the metadata, got none",
              session.load(folder / "again.safetensors"));
}

int main() {
  if (!runs("import safetensors.torch", "")) {
    std::printf("skipped: %s has no package safetensors (set MOE_PYTHON)\n", python().c_str());
    return 77;
  }
  const CMUnitTest tests[] = {cmocka_unit_test(test_python_reads_ours), cmocka_unit_test(test_we_read_python),
                              cmocka_unit_test(test_python_reads_a_checkpoint)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
