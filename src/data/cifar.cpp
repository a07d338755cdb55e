#include "base/error.h"
#include "base/files.h"
#include "data/labelled_set.h"

namespace moe {

static constexpr int64_t side = 32, plane = side * side;

// What one record looks like: label bytes before the planes, and which of them is the class.
struct CifarLayout {
  int64_t label_bytes, label_at, classes;

  int64_t record() const { return label_bytes + 3 * plane; }
};

static Image from_planes(const unsigned char* bytes) {
  Image image(side, side);
  for (int64_t i = 0; i < plane; ++i) {
    for (int64_t c = 0; c < 3; ++c) image.pixels[static_cast<size_t>(3 * i + c)] = bytes[c * plane + i];
  }
  return image;
}

static void add_records(LabelledSet& set, const std::string& path, const CifarLayout& layout) {
  const std::string bytes = read_file(path);
  const auto size = static_cast<int64_t>(bytes.size());
  check(size > 0 && size % layout.record() == 0, MOE_ERR_DATA, path, ": expected records of ", layout.record(),
        " bytes, got ", size, " bytes, ", size % layout.record(), " over");
  for (int64_t i = 0; i < size / layout.record(); ++i) {
    const auto* record = reinterpret_cast<const unsigned char*>(bytes.data()) + i * layout.record();
    const int64_t label = record[layout.label_at];
    check(label < layout.classes, MOE_ERR_DATA, path, ": expected labels 0..", layout.classes - 1, ", got ", label,
          " in record ", i);
    set.pictures.push_back({text(path, ", record ", i), label, from_planes(record + layout.label_bytes)});
  }
}

// The names in the file that comes with the archive, one a line; none where it is absent.
static std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> out;
  if (!exists(path)) return out;
  for (const std::string& line : split(read_file(path), '\n')) {
    if (!trim(line).empty()) out.push_back(trim(line));
  }
  return out;
}

static std::string archive_folder(const std::string& root, const std::string& folder) {
  const std::string below = join_path(root, folder);
  return is_directory(below) ? below : root;
}

static LabelledSet read_cifar(const std::string& folder, const std::vector<std::string>& names,
                              const std::string& classes, const CifarLayout& layout) {
  LabelledSet set;
  set.classes = names_in(join_path(folder, classes));
  for (const std::string& name : names) {
    const std::string path = join_path(folder, name);
    if (exists(path)) add_records(set, path, layout);
  }
  check(!set.pictures.empty(), MOE_ERR_NOT_FOUND, folder, ": expected ", join(names, ", "), ", found none of them");
  return set;
}

LabelledSet read_cifar10(const std::string& root, bool training) {
  std::vector<std::string> names = {"test_batch.bin"};
  if (training) {
    names.clear();
    for (int i = 1; i <= 5; ++i) names.push_back(text("data_batch_", i, ".bin"));
  }
  return read_cifar(archive_folder(root, "cifar-10-batches-bin"), names, "batches.meta.txt", {1, 0, 10});
}

LabelledSet read_cifar100(const std::string& root, bool training) {
  return read_cifar(archive_folder(root, "cifar-100-binary"), {training ? "train.bin" : "test.bin"},
                    "fine_label_names.txt", {2, 1, 100});
}

}  // namespace moe
