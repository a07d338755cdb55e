#include "train/optimizer_kernels.h"

#include <cmath>

#include "base/simd.h"

namespace moe {

MOE_MULTIVERSION static double squares(const float* __restrict gradient, int64_t count) {
  constexpr int64_t lanes = 16;  // a fixed order of the additions
  double sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (int64_t k = 0; k < lanes; ++k) {
      const double value = gradient[i + k];
      sums[k] += value * value;
    }
  }
  for (int64_t k = 0; i < count; ++i, ++k) sums[k] += static_cast<double>(gradient[i]) * gradient[i];
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

MOE_MULTIVERSION static void adam(int64_t count, float* __restrict value, const float* __restrict gradient,
                                  float* __restrict exp_avg, float* __restrict exp_avg_sq, AdamNumbers n) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * n.gradient_scale + n.l2 * value[i];
    const float mean = exp_avg[i] + (g - exp_avg[i]) * n.rest1;
    const float square = exp_avg_sq[i] * n.beta2 + g * g * n.rest2;
    exp_avg[i] = mean;
    exp_avg_sq[i] = square;
    value[i] = value[i] * n.keep - n.step * mean / (std::sqrt(square) * n.inverse_root + n.eps);
  }
}

MOE_MULTIVERSION static void sgd(int64_t count, float* __restrict value, const float* __restrict gradient,
                                 float* __restrict momentum, SgdNumbers n) {
  const float own = n.nesterov ? 1.0f : 0.0f;
  const float past = n.nesterov ? n.momentum : 1.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * n.gradient_scale + n.l2 * value[i];
    const float velocity = momentum[i] * n.momentum + g;
    momentum[i] = velocity;
    value[i] -= n.lr * (own * g + past * velocity);
  }
}

double sum_of_squares(const float* gradient, int64_t count) noexcept {
  return squares(gradient, count);
}

void adam_update(int64_t count, float* value, const float* gradient, float* exp_avg, float* exp_avg_sq,
                 const AdamNumbers& numbers) noexcept {
  adam(count, value, gradient, exp_avg, exp_avg_sq, numbers);
}

void sgd_update(int64_t count, float* value, const float* gradient, float* momentum,
                const SgdNumbers& numbers) noexcept {
  sgd(count, value, gradient, momentum, numbers);
}

}  // namespace moe
