#include "train/safetensors_header.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"

namespace moe {

namespace {

struct DtypeName {
  const char* name;
  c10::ScalarType dtype;
};
constexpr DtypeName kDtypes[] = {{"BOOL", c10::ScalarType::Bool}, {"U8", c10::ScalarType::Byte},
                                 {"I8", c10::ScalarType::Char},   {"I16", c10::ScalarType::Short},
                                 {"I32", c10::ScalarType::Int},   {"I64", c10::ScalarType::Long},
                                 {"F16", c10::ScalarType::Half},  {"BF16", c10::ScalarType::BFloat16},
                                 {"F32", c10::ScalarType::Float}, {"F64", c10::ScalarType::Double}};

constexpr size_t kMaxDims = 64;  // what LibTorch's iterators take

// Receives the tokens of the header from the JSON parser. Working on tokens bounds the memory and the depth, and it
// sees the duplicate keys that a parsed tree would have dropped.
class HeaderReader {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}
  SafetensorsHeader take() { return std::move(header_); }

  bool null() { unexpected("null"); }
  bool boolean(bool) { unexpected("a boolean"); }
  bool number_integer(int64_t value) { unexpected(text("the number ", value)); }
  bool number_float(double, const std::string& digits) { unexpected(text("the number ", digits.substr(0, 40))); }
  bool binary(std::vector<uint8_t>&) { unexpected("binary data"); }

  bool number_unsigned(uint64_t value) {
    if (in_ != In::shape && in_ != In::offsets) unexpected(text("the number ", value));
    numbers_.push_back(value);
    if (numbers_.size() > kMaxDims) wrong("expected at most ", kMaxDims, " numbers in ", field_);
    return true;
  }

  bool string(std::string& value) {
    if (in_ == In::metadata) {
      header_.metadata[field_] = value;
    } else if (in_ == In::tensor && field_ == "dtype") {
      entry_.dtype = dtype_of(value);
    } else {
      unexpected(quote(value));
    }
    return true;
  }

  bool start_object(size_t) {
    if (in_ == In::file) {
      in_ = In::top;
    } else if (in_ == In::top) {
      in_ = name_ == "__metadata__" ? In::metadata : In::tensor;
      seen_.clear();
      entry_ = {};
      entry_.name = name_;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(std::string& key) {
    if (in_ == In::top) {
      name_ = key;
      if (!names_.insert(key).second) wrong("the name appears twice");
      return true;
    }
    field_ = key;
    if (in_ == In::tensor && key != "dtype" && key != "shape" && key != "data_offsets") {
      wrong("expected the fields dtype, shape and data_offsets, got ", quote(key));
    }
    if (!seen_.insert(key).second) wrong("field ", quote(key), " appears twice");
    return true;
  }

  bool end_object() {
    if (in_ == In::tensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        if (!seen_.contains(field)) wrong("expected the field ", field, ", got none");
      }
      header_.entries.push_back(std::move(entry_));
    }
    in_ = in_ == In::top ? In::file : In::top;
    return true;
  }

  bool start_array(size_t) {
    if (in_ != In::tensor || field_ == "dtype") unexpected("a list");
    in_ = field_ == "shape" ? In::shape : In::offsets;
    numbers_.clear();
    return true;
  }

  bool end_array() {
    if (in_ == In::shape) {
      take_shape();
    } else {
      if (numbers_.size() != 2) wrong("expected 2 data_offsets, got ", numbers_.size());
      entry_.begin = numbers_[0];
      entry_.end = numbers_[1];
    }
    in_ = In::tensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
    fail(MOE_ERR_DATA, path_, ": safetensors header: expected well-formed JSON, got an error at byte ", position);
  }

 private:
  enum class In { file, top, metadata, tensor, shape, offsets };

  template <typename... Parts>
  [[noreturn]] void wrong(const Parts&... parts) {
    fail(MOE_ERR_DATA, path_, ": safetensors header: ", quote(name_), ": ", parts...);
  }

  [[noreturn]] void unexpected(const std::string& what) {
    static constexpr const char* kExpected[] = {"an object",
                                                "an object for each tensor",
                                                "metadata of text only",
                                                "the fields dtype, shape and data_offsets",
                                                "sizes >= 0 in shape",
                                                "offsets >= 0 in data_offsets"};
    wrong("expected ", kExpected[static_cast<int>(in_)], ", got ", what);
  }

  c10::ScalarType dtype_of(const std::string& name) {
    std::vector<std::string> known;
    for (const DtypeName& row : kDtypes) {
      if (name == row.name) return row.dtype;
      known.push_back(row.name);
    }
    wrong("expected a dtype of ", join(known, ", "), ", got ", quote(name));
  }

  void take_shape() {
    for (uint64_t size : numbers_) {
      if (size > INT64_MAX) wrong("expected sizes below 2^63, got ", size);
      entry_.shape.push_back(static_cast<int64_t>(size));
    }
  }

  const std::string& path_;
  SafetensorsHeader header_;
  SafetensorsEntry entry_;
  In in_ = In::file;
  std::string name_;             // of the tensor, or __metadata__
  std::string field_;            // inside it
  std::set<std::string> names_;  // of the file
  std::set<std::string> seen_;   // fields of the object being read
  std::vector<uint64_t> numbers_;
};

// Zero-size dimensions count as 1 in the overflow check, because strides are products of the other sizes.
std::optional<uint64_t> byte_count(const SafetensorsEntry& entry) {
  uint64_t extent = c10::elementSize(entry.dtype);
  bool empty = false;
  for (int64_t size : entry.shape) {
    empty |= size == 0;
    const uint64_t factor = static_cast<uint64_t>(std::max<int64_t>(size, 1));
    if (__builtin_mul_overflow(extent, factor, &extent) || extent > INT64_MAX) return std::nullopt;
  }
  return empty ? 0 : extent;
}

void check_extent(const std::string& where, const SafetensorsEntry& entry, uint64_t data_bytes) {
  const std::optional<uint64_t> bytes = byte_count(entry);
  check(bytes.has_value(), MOE_ERR_DATA, where, "expected a size in bytes below 2^63, got a larger shape");
  check(entry.begin <= entry.end && entry.end <= data_bytes, MOE_ERR_DATA, where, "expected data_offsets within the ",
        data_bytes, " bytes of data, got [", entry.begin, ", ", entry.end, "]: is the file cut short?");
  check(entry.end - entry.begin == *bytes, MOE_ERR_DATA, where, "expected ", *bytes,
        " bytes for its dtype and shape, got ", entry.end - entry.begin);
}

void check_layout(const std::string& path, SafetensorsHeader& header, uint64_t data_bytes) {
  const std::string prefix = path + ": safetensors header: ";
  for (const SafetensorsEntry& entry : header.entries) {
    check_extent(text(prefix, quote(entry.name), ": "), entry, data_bytes);
  }
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  uint64_t next = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    check(entry.begin == next, MOE_ERR_DATA, prefix, quote(entry.name), ": expected data from offset ", next, ", got ",
          entry.begin, entry.begin < next ? " (overlap)" : " (hole)");
    next = entry.end;
  }
  check(next == data_bytes, MOE_ERR_DATA, path, ": expected ", next, " bytes of tensor data, got ", data_bytes);
}

std::string json_string(const std::string& path, const std::string& value) {
  try {
    return nlohmann::json(value).dump();
  } catch (const nlohmann::json::type_error&) {
    fail(MOE_ERR_INVALID_ARGUMENT, path, ": expected names and metadata in UTF-8, got ", quote(value));
  }
}

std::string entry_text(const std::string& path, const SafetensorsEntry& entry) {
  std::vector<std::string> sizes;
  for (int64_t size : entry.shape) sizes.push_back(std::to_string(size));
  return text(json_string(path, entry.name), ":{\"dtype\":\"", safetensors_dtype(entry.dtype), "\",\"shape\":[",
              join(sizes, ","), "],\"data_offsets\":[", entry.begin, ",", entry.end, "]}");
}

}  // namespace

std::string safetensors_dtype(c10::ScalarType dtype) {
  for (const DtypeName& row : kDtypes) {
    if (row.dtype == dtype) return row.name;
  }
  return "";
}

SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view json, uint64_t data_bytes) {
  check(json.starts_with('{'), MOE_ERR_DATA, path, ": safetensors header: expected \"{\" as its first byte, got ",
        quote(json.substr(0, 1)));
  HeaderReader reader(path);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  SafetensorsHeader header = reader.take();
  check_layout(path, header, data_bytes);
  return header;
}

std::string print_safetensors_header(const std::string& path, const SafetensorsHeader& header) {
  std::vector<std::string> pairs, parts;
  for (const auto& [key, value] : header.metadata)
    pairs.push_back(json_string(path, key) + ":" + json_string(path, value));
  if (!pairs.empty()) parts.push_back("\"__metadata__\":{" + join(pairs, ",") + "}");
  for (const SafetensorsEntry& entry : header.entries) parts.push_back(entry_text(path, entry));
  std::string out = "{" + join(parts, ",") + "}";
  out.resize((out.size() + 7) / 8 * 8, ' ');
  check(out.size() <= kSafetensorsHeaderLimit, MOE_ERR_INVALID_ARGUMENT, path, ": expected a header of at most ",
        kSafetensorsHeaderLimit, " bytes, got ", out.size());
  return out;
}

}  // namespace moe
