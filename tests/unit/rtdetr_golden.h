// Inputs of the golden numbers: made once with the official RTDETRCriterionv2 and RTDETRv2 in fp64, from hash-filled
// tensors (support/hash_fill.h).
#pragma once

#include "models/rtdetr/criterion.h"
#include "support/hash_fill.h"
#include "support/test.h"

namespace golden {

// cxcywh with centres in 0.2..0.8 and sides in 0.05..0.35
inline at::Tensor boxes(const std::string& name, at::IntArrayRef shape) {
  const at::Tensor u = hash_fill::uniform(name, shape);
  return at::cat({0.2 + 0.6 * u.slice(-1, 0, 2), 0.05 + 0.3 * u.slice(-1, 2, 4)}, -1);
}

// Two images with three and two objects.
inline moe::rtdetr::Targets targets() {
  return {boxes("tgt", {5, 4}), at::tensor({0, 3, 5, 1, 1}, at::kLong), {0, 3, 5}};
}

inline moe::rtdetr::Prediction prediction() {
  return {4 * hash_fill::uniform("logits0", {2, 10, 6}) - 2, boxes("boxes0", {2, 10, 4})};
}

inline bool equal(const at::Tensor& got, const std::vector<int64_t>& want) {
  return at::equal(got, at::tensor(want));
}

}  // namespace golden
