// A very small MoE RT-DETR and batches of coloured boxes for it: what the tests of session and run train on.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "config/config.h"
#include "tensor/batch.h"
#include "tensor/random.h"
#include "train/schema.h"

namespace moe::tiny {

inline Config config(const std::vector<std::pair<std::string, std::string>>& overrides = {}) {
  const char* yaml = R"(
task: rtdetr
seed: 3
data: {size: [64, 64]}
model:
  backbone: {depth: 18, width: 0.125}
  hidden: 32
  heads: 4
  queries: 20
  encoder: {ffn: 32}
  decoder: {layers: 2, ffn: 32}
  denoising: {queries: 10}
  experts: {kind: class_partitioned, groups: by_size, top_k: 2, queries: 10}
optimizer: {lr: 1e-3}
train: {batch_size: 2}
)";
  Config out = Config::parse(yaml, "tiny.yml", task_schema);
  for (const auto& [key, value] : overrides) out.set(key, value);
  return out;
}

// Pictures with `boxes[i]` coloured rectangles each; class = colour. Deterministic by seed.
inline Batch batch(uint64_t seed, const std::vector<int64_t>& boxes, int64_t size = 64) {
  const auto samples = static_cast<int64_t>(boxes.size());
  Rng rng(seed, "tiny");
  at::Tensor images = uniform_tensor(rng.child("noise"), {samples, 3, size, size}) * 0.2;
  std::vector<float> box_values;
  std::vector<int64_t> labels, offsets = {0};
  for (int64_t i = 0; i < samples; ++i) {
    for (int64_t j = 0; j < boxes[static_cast<size_t>(i)]; ++j) {
      const double w = rng.uniform(0.2, 0.4), h = rng.uniform(0.2, 0.4);
      const double x = rng.uniform(w / 2, 1 - w / 2), y = rng.uniform(h / 2, 1 - h / 2);
      const int64_t label = rng.below(6);
      const auto pixel = [&](double at) { return static_cast<int64_t>(at * static_cast<double>(size)); };
      const at::Tensor color = at::tensor(
          {0.3 + 0.14 * static_cast<double>(label % 5), 0.9 - 0.15 * static_cast<double>(label), 0.5}, at::kFloat);
      images[i]
          .slice(1, pixel(y - h / 2), pixel(y + h / 2))
          .slice(2, pixel(x - w / 2), pixel(x + w / 2))
          .copy_(color.view({3, 1, 1}));
      for (const double v : {x, y, w, h}) box_values.push_back(static_cast<float>(v));
      labels.push_back(label);
    }
    offsets.push_back(static_cast<int64_t>(labels.size()));
  }
  Batch out;
  out.set("images", images);
  out.set("boxes", at::tensor(box_values, at::kFloat).reshape({-1, 4}));
  out.set("labels", at::tensor(labels, at::kLong));
  out.set("offsets", at::tensor(offsets, at::kLong));
  return out;
}

}  // namespace moe::tiny
