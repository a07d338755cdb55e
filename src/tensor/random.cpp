#include "tensor/random.h"

#include <ATen/ATen.h>

namespace moe {

at::Tensor uniform_tensor(Rng rng, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  // 24 bits: every value is exact in float32 and below 1
  for (int64_t i = 0; i < out.numel(); ++i) values[i] = static_cast<float>(rng.next() >> 40) * 0x1.0p-24f;
  return out;
}

at::Tensor normal_tensor(Rng rng, at::IntArrayRef shape) {
  at::Tensor out = at::empty(shape, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) values[i] = static_cast<float>(rng.normal());
  return out;
}

}  // namespace moe
