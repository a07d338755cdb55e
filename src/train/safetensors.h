// The safetensors format: 8-byte little-endian header length, JSON header, tensors without gaps (huggingface/safetensors).
// Written to a temporary name, synced and renamed; a CRC-32 over header and data in the metadata ("checksum") is verified on
// load when present. Files of other writers load too. The Python package reads ours.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace moe {

struct SafetensorsFile {
  std::map<std::string, std::string> metadata;
  std::vector<std::pair<std::string, at::Tensor>> tensors;  // in file order

  const at::Tensor* find(const std::string& name) const;  // nullptr when absent
};

void save_safetensors(const std::string& path, const SafetensorsFile& file);
// MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_DATA (truncated, header, offsets, checksum: says which). Tensors own their memory.
SafetensorsFile load_safetensors(const std::string& path);

}  // namespace moe
