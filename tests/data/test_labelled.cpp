// Readers of labelled pictures and their source, on files written here; the real CIFAR-10 sample where it lies.
#include <ATen/ATen.h>
#include <zlib.h>

#include "data/labelled_source.h"
#include "data_support.h"

using namespace moe;

static Schema labelled_schema(const std::string& task) {
  Schema schema = test_schema(task);
  for (Key& key : schema) {
    if (key.path == "data.format") key.rule = "cifar10 | cifar100 | idx | image_folder", key.fallback = "cifar10";
    if (key.path == "data.resize") key.rule = "stretch | letterbox | pad | exact";
    if (key.path == "data.classes") key.fallback = "[]";
    if (key.path == "data.size") key.fallback = "[32, 32]";
  }
  return schema;
}

static Config labelled_config(const std::string& root, const Settings& more = {}) {
  Config config = Config::parse("task: test", "test.yml", labelled_schema);
  config.set("data.root", root);
  for (const auto& [key, value] : more) config.set(key, value);
  return config;
}

static std::string cifar_record(const std::vector<int>& labels, int first) {
  std::string record;
  for (const int label : labels) record += static_cast<char>(label);
  for (int i = 0; i < 3072; ++i) record += static_cast<char>((first + i / 7) % 256);
  return record;
}

static std::string idx_bytes(const std::vector<uint32_t>& sizes, const std::string& data) {
  std::string out = {0, 0, 8, static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 255);
  }
  return out + data;
}

static void write_gzip(const std::string& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  CHECK(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())) == static_cast<int>(bytes.size()));
  gzclose(file);
}

static Batch load(const Source& source, int64_t index) {
  return source.load(index, Rng(1, "test", static_cast<uint64_t>(index)));
}

static void test_cifar10(void**) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "data_batch_1.bin", cifar_record({3}, 0) + cifar_record({9}, 50));
  write_file_atomic(folder / "data_batch_3.bin", cifar_record({0}, 90));
  write_file_atomic(folder / "test_batch.bin", cifar_record({7}, 10));
  write_file_atomic(folder / "batches.meta.txt", "plane\ncar\n\n");
  const auto source = open_source(labelled_config(folder.path(), {{"data.augment.flip", "0"}}), "train");
  CHECK(source->size() == 3);
  CHECK(source->class_names() == (std::vector<std::string>{"plane", "car"}));
  const Batch second = load(*source, 1), third = load(*source, 2);
  CHECK(second.get("labels").item<int64_t>() == 9 && third.get("labels").item<int64_t>() == 0);
  const at::Tensor image = second.get("images");
  CHECK(image.sizes() == at::IntArrayRef({3, 32, 32}));
  for (const auto& [c, y, x] : std::vector<std::array<int64_t, 3>>{{0, 0, 0}, {1, 2, 5}, {2, 31, 31}}) {
    const int64_t byte = (50 + (1024 * c + 32 * y + x) / 7) % 256;
    CHECK(image[c][y][x].item<float>() == static_cast<float>(byte) / 255.0F);
  }
  const auto val = open_source(labelled_config(folder.path()), "val");
  CHECK(val->size() == 1 && load(*val, 0).get("labels").item<int64_t>() == 7);
}

static void test_cifar100(void**) {
  const TemporaryFolder folder;
  make_directories(folder / "cifar-100-binary");
  write_file_atomic(folder / "cifar-100-binary/train.bin", cifar_record({4, 99}, 0));
  const auto source = open_source(labelled_config(folder.path(), {{"data.format", "cifar100"}}), "train");
  CHECK(source->size() == 1 && load(*source, 0).get("labels").item<int64_t>() == 99);
}

static void test_cifar_errors(void**) {
  const TemporaryFolder folder;
  const Config config = labelled_config(folder.path());
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected data_batch_1.bin", open_source(config, "train"));
  write_file_atomic(folder / "data_batch_1.bin", cifar_record({3}, 0) + "x");
  CHECK_ERROR(MOE_ERR_DATA, "data_batch_1.bin: expected records of 3073 bytes, got 3074 bytes, 1 over",
              open_source(config, "train"));
  write_file_atomic(folder / "data_batch_1.bin", "");
  CHECK_ERROR(MOE_ERR_DATA, "got 0 bytes", open_source(config, "train"));
  write_file_atomic(folder / "data_batch_1.bin", cifar_record({3}, 0) + cifar_record({10}, 0));
  CHECK_ERROR(MOE_ERR_DATA, "expected labels 0..9, got 10 in record 1", open_source(config, "train"));
  write_file_atomic(folder / "data_batch_1.bin", cifar_record({3}, 0));
  CHECK_ERROR(MOE_ERR_DATA, "expected a label in 0..1 for the names of data.classes, got 3",
              open_source(labelled_config(folder.path(), {{"data.classes", "[a, b]"}}), "train"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "no such folder", open_source(labelled_config(folder / "absent"), "train"));
}

static std::string ramp(int64_t count) {
  std::string out;
  for (int64_t i = 0; i < count; ++i) out += static_cast<char>(i % 256);
  return out;
}

static void test_idx(void**) {
  const TemporaryFolder folder;
  write_gzip(folder / "train-images-idx3-ubyte.gz", idx_bytes({2, 3, 4}, ramp(24)));
  write_file_atomic(folder / "train-labels-idx1-ubyte", idx_bytes({2}, {5, 1}));
  const Settings settings = {{"data.format", "idx"},
                             {"data.size", "[5, 8]"},
                             {"data.resize", "pad"},
                             {"data.channels", "1"},
                             {"data.augment.flip", "0"}};
  const auto source = open_source(labelled_config(folder.path(), settings), "train");
  const Batch batch = load(*source, 1);
  CHECK(batch.get("labels").item<int64_t>() == 1);
  const at::Tensor want = at::zeros({1, 5, 8});
  want.slice(1, 1, 4).slice(2, 2, 6).copy_((at::arange(12, at::kFloat) + 12).div(255).view({1, 3, 4}));
  CHECK(at::equal(batch.get("images"), want));
}

static void test_idx_errors(void**) {
  const TemporaryFolder folder;
  const std::string images = folder / "i", labels = folder / "l";
  const auto read = [&] { read_idx(images, labels); };
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected an IDX file, found none", read());
  write_file_atomic(labels, idx_bytes({2}, {5, 1}));
  write_file_atomic(images, idx_bytes({2}, {5, 1}));
  CHECK_ERROR(MOE_ERR_DATA, "expected an IDX file of 3 dimensions of bytes (magic number 2051), got magic number",
              read());
  write_file_atomic(images, idx_bytes({2, 3, 4}, ramp(23)));
  CHECK_ERROR(MOE_ERR_DATA, "expected 40 bytes as its header says, got 39", read());
  write_file_atomic(images, idx_bytes({3, 2, 4}, ramp(24)));
  CHECK_ERROR(MOE_ERR_DATA, "expected 3 labels", read());
  write_file_atomic(images, idx_bytes({2, 4'000'000'000, 4'000'000'000}, ""));
  CHECK_ERROR(MOE_ERR_DATA, "expected less than 10^9 bytes", read());
  write_gzip(folder / "g.gz", idx_bytes({2, 3, 4}, ramp(24)));
  std::string cut = read_file(folder / "g.gz");
  cut.resize(cut.size() - 9);
  write_file_atomic(folder / "g.gz", cut);
  CHECK_ERROR(MOE_ERR_DATA, "cut or damaged", read_idx(folder / "g", labels));
}

static void write_folders(const TemporaryFolder& folder) {
  for (const std::string name : {"train/dog", "train/cat", "val/cat"}) make_directories(folder / name);
  write_png(folder / "train/dog/b.png", numbered_picture(16, 16, 1));
  write_png(folder / "train/dog/a.PNG", numbered_picture(16, 16, 2));
  write_png(folder / "train/cat/z.png", numbered_picture(16, 12, 3));
  write_png(folder / "val/cat/y.png", numbered_picture(16, 16, 4));
  write_file_atomic(folder / "train/cat/notes.txt", "no picture");
}

static void test_image_folder(void**) {
  const TemporaryFolder folder;
  write_folders(folder);
  const Settings settings = {{"data.format", "image_folder"}, {"data.size", "[16, 16]"}, {"data.augment.flip", "0"}};
  const auto source = open_source(labelled_config(folder.path(), settings), "train");
  CHECK(source->class_names() == (std::vector<std::string>{"cat", "dog"}));
  CHECK(source->size() == 3);
  CHECK(source->file_name(0) == folder / "train/cat/z.png");
  CHECK(source->file_name(1) == folder / "train/dog/a.PNG");
  const Batch dog = load(*source, 1);
  CHECK(dog.get("labels").item<int64_t>() == 1);
  CHECK_NEAR(dog.get("images")[2][3][5].item<double>(), numbered_picture(16, 16, 2).at(5, 3)[2] / 255.0, 1e-7);
  CHECK(load(*source, 0).get("images").sizes() == at::IntArrayRef({3, 16, 16}));
}

static void test_image_folder_errors(void**) {
  const TemporaryFolder folder;
  write_folders(folder);
  Settings settings = {{"data.format", "image_folder"}, {"data.size", "[16, 16]"}, {"data.resize", "exact"}};
  const auto exact = open_source(labelled_config(folder.path(), settings), "train");
  CHECK_ERROR(MOE_ERR_DATA, "z.png: expected 16 x 16 pixels, as data.size with data.resize: exact says, got 16 x 12",
              load(*exact, 0));
  settings = {{"data.format", "image_folder"}, {"data.size", "[8, 16]"}, {"data.resize", "pad"}};
  const auto pad = open_source(labelled_config(folder.path(), settings), "train");
  CHECK_ERROR(MOE_ERR_DATA, "expected at most 16 x 8 pixels with data.resize: pad, got 16 x 12", load(*pad, 0));
  settings.push_back({"data.classes", "[cat, dogs]"});
  CHECK_ERROR(MOE_ERR_DATA, "expected a folder named like one of data.classes, got \"dog\", did you mean \"dogs\"?",
              open_source(labelled_config(folder.path(), settings), "train"));
  settings = {{"data.format", "image_folder"}, {"data.val.split", "none"}};
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "none: expected a folder with one folder for each class",
              open_source(labelled_config(folder.path(), settings), "val"));
}

// Mirroring, subset and the loader's order are functions of the seed.
static void test_flip_and_subset(void**) {
  const TemporaryFolder folder;
  std::string records;
  for (int i = 0; i < 40; ++i) records += cifar_record({i % 10}, 3 * i);
  write_file_atomic(folder / "data_batch_1.bin", records);
  const auto flipped = open_source(labelled_config(folder.path(), {{"data.augment.flip", "1"}}), "train");
  const auto plain = open_source(labelled_config(folder.path(), {{"data.augment.flip", "0"}}), "train");
  CHECK(at::equal(load(*flipped, 5).get("images"), load(*plain, 5).get("images").flip(2)));
  const auto subset = open_source(labelled_config(folder.path(), {{"data.subset", "7"}}), "train");
  CHECK(subset->size() == 7);
  write_file_atomic(folder / "test_batch.bin", records);
  CHECK(open_source(labelled_config(folder.path(), {{"data.val.subset", "9"}}), "val")->size() == 9);
  CHECK(open_source(labelled_config(folder.path(), {{"data.subset", "9"}}), "val")->size() == 40);
  const auto half = open_source(labelled_config(folder.path(), {{"data.augment.flip", "0.5"}}), "train");
  int64_t mirrored = 0;
  for (int64_t i = 0; i < 40; ++i) {
    mirrored += !at::equal(load(*half, i).get("images"), load(*plain, i).get("images"));
  }
  CHECK(mirrored > 8 && mirrored < 32);
}

static void test_real_cifar10(void** state) {
  (void)state;
  const std::string root = real_set("cifar10");
  if (root.empty()) return;
  const auto source = open_source(labelled_config(root), "train");
  CHECK(source->size() == 5000 && open_source(labelled_config(root), "val")->size() == 1000);
  CHECK(source->class_names().size() == 10 && source->class_names()[0] == "airplane");
  at::Tensor sum = at::zeros({3});
  for (int64_t i = 0; i < 500; ++i) sum += load(*source, i).get("images").mean({1, 2});
  CHECK_NEAR(sum[0].item<double>() / 500, 0.494, 0.03);
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_cifar10),
                              cmocka_unit_test(test_cifar100),
                              cmocka_unit_test(test_cifar_errors),
                              cmocka_unit_test(test_idx),
                              cmocka_unit_test(test_idx_errors),
                              cmocka_unit_test(test_image_folder),
                              cmocka_unit_test(test_image_folder_errors),
                              cmocka_unit_test(test_flip_and_subset),
                              cmocka_unit_test(test_real_cifar10)};
  return cmocka_run_group_tests_name("labelled pictures", tests, nullptr, nullptr);
}
