#include "eval/statistics_file.h"

#include <ATen/ATen.h>

#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/zip_archive.h"
#include "tensor/batch.h"

namespace moe {

static_assert(std::endian::native == std::endian::little, "arrays are read as they lie in memory");

// --- One array: magic "\x93NUMPY", version, length of the header, a Python dict, the values ---

static constexpr size_t magic_size = 8;
static constexpr size_t growth = 21;  // blanks that numpy leaves for a longer first size, with its digits

// The text after 'name': in the header's dict, up to the next one of `ends`.
static std::string header_value(const std::string& header, const std::string& name, const char* ends) {
  const size_t key = header.find("'" + name + "':");
  if (key == std::string::npos) return "";
  const size_t start = key + name.size() + 3;
  return trim(header.substr(start, header.find_first_of(ends, start) - start));
}

static std::vector<int64_t> shape_of(const std::string& header) {
  std::vector<int64_t> out;
  const std::string inside = header_value(header, "shape", ")");  // "(3, 4"
  for (const std::string& part : split(inside.empty() ? inside : inside.substr(1), ',')) {
    const std::string digits = trim(part);
    if (!digits.empty()) out.push_back(parse_int(digits).value_or(-1));
  }
  return out;
}

static at::Tensor parse_array(const std::string& where, const std::string& bytes) {
  const bool is_array = bytes.size() > 12 && bytes.compare(0, 6, "\x93NUMPY") == 0;
  check(is_array, MOE_ERR_DATA, where, ": expected an array of numpy, got other bytes");
  const bool first = bytes[6] == 1;  // 2 bytes of length; later versions 4
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + magic_size, first ? 2 : 4);
  const size_t start = magic_size + (first ? 2 : 4) + length;
  check(start <= bytes.size(), MOE_ERR_DATA, where, ": expected a header of ", length, " bytes, got fewer");
  const std::string header = bytes.substr(0, start), type = header_value(header, "descr", ",");
  check(type == "'<f8'" || type == "'<f4'", MOE_ERR_DATA, where, ": expected float32 or float64, got ", quote(type));
  check(header_value(header, "fortran_order", ",") == "False", MOE_ERR_DATA, where, ": expected row-major values");
  const std::vector<int64_t> shape = shape_of(header);
  const at::ScalarType dtype = type == "'<f8'" ? at::kDouble : at::kFloat;
  const size_t element = dtype == at::kDouble ? 8 : 4;
  size_t count = 1;
  for (const int64_t size : shape) {
    check(size >= 0 && size <= (int64_t{1} << 20), MOE_ERR_DATA, where, ": expected sizes up to 2^20, got ", size);
    count *= static_cast<size_t>(size);
  }
  check(bytes.size() - start == count * element, MOE_ERR_DATA, where, ": expected ", count, " values, got ",
        (bytes.size() - start) / element);
  at::Tensor out = at::empty(shape, dtype);
  std::memcpy(out.mutable_data_ptr(), bytes.data() + start, count * element);
  return out.to(at::kDouble);
}

static std::string array_bytes(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.to(at::kDouble).contiguous();
  std::string shape;
  for (const int64_t size : dense.sizes()) shape += text(shape.empty() ? "" : ", ", size);
  if (dense.dim() == 1) shape += ",";
  std::string header = text("{'descr': '<f8', 'fortran_order': False, 'shape': (", shape, "), }");
  header.append(growth - std::to_string(dense.size(0)).size(), ' ');
  const size_t unpadded = magic_size + 2 + header.size() + 1;
  header.append((64 - unpadded % 64) % 64, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  std::string out("\x93NUMPY\x01\x00", magic_size);
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  out += header;
  return out.append(static_cast<const char*>(dense.const_data_ptr()), dense.nbytes());
}

// --- The file ---

static at::Tensor read_array(const std::string& path, const ZipArchive& archive, const std::string& name) {
  const ZipArchive::Entry* entry = archive.find(name + ".npy");
  check(entry != nullptr, MOE_ERR_DATA, path, ": expected arrays mu and sigma of reference statistics, got no ", name);
  check(entry->size <= (uint64_t{1} << 31), MOE_ERR_DATA, path, ": ", name, ": expected at most 2 GiB, got ",
        entry->size, " bytes");
  std::string bytes(entry->size, '\0');
  archive.read(name + ".npy", *entry, bytes.data());
  return parse_array(text(path, ": ", name), bytes);
}

FeatureMoments read_statistics(const std::string& path) {
  const ZipArchive archive(path);
  FeatureMoments out{read_array(path, archive, "mu"), read_array(path, archive, "sigma")};
  const bool fits = out.mean.dim() == 1 && out.covariance.dim() == 2 && out.covariance.size(0) == out.mean.size(0) &&
                    out.covariance.size(1) == out.mean.size(0);
  check(fits, MOE_ERR_DATA, path, ": expected mu [D] and sigma [D, D], got ", shape_text(out.mean.sizes()), " and ",
        shape_text(out.covariance.sizes()));
  return out;
}

void write_statistics(const std::string& path, const FeatureMoments& moments) {
  write_zip(path, {{"mu.npy", array_bytes(moments.mean)}, {"sigma.npy", array_bytes(moments.covariance)}});
}

}  // namespace moe
