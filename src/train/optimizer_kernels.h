// The loops of the optimizers over raw memory. Each reads and writes every array once.
#pragma once

#include <cstdint>

namespace moe {

// Sum of squares in fp64. The product of two floats is exact in a double, so every instruction set gives the same bits.
double sum_of_squares(const float* gradient, int64_t count) noexcept;

struct AdamNumbers {
  float gradient_scale;
  float l2;                   // added to the gradient, times the value (Adam); 0 for AdamW
  float keep;                 // the value's factor 1 - lr * weight_decay (AdamW); 1 for Adam
  float beta2, rest1, rest2;  // rest = 1 - beta
  float step;                 // lr / (1 - beta1^t)
  float inverse_root;         // 1 / sqrt(1 - beta2^t)
  float eps;
};
void adam_update(int64_t count, float* value, const float* gradient, float* exp_avg, float* exp_avg_sq,
                 const AdamNumbers& numbers) noexcept;

struct SgdNumbers {
  float gradient_scale;
  float l2;  // weight decay
  float momentum;
  float lr;
  bool nesterov;
};
void sgd_update(int64_t count, float* value, const float* gradient, float* momentum,
                const SgdNumbers& numbers) noexcept;

}  // namespace moe
