// A very small diffusion model, batches of stripes for it, and such pictures as a CIFAR-10 data set.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/files.h"
#include "config/config.h"
#include "tensor/batch.h"
#include "tensor/random.h"
#include "train/schema.h"

namespace moe::striped {

using Overrides = std::vector<std::pair<std::string, std::string>>;

inline Config tiny_config(const Overrides& overrides = {}) {
  const char* yaml = R"(
task: diffusion
seed: 3
data: {classes: [a, b, c], size: [8, 8], resize: stretch, augment: {flip: 0.5}}
model:
  unet: {channels: 8, multipliers: [1, 2], embedding: 16}
  experts: {count: 4, top_k: 2}
optimizer: {lr: 2e-3}
ema: {decay: 0.9, warmup: 5}
train: {batch_size: 4, epochs: 2, accumulate: 2, log_every: 1, checkpoint_every: 2, clip_norm: 1}
sample: {steps: 5}
)";
  Config out = Config::parse(yaml, "tiny.yml", task_schema);
  for (const auto& [key, value] : overrides) out.set(key, value);
  return out;
}

// Three classes of stripes.
inline Batch stripes(uint64_t seed, int64_t samples) {
  Rng rng(seed, "stripes");
  at::Tensor images = uniform_tensor(rng.child("noise"), {samples, 3, 8, 8}) * 0.2;
  at::Tensor labels = at::empty({samples}, at::kLong);
  for (int64_t i = 0; i < samples; ++i) {
    const int64_t label = rng.below(3);
    labels[i] = label;
    images[i].slice(label == 0 ? 1 : 2, label == 2 ? 4 : 0, std::nullopt, label == 2 ? 1 : 2) += 0.6;
  }
  Batch out;
  out.set("images", images);
  out.set("labels", labels);
  return out;
}

// CIFAR-10 binary files of such pictures, enlarged fourfold: 26 to train, 9 to validate.
inline void write_cifar(const std::string& folder) {
  for (const auto& [name, count, seed] :
       {std::tuple<const char*, int64_t, uint64_t>{"data_batch_1.bin", 26, 1}, {"test_batch.bin", 9, 2}}) {
    const Batch batch = stripes(seed, count);
    const at::Tensor large = at::upsample_nearest2d(batch.get("images"), {32, 32}).mul(255).to(at::kByte).contiguous();
    std::string bytes;
    for (int64_t i = 0; i < count; ++i) {
      bytes += static_cast<char>(batch.get("labels")[i].item<int64_t>());
      bytes.append(reinterpret_cast<const char*>(large[i].const_data_ptr<uint8_t>()), 3072);
    }
    write_file_atomic(join_path(folder, name), bytes);
  }
}

}  // namespace moe::striped
