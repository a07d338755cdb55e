// Tensor values that any program can recompute from a name: u(name, j) = (splitmix64(crc32(name) * 2^32 + j) >> 40) /
// 2^24. Golden numbers of the tests were made with the official projects filled the same way, by their parameter names.
#pragma once

#include <zlib.h>

#include <cmath>
#include <string>

#include "base/rng.h"

namespace hash_fill {

inline double u(const std::string& name, uint64_t j) {  // [0, 1)
  const uint64_t crc = crc32(0, reinterpret_cast<const Bytef*>(name.data()), static_cast<uInt>(name.size()));
  return static_cast<double>(moe::mix64((crc << 32) + j + 0x9E3779B97F4A7C15ull) >> 40) * 0x1.0p-24;
}

// float64, element j = u(name, j) in row-major order
inline at::Tensor uniform(const std::string& name, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, at::kDouble);
  double* values = out.mutable_data_ptr<double>();
  for (int64_t j = 0; j < out.numel(); ++j) values[j] = u(name, static_cast<uint64_t>(j));
  return out;
}

inline bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

inline at::Tensor parameter_value(const std::string& name, at::IntArrayRef shape) {
  const at::Tensor s = uniform(name, shape) * 2 - 1;
  if (ends_with(name, "running_var")) return 1 + 0.25 * s;
  if (shape.size() >= 2) {
    const int64_t inputs = s.numel() / shape[0];
    return s * std::sqrt(3.0 / static_cast<double>(inputs));
  }
  if (ends_with(name, ".weight") && shape.size() == 1) return 1 + 0.1 * s;
  return 0.05 * s;  // biases and running means
}

// Fills parameters and buffers of a module whose own path is `prefix` ("backbone").
inline void fill(torch::nn::Module& module, const std::string& prefix) {
  at::NoGradGuard no_grad;
  const std::string start = prefix.empty() ? "" : prefix + ".";
  for (const auto& item : module.named_parameters()) {
    item.value().copy_(parameter_value(start + item.key(), item.value().sizes()));
  }
  for (const auto& item : module.named_buffers()) {
    item.value().copy_(parameter_value(start + item.key(), item.value().sizes()));
  }
}

}  // namespace hash_fill
