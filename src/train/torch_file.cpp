#include "train/torch_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "train/pickle.h"
#include "base/zip_archive.h"

namespace moe {

using Kind = PickleValue::Kind;

namespace {

constexpr uint64_t kLargestPickle = 1 << 28;  // bytes; the tensors' own lie elsewhere

// A dict of at least one tensor under text keys.
bool is_state_dict(const PickleValue* value) {
  return value && value->kind == Kind::dict &&
         std::any_of(value->entries.begin(), value->entries.end(), [](const PickleEntry& entry) {
           return entry.first->kind == Kind::text && entry.second->kind == Kind::tensor;
         });
}

const PickleValue* follow(const PickleValue& root, const std::string& path) {
  const PickleValue* value = &root;
  for (const std::string& key : split(path, '.')) value = value ? value->find(key) : nullptr;
  return value;
}

// Averaged weights first, as the official tools prefer them.
const PickleValue& find_state_dict(const std::string& path, const PickleValue& root, std::string& part) {
  static const std::vector<std::string> parts = {"ema.module", "ema.state_dict", "ema",
                                                 "model",      "state_dict",     "module"};
  for (const std::string& name : parts) {
    const PickleValue* found = follow(root, name);
    if (!is_state_dict(found)) continue;
    part = name;
    return *found;
  }
  std::vector<std::string> keys;
  for (const auto& [key, value] : root.entries) {
    if (key->kind == Kind::text && keys.size() < 8) keys.push_back(quote(key->text, 40));
  }
  check(is_state_dict(&root), MOE_ERR_DATA, path, ": expected tensors by name, or a dict of them under ",
        join(parts, ", "), ", got ", keys.empty() ? "no dict" : "a dict of " + join(keys, ", "));
  return root;
}

// Tensors of one archive; a storage that several share is read once.
class Storages {
 public:
  Storages(const std::string& path, const ZipArchive& archive, std::string folder)
      : path_(path), archive_(archive), folder_(std::move(folder)) {}

  at::Tensor tensor(const std::string& name, const PickleValue& value) {
    const PickleStorage& storage = value.storage;
    const at::Tensor& all = load(name, storage);
    // The last element lies inside; the product of sizes stays below what the storage can hold at stride 0.
    int64_t last = value.integer, count = 1;
    bool fits = last <= storage.count;
    for (size_t i = 0; i < value.sizes.size() && fits; ++i) {
      const int64_t size = value.sizes[i], stride = value.strides[i];
      int64_t step = 0;
      fits = !__builtin_mul_overflow(count, size, &count) && !__builtin_mul_overflow(size - 1, stride, &step) &&
             (size == 0 || !__builtin_add_overflow(last, step, &last));
    }
    fits = fits && (count == 0 || (last < storage.count && count <= storage.count));
    check(fits, MOE_ERR_DATA, path_, ": ", quote(name), ": expected a tensor inside its storage of ", storage.count,
          " elements, got sizes or strides beyond it");
    return at::as_strided(all, value.sizes, value.strides, value.integer).clone(at::MemoryFormat::Contiguous);
  }

 private:
  const at::Tensor& load(const std::string& name, const PickleStorage& storage) {
    at::Tensor& kept = loaded_[storage.key];
    if (kept.defined()) return kept;
    const std::string file = folder_ + "data/" + storage.key;
    const ZipArchive::Entry* entry = archive_.find(file);
    check(entry != nullptr, MOE_ERR_DATA, path_, ": ", quote(name), ": expected its values in ", quote(file),
          ", got no such entry");
    const uint64_t size = c10::elementSize(storage.type);
    check(entry->size / size == static_cast<uint64_t>(storage.count) && entry->size % size == 0, MOE_ERR_DATA, path_,
          ": ", quote(file), ": expected ", storage.count, " elements of ", size, " bytes, got ", entry->size,
          " bytes");
    kept = at::empty({storage.count}, at::TensorOptions().dtype(storage.type));
    archive_.read(file, *entry, kept.data_ptr());
    return kept;
  }

  const std::string& path_;
  const ZipArchive& archive_;
  std::string folder_;
  std::map<std::string, at::Tensor> loaded_;
};

// "archive/data.pkl"; the folder is named after the file that was written first.
std::string find_folder(const std::string& path, const ZipArchive& archive) {
  const std::string name = "data.pkl";
  for (const auto& [entry, place] : archive.entries()) {
    if (entry == name || entry.ends_with("/" + name)) return entry.substr(0, entry.size() - name.size());
  }
  fail(MOE_ERR_DATA, path, ": expected a file of torch.save, got a zip archive without data.pkl");
}

std::string read_entry(const std::string& path, const ZipArchive& archive, const std::string& name, uint64_t limit) {
  const ZipArchive::Entry* entry = archive.find(name);
  if (!entry) return "";
  check(entry->size <= limit, MOE_ERR_DATA, path, ": ", quote(name), ": expected at most ", limit, " bytes, got ",
        entry->size);
  std::string bytes(entry->size, '\0');
  archive.read(name, *entry, bytes.data());
  return bytes;
}

void drop_parallel_prefix(std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  const std::string prefix = "module.";
  const bool all =
      std::all_of(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first.starts_with(prefix); });
  for (auto& item : tensors) {
    if (all) item.first.erase(0, prefix.size());
  }
}

}  // namespace

TorchFile load_torch_file(const std::string& path) {
  const ZipArchive archive(path);
  const std::string folder = find_folder(path, archive);
  const std::string order = trim(read_entry(path, archive, folder + "byteorder", 64));
  check(order.empty() || order == "little", MOE_ERR_DATA, path, ": expected little-endian tensors, got ", quote(order));
  const std::string bytes = read_entry(path, archive, folder + "data.pkl", kLargestPickle);
  const Pickle pickle(path, bytes);
  TorchFile file;
  const PickleValue& dict = find_state_dict(path, pickle.root(), file.part);
  Storages storages(path, archive, folder);
  for (const auto& [key, value] : dict.entries) {
    if (key->kind != Kind::text || value->kind != Kind::tensor) continue;
    file.tensors.emplace_back(key->text, storages.tensor(key->text, *value));
  }
  drop_parallel_prefix(file.tensors);
  return file;
}

}  // namespace moe
