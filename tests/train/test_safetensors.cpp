// The safetensors reader and writer: round trips, damaged files of every kind, failing disks, and the Python package.
#include "support/test.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/files.h"
#include "train/safetensors.h"
#include "train/safetensors_header.h"
#include "train/settings.h"

using namespace moe;

static const at::ScalarType kDtypes[] = {at::kBool, at::kByte, at::kChar,     at::kShort, at::kInt,
                                         at::kLong, at::kHalf, at::kBFloat16, at::kFloat, at::kDouble};

static void write_raw(const std::string& path, const std::string& bytes) {
  FILE* file = std::fopen(path.c_str(), "wb");
  CHECK(file != nullptr);
  CHECK(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
  std::fclose(file);
}

// A file without a checksum, as other writers make them.
static std::string foreign_file(const std::string& json, size_t data_bytes) {
  const uint64_t length = json.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out + json + std::string(data_bytes, '\0');
}

static SafetensorsFile small_file() {
  SafetensorsFile file;
  file.metadata = {{"a", "1"}};
  file.tensors.emplace_back("w", at::arange(3, at::kFloat).reshape({1, 3}));
  file.tensors.emplace_back("n", at::full({}, 7, at::kLong));
  file.tensors.emplace_back("e", at::empty({0, 2}));
  file.tensors.emplace_back("b", at::tensor({1, 0, 1}).to(at::kBool));
  return file;
}

static void check_same(const at::Tensor& got, const at::Tensor& want) {
  CHECK(got.scalar_type() == want.scalar_type());
  CHECK(got.sizes() == want.sizes());
  CHECK(got.is_contiguous());
  const at::Tensor rows = want.contiguous();
  CHECK(want.numel() == 0 || std::memcmp(got.const_data_ptr(), rows.const_data_ptr(), rows.nbytes()) == 0);
}

static void check_same(const SafetensorsFile& got, const SafetensorsFile& want) {
  CHECK(got.metadata == want.metadata);
  CHECK(got.tensors.size() == want.tensors.size());
  for (const auto& [name, tensor] : want.tensors) {
    CHECK(got.find(name) != nullptr);
    check_same(*got.find(name), tensor);
  }
}

static void test_round_trip(void**) {
  TemporaryFolder folder;
  Rng rng(1, "safetensors");
  SafetensorsFile file;
  file.metadata = {{"config", "task: rtdetr\n# \"quoted\" \\ é\n"}, {"empty", ""}};
  for (at::ScalarType dtype : kDtypes) {
    const std::string name = c10::toString(dtype);
    const at::Tensor values = normal_tensor(rng, {3, 5}) * 10;
    file.tensors.emplace_back(name, dtype == at::kBool ? values > 0 : values.abs().to(dtype));
    file.tensors.emplace_back(name + ".scalar", at::ones({}, dtype));
    file.tensors.emplace_back(name + ".empty", at::empty({2, 0, 3}, dtype));
  }
  file.tensors.emplace_back("channels_last",
                            normal_tensor(rng, {2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast));
  file.tensors.emplace_back("transposed", normal_tensor(rng, {4, 6}).t());
  file.tensors.emplace_back("expanded", normal_tensor(rng, {1, 6}).expand({3, 6}));
  file.tensors.emplace_back("grad", normal_tensor(rng, {2}).requires_grad_());
  save_safetensors(folder / "a.safetensors", file);
  const SafetensorsFile got = load_safetensors(folder / "a.safetensors");
  check_same(got, file);
  CHECK(got.find("absent") == nullptr);
  save_safetensors(folder / "b.safetensors", got);
  CHECK(read_file(folder / "a.safetensors") == read_file(folder / "b.safetensors"));
}

static void test_order_and_padding(void**) {
  TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  save_safetensors(path, small_file());
  const std::string bytes = read_file(path);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
  std::string names;
  for (const auto& [name, tensor] : load_safetensors(path).tensors) names += name;
  assert_string_equal(names.c_str(), "newb");  // 8 bytes, 4 bytes by name, 1 byte
}

static void test_no_tensors(void**) {
  TemporaryFolder folder;
  save_safetensors(folder / "a", {});
  check_same(load_safetensors(folder / "a"), {});
}

static void test_refuses_to_save(void**) {
  TemporaryFolder folder;
  const at::Tensor one = at::ones({1});
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "different names",
              save_safetensors(folder / "a", {{}, {{"x", one}, {"x", one}}}));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "__metadata__", save_safetensors(folder / "a", {{}, {{"__metadata__", one}}}));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "UTF-8", save_safetensors(folder / "a", {{}, {{"\xff", one}}}));
  CHECK_ERROR(MOE_ERR_DTYPE, "ComplexFloat",
              save_safetensors(folder / "a", {{}, {{"x", at::ones({1}, at::kComplexFloat)}}}));
  CHECK_ERROR(MOE_ERR_DTYPE, "none", save_safetensors(folder / "a", {{}, {{"x", at::Tensor()}}}));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent/a.tmp", save_safetensors(folder / "absent/a", {{}, {{"x", one}}}));
  CHECK(list_directory(folder.path()).empty());
}

static void test_every_truncation(void**) {
  TemporaryFolder folder;
  save_safetensors(folder / "whole", small_file());
  const std::string bytes = read_file(folder / "whole");
  for (size_t length = 0; length < bytes.size(); ++length) {
    write_raw(folder / "cut", bytes.substr(0, length));
    CHECK_ERROR(MOE_ERR_DATA, "/cut: ", load_safetensors(folder / "cut"));
  }
  write_raw(folder / "cut", bytes + '\0');
  CHECK_ERROR(MOE_ERR_DATA, "/cut: ", load_safetensors(folder / "cut"));
}

static void test_every_bit_flip(void**) {
  TemporaryFolder folder;
  save_safetensors(folder / "whole", small_file());
  const std::string bytes = read_file(folder / "whole");
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    write_raw(folder / "flipped", flipped);
    CHECK_ERROR(MOE_ERR_DATA, "/flipped: ", load_safetensors(folder / "flipped"));
  }
}

struct BadHeader {
  const char* json;
  size_t data_bytes;
  const char* message;
};

static const BadHeader kBadHeaders[] = {
    {"", 0, "expected \"{\" as its first byte"},
    {"[]", 0, "expected \"{\" as its first byte"},
    {" {}", 0, "expected \"{\" as its first byte"},
    {"{", 0, "well-formed JSON"},
    {"{}x", 0, "well-formed JSON"},
    {"{\"a\xff\":{}}", 0, "well-formed JSON"},
    {"{}", 1, "expected 0 bytes of tensor data, got 1"},
    {R"({"a":1})", 0, R"("a": expected an object for each tensor, got the number 1)"},
    {R"({"a":null})", 0, "got null"},
    {R"({"a":[{}]})", 0, "got a list"},
    {R"({"a":{}})", 0, "expected the field dtype, got none"},
    {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "expected the field data_offsets, got none"},
    {R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1, "expected a dtype of BOOL, U8, I8"},
    {R"({"a":{"dtype":[1],"shape":[1],"data_offsets":[0,1]}})", 1, "got a list"},
    {R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1, "got the number 1"},
    {R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "expected sizes >= 0 in shape, got the number -1"},
    {R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", 1, "got the number 1.5"},
    {R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", 1, "expected sizes >= 0 in shape, got \"1\""},
    {R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", 1, "got a list"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "expected 2 data_offsets, got 1"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "expected 2 data_offsets, got 3"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,2]}})", 1, "within the 1 bytes of data, got [0, 2]"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, "got [1, 0]"},
    {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", 1, "expected 2 bytes for its dtype and shape, got 1"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}})", 1, "within the 1 bytes"},
    {R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1, "below 2^63"},
    {R"({"a":{"dtype":"F64","shape":[2305843009213693952,2305843009213693952],"data_offsets":[0,0]}})", 0,
     "below 2^63"},
    {R"({"a":{"dtype":"F64","shape":[2305843009213693952,8,0],"data_offsets":[0,0]}})", 0, "below 2^63"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1, "got \"x\""},
    {R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "field \"dtype\" appears twice"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
     "the name appears twice"},
    {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3,
     "(overlap)"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})", 3,
     "(hole)"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "expected data from offset 0, got 1 (hole)"},
    {R"({"__metadata__":{"a":1}})", 0, "expected metadata of text only, got the number 1"},
    {R"({"__metadata__":{"a":"1","a":"1"}})", 0, "appears twice"},
    {R"({"__metadata__":{"checksum":"crc32:0"}})", 0, "expected a checksum such as"},
    {R"({"__metadata__":{"checksum":"crc32:00000000"}})", 0, "expected checksum crc32:00000000, got crc32:"},
};

static void test_bad_headers(void**) {
  TemporaryFolder folder;
  for (const BadHeader& bad : kBadHeaders) {
    write_raw(folder / "bad", foreign_file(bad.json, bad.data_bytes));
    CHECK_ERROR(MOE_ERR_DATA, bad.message, load_safetensors(folder / "bad"));
  }
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100000; ++i) deep += "[";
  write_raw(folder / "bad", foreign_file(deep, 0));
  CHECK_ERROR(MOE_ERR_DATA, "got a list", load_safetensors(folder / "bad"));
  write_raw(folder / "bad", foreign_file(R"({"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", 0) + "\x02");
  CHECK_ERROR(MOE_ERR_DATA, "expected booleans of 0 or 1", load_safetensors(folder / "bad"));
  write_raw(folder / "bad", std::string("\0\0\0\0\0\0\0\x7f{}", 10));
  CHECK_ERROR(MOE_ERR_DATA, "expected a safetensors file (a checkpoint), got a file of another kind",
              load_safetensors(folder / "bad"));
}

static void test_foreign_file_in_any_order(void**) {
  TemporaryFolder folder;
  const char* json = R"( {"__metadata__": {"format": "pt"}, "b": {"shape": [2], "dtype": "U8", "data_offsets": [1, 3]},
    "a": {"data_offsets": [0, 1], "dtype": "I8", "shape": []}} )";
  write_raw(folder / "a", foreign_file(json + 1, 3));
  const SafetensorsFile file = load_safetensors(folder / "a");
  CHECK(file.metadata.at("format") == "pt");
  CHECK(file.tensors[0].first == "a" && file.tensors[1].first == "b");
}

static void test_paths(void**) {
  TemporaryFolder folder;
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "/absent: cannot open", load_safetensors(folder / "absent"));
  CHECK_ERROR(MOE_ERR_IO, "cannot read", load_safetensors(folder.path()));
}

// A disk that fills up half way: the limit on file sizes fails the write just so.
static void test_full_disk(void**) {
  TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  save_safetensors(path, small_file());
  const std::string before = read_file(path);
  signal(SIGXFSZ, SIG_IGN);
  rlimit old{}, tiny{};
  getrlimit(RLIMIT_FSIZE, &old);
  tiny = old;
  tiny.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &tiny);
  CHECK_ERROR(MOE_ERR_IO, "a.safetensors.tmp: cannot write: File too large",
              save_safetensors(path, {{}, {{"big", at::zeros({4096})}}}));
  setrlimit(RLIMIT_FSIZE, &old);
  CHECK(read_file(path) == before);
  CHECK(list_directory(folder.path()).size() == 1);
}

static void test_read_only_folder(void**) {
  TemporaryFolder folder;
  save_safetensors(folder / "a", small_file());
  const ReadOnly nobody_writes(folder.path());
  CHECK_ERROR(MOE_ERR_IO, "Permission denied", save_safetensors(folder / "a", small_file()));
  check_same(load_safetensors(folder / "a"), small_file());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_order_and_padding),
      cmocka_unit_test(test_no_tensors),
      cmocka_unit_test(test_refuses_to_save),
      cmocka_unit_test(test_every_truncation),
      cmocka_unit_test(test_every_bit_flip),
      cmocka_unit_test(test_bad_headers),
      cmocka_unit_test(test_foreign_file_in_any_order),
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_read_only_folder),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
