// Settings of the shared keys from YAML text, and reproducible tensors without a global generator.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "base/rng.h"
#include "config/config.h"
#include "train/schema.h"

inline moe::Config settings(const std::string& yaml) {
  const auto lookup = [](const std::string&) { return moe::shared_schema(); };
  return moe::Config::parse(yaml + "\ntask: any\n", "test.yml", lookup);
}

// Standard normal numbers, fp32.
inline at::Tensor normal_tensor(moe::Rng& rng, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape);
  float* data = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) data[i] = static_cast<float>(rng.normal());
  return out;
}
