// Tensors from counter-based streams.
#pragma once

#include <ATen/core/Tensor.h>

#include "base/rng.h"

namespace moe {

at::Tensor uniform_tensor(Rng rng,
                          at::IntArrayRef shape);  // float32 in [0, 1); element i depends on the key and i alone
at::Tensor normal_tensor(Rng rng, at::IntArrayRef shape);  // float32, mean 0, variance 1

}  // namespace moe
