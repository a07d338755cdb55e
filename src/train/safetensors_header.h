// The JSON header of a safetensors file: text to checked entries and back. Knows nothing of tensors' contents or of
// files.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

constexpr uint64_t kSafetensorsHeaderLimit = 100'000'000;  // bytes; the limit of huggingface/safetensors

struct SafetensorsEntry {
  std::string name;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes from the end of the header
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;  // in file order, without gaps or overlaps
};

// "F32" ...; "" for an element type that the format or this library lacks.
std::string safetensors_dtype(c10::ScalarType dtype);

// Checks everything that the header says against itself and against the bytes of tensor data that the file holds.
// `path` is for messages. MOE_ERR_DATA.
SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view json, uint64_t data_bytes);

// Compact JSON, padded with spaces to a multiple of 8 bytes. MOE_ERR_INVALID_ARGUMENT for names that are not UTF-8.
std::string print_safetensors_header(const std::string& path, const SafetensorsHeader& header);

}  // namespace moe
