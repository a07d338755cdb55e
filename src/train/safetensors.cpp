#include "train/safetensors.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "train/safetensors_header.h"

namespace moe {

static_assert(std::endian::native == std::endian::little, "tensors are written as they lie in memory");

namespace {

// Two marks in the metadata: a flipped bit can spoil one of them, and the other then gives the file away.
constexpr const char* kChecksumKey = "checksum";
constexpr const char* kWriterKey = "writer";
constexpr const char* kWriter = "libmoe";
constexpr std::string_view kChecksumPrefix = "crc32:";
constexpr std::string_view kChecksumText = "\"checksum\":\"crc32:";  // as print_safetensors_header spells it
constexpr size_t kChecksumDigits = 8;

std::string checksum_digits(uint32_t crc) {
  char digits[kChecksumDigits + 1];
  std::snprintf(digits, sizeof digits, "%08x", crc);
  return digits;
}

// The bytes of the tensor as the format wants them: row-major, without gaps.
at::Tensor row_major(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU).resolve_neg().contiguous();
}

struct Named {
  const std::string* name;
  const at::Tensor* tensor;
};

// Descending alignment, then name: the order of the reference writer, which keeps every tensor aligned.
std::vector<Named> in_file_order(const std::string& path, const SafetensorsFile& file) {
  std::vector<Named> order;
  std::set<std::string> names;
  for (const auto& [name, tensor] : file.tensors) {
    check(names.insert(name).second && name != "__metadata__", MOE_ERR_INVALID_ARGUMENT, path,
          ": expected tensors of different names, got ", quote(name), " twice or as a reserved name");
    check(tensor.defined() && !safetensors_dtype(tensor.scalar_type()).empty(), MOE_ERR_DTYPE, path, ": ", quote(name),
          ": expected a tensor of booleans, integers or floats, got ",
          tensor.defined() ? c10::toString(tensor.scalar_type()) : "none");
    order.push_back({&name, &tensor});
  }
  std::sort(order.begin(), order.end(), [](const Named& a, const Named& b) {
    if (a.tensor->element_size() != b.tensor->element_size())
      return a.tensor->element_size() > b.tensor->element_size();
    return *a.name < *b.name;
  });
  return order;
}

SafetensorsHeader header_of(const SafetensorsFile& file, const std::vector<Named>& order) {
  SafetensorsHeader header;
  header.metadata = file.metadata;
  header.metadata[kWriterKey] = kWriter;
  header.metadata[kChecksumKey] = text(kChecksumPrefix, std::string(kChecksumDigits, '0'));
  uint64_t offset = 0;
  for (const auto& [name, tensor] : order) {
    const uint64_t end = offset + tensor->numel() * tensor->element_size();
    header.entries.push_back({*name, tensor->scalar_type(), tensor->sizes().vec(), offset, end});
    offset = end;
  }
  return header;
}

// Reads forwards and checks sums while the bytes are in the cache.
class CheckedReader {
 public:
  explicit CheckedReader(const std::string& path)
      : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) fail_system(errno == ENOENT ? MOE_ERR_NOT_FOUND : MOE_ERR_IO, "open");
    struct stat info {};
    if (::fstat(descriptor_, &info) == 0) size_ = static_cast<uint64_t>(info.st_size);
  }
  ~CheckedReader() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  CheckedReader(const CheckedReader&) = delete;
  CheckedReader& operator=(const CheckedReader&) = delete;

  uint64_t size() const { return size_; }
  uint32_t crc() const { return crc_; }
  void add(const void* data, size_t bytes) { crc_ = crc32(crc_, data, bytes); }

  void read(void* to, uint64_t bytes) {
    char* next = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t got = ::read(descriptor_, next, std::min<uint64_t>(bytes, 1 << 20));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_system(MOE_ERR_IO, "read");
      check(got > 0, MOE_ERR_IO, path_, ": expected ", bytes, " more bytes, got the end of the file");
      add(next, static_cast<size_t>(got));
      next += got;
      bytes -= static_cast<uint64_t>(got);
    }
  }
  void restart_sum() { crc_ = crc32(0, nullptr, 0); }

 private:
  [[noreturn]] void fail_system(moe_status status, const char* what) {
    const int error = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
    fail(status, path_, ": cannot ", what, ": ", std::strerror(error));
  }

  std::string path_;
  int descriptor_;
  uint64_t size_ = 0;
  uint32_t crc_ = 0;
};

std::string read_header(const std::string& path, CheckedReader& reader) {
  check(reader.size() >= 8, MOE_ERR_DATA, path, ": expected a safetensors file of at least 8 bytes, got ",
        reader.size());
  uint64_t length = 0;
  reader.read(&length, sizeof length);
  check(length <= kSafetensorsHeaderLimit, MOE_ERR_DATA, path,
        ": expected a safetensors file (a checkpoint), got a file of another kind: its header would have ", length,
        " bytes, more than ", kSafetensorsHeaderLimit);
  check(length <= reader.size() - 8, MOE_ERR_DATA, path, ": expected a safetensors header of ", length,
        " bytes, got a file with ", reader.size() - 8, " after the length: the file is cut short, or is none");
  std::string json(length, '\0');
  reader.read(json.data(), length);
  return json;
}

// The digits of the checksum, "" when the file has none. The sum restarts with zeros in their place.
std::string take_checksum(const std::string& path, SafetensorsHeader& header, std::string json, CheckedReader& reader) {
  const auto writer = header.metadata.find(kWriterKey);
  const bool ours = writer != header.metadata.end() && writer->second == kWriter;
  const auto found = header.metadata.find(kChecksumKey);
  check(found != header.metadata.end() || !ours, MOE_ERR_DATA, path, ": expected a checksum in the metadata, got none");
  if (found == header.metadata.end()) return "";
  const size_t at = json.find(kChecksumText);
  const bool formed = at != std::string::npos && found->second.size() == kChecksumPrefix.size() + kChecksumDigits;
  check(formed, MOE_ERR_DATA, path, ": expected a checksum such as \"crc32:0123abcd\", got ", quote(found->second));
  json.replace(at + kChecksumText.size(), kChecksumDigits, kChecksumDigits, '0');
  const std::string digits = found->second.substr(kChecksumPrefix.size());
  header.metadata.erase(kChecksumKey);
  if (ours) header.metadata.erase(kWriterKey);
  const uint64_t length = json.size();
  reader.restart_sum();
  reader.add(&length, sizeof length);
  reader.add(json.data(), json.size());
  return digits;
}

at::Tensor read_tensor(const std::string& path, const SafetensorsEntry& entry, CheckedReader& reader) {
  at::Tensor tensor = at::empty(entry.shape, at::TensorOptions().dtype(entry.dtype));
  reader.read(tensor.data_ptr(), entry.end - entry.begin);
  if (entry.dtype != at::kBool) return tensor;
  const uint8_t* bytes = static_cast<const uint8_t*>(tensor.const_data_ptr());
  const bool valid = std::all_of(bytes, bytes + tensor.numel(), [](uint8_t byte) { return byte <= 1; });
  check(valid, MOE_ERR_DATA, path, ": ", quote(entry.name), ": expected booleans of 0 or 1, got another byte");
  return tensor;
}

}  // namespace

const at::Tensor* SafetensorsFile::find(const std::string& name) const {
  for (const auto& [key, tensor] : tensors) {
    if (key == name) return &tensor;
  }
  return nullptr;
}

void save_safetensors(const std::string& path, const SafetensorsFile& file) {
  const std::vector<Named> order = in_file_order(path, file);
  std::string json = print_safetensors_header(path, header_of(file, order));
  const uint64_t length = json.size();
  uint32_t crc = crc32(0, &length, sizeof length);
  crc = crc32(crc, json.data(), json.size());
  // Two passes over the data: the sum stands before it. Copies for the row-major order live one at a time.
  for (const Named& item : order) {
    const at::Tensor data = row_major(*item.tensor);
    if (data.nbytes() > 0) crc = crc32(crc, data.const_data_ptr(), data.nbytes());
  }
  json.replace(json.find(kChecksumText) + kChecksumText.size(), kChecksumDigits, checksum_digits(crc));
  AtomicFile out(path);
  out.write(&length, sizeof length);
  out.write(json);
  for (const Named& item : order) {
    const at::Tensor data = row_major(*item.tensor);
    out.write(data.const_data_ptr(), data.nbytes());
  }
  out.commit();
}

SafetensorsFile load_safetensors(const std::string& path) {
  CheckedReader reader(path);
  const std::string json = read_header(path, reader);
  SafetensorsHeader header = parse_safetensors_header(path, json, reader.size() - 8 - json.size());
  const std::string digits = take_checksum(path, header, json, reader);
  SafetensorsFile file;
  file.metadata = header.metadata;
  for (const SafetensorsEntry& entry : header.entries) {
    file.tensors.emplace_back(entry.name, read_tensor(path, entry, reader));
  }
  const std::string got = checksum_digits(reader.crc());
  check(digits.empty() || digits == got, MOE_ERR_DATA, path, ": expected checksum crc32:", digits, ", got crc32:", got,
        ": the file is damaged, or another program rewrote it and kept the old checksum");
  return file;
}

}  // namespace moe
