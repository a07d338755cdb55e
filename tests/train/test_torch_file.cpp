// Files of torch.save (fixtures/weights/make.py): every element type and memory order, nested checkpoints, what is
// refused, and damaged files: each byte cut or changed gives an error or the same tensors, never anything else.
#include "train/torch_file.h"

#include <ATen/ATen.h>

#include "base/files.h"
#include "base/rng.h"
#include "support/test.h"
#include "train/pickle.h"

using namespace moe;

static std::string fixture(const std::string& name) {
  const char* root = std::getenv("MOE_SOURCE_DIR");
  return std::string(root ? root : ".") + "/tests/fixtures/weights/" + name;
}

static at::Tensor ramp(at::IntArrayRef shape, at::ScalarType type = at::kFloat, double start = 0) {
  return (at::arange(c10::multiply_integers(shape), at::kDouble) / 4 + start).reshape(shape).to(type);
}

static at::Tensor find(const TorchFile& file, const std::string& name) {
  for (const auto& [key, tensor] : file.tensors) {
    if (key == name) return tensor;
  }
  std::fprintf(stderr, "no tensor %s\n", name.c_str());
  CHECK(false);
  return {};
}

static bool same(const at::Tensor& got, const at::Tensor& want) {
  return got.scalar_type() == want.scalar_type() && got.is_contiguous() && at::equal(got, want);
}

static void test_tensors(void**) {
  const TorchFile file = load_torch_file(fixture("plain.pth"));
  CHECK(file.part.empty() && file.tensors.size() == 13 && file.tensors[0].first == "fp32");
  CHECK(same(find(file, "fp32"), ramp({2, 3})));
  CHECK(same(find(file, "fp16"), ramp({2, 3}, at::kHalf)) && same(find(file, "bf16"), ramp({2, 3}, at::kBFloat16)));
  CHECK(same(find(file, "fp64"), ramp({2, 3}, at::kDouble)) && same(find(file, "int64"), at::arange(3)));
  CHECK(same(find(file, "bool"), at::tensor({1, 0}).to(at::kBool)));
  CHECK(same(find(file, "transposed"), ramp({2, 3}).t().contiguous()));
  CHECK(same(find(file, "channels_last"), ramp({1, 2, 2, 2})));
  CHECK(same(find(file, "row"), ramp({4, 4})[1]) && same(find(file, "column"), ramp({4, 4}).select(1, 2).contiguous()));
  CHECK(same(find(file, "empty"), at::empty({0, 3})) && same(find(file, "scalar"), at::full({}, 2.5)));
  CHECK(find(file, "parameter").sizes() == at::IntArrayRef({2}));
}

static void test_nested(void**) {
  const TorchFile training = load_torch_file(fixture("training.pth"));
  CHECK(training.part == "ema.module" && training.tensors.size() == 2);
  CHECK(same(find(training, "conv.weight"), ramp({2, 3, 1, 1}, at::kFloat, 1)));
  const TorchFile newer = load_torch_file(fixture("protocol4.pth"));
  CHECK(newer.part == "model" && same(find(newer, "conv.weight"), ramp({2, 3, 1, 1}, at::kFloat, 2)));
  const TorchFile parallel = load_torch_file(fixture("parallel.pth"));
  CHECK(parallel.part == "state_dict" && same(find(parallel, "conv.weight"), ramp({2, 3, 1, 1}, at::kFloat, 3)));
}

static void test_refused(void**) {
  const auto refuse = [](const char* name, const std::string& part) {
    CHECK_ERROR(MOE_ERR_DATA, part, load_torch_file(fixture(name)));
  };
  refuse("forbidden.pth", "the global \"posix.system\", which is refused and not called");
  refuse("whole_module.pth", "the global \"torch.nn.modules.linear.Linear\"");
  refuse("quantised.pth", "expected tensors of floats, got quantised ones");
  refuse("nothing.pth", "got a dict of \"epoch\", \"note\"");
  refuse("other.zip", "a zip archive without data.pkl");
  refuse("bzip2.zip", "compression method 12");
  refuse("old.pth", "a file without its directory");
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.pth", load_torch_file(fixture("absent.pth")));
  const TemporaryFolder folder;
  write_file_atomic(folder / "empty.pth", "");
  CHECK_ERROR(MOE_ERR_DATA, "empty.pth", load_torch_file(folder / "empty.pth"));
}

// The tensors of a damaged file, or nothing after an error of one line.
static bool loads(const std::string& path) {
  try {
    load_torch_file(path);
    return true;
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    CHECK(error.status() == MOE_ERR_DATA || error.status() == MOE_ERR_IO);
    return false;
  }
}

static void test_damage(void**) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.pth", whole = read_file(fixture("training.pth"));
  const TorchFile want = load_torch_file(fixture("training.pth"));
  for (size_t length = 0; length < whole.size(); length += 13) {
    write_file_atomic(path, whole.substr(0, length));
    CHECK(!loads(path));
  }
  // A changed byte: inside what is read, the sums tell; elsewhere (names, padding, other tensors) it may not matter.
  Rng rng(1, "damage");
  int64_t refused = 0;
  for (int i = 0; i < 800; ++i) {
    std::string bytes = whole;
    char& byte = bytes[static_cast<size_t>(rng.below(static_cast<int64_t>(bytes.size())))];
    byte = static_cast<char>(byte ^ static_cast<char>(1 + rng.below(255)));
    write_file_atomic(path, bytes);
    if (!loads(path)) {
      ++refused;
      continue;
    }
    const TorchFile got = load_torch_file(path);
    CHECK(got.tensors.size() == want.tensors.size() && same(find(got, "conv.weight"), find(want, "conv.weight")));
  }
  CHECK(refused > 200);
}

// Without sums in the way: random programs for the stack machine.
static void test_random_pickles(void**) {
  Rng rng(2, "pickles");
  const std::string codes = "\x80\x02}]()(.NqrhjuseatlRbQcXKJMG0\x85\x86\x87\x88\x8a\x93\x94";
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    const int64_t length = 1 + rng.below(40);
    for (int64_t k = 0; k < length; ++k) {
      bytes += rng.chance(0.8) ? codes[static_cast<size_t>(rng.below(static_cast<int64_t>(codes.size())))]
                               : static_cast<char>(rng.below(256));
    }
    try {
      const Pickle pickle("x", bytes);
      CHECK(pickle.root().kind <= PickleValue::Kind::tensor);
    } catch (const Error& error) {
      CHECK(error.status() == MOE_ERR_DATA);
    }
  }
  const std::string one(
      "\x80\x02}q\x01X\x01\x00\x00\x00"
      "aK\x05s.",
      15);
  CHECK(Pickle("x", one).root().find("a")->integer == 5);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_tensors), cmocka_unit_test(test_nested),         cmocka_unit_test(test_refused),
      cmocka_unit_test(test_damage),  cmocka_unit_test(test_random_pickles),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
