// Scalar steps of CPU kernels in plain arithmetic, so that a loop over them becomes vector code: e^x for x <= 0, sums
// in a fixed order, bfloat16 to float and back. No tensors, no threads.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#define MOE_INLINE inline __attribute__((always_inline))

namespace moe {

// e^x for x <= 0 to 2 ulp: 2^n times a polynomial on [-ln2/2, ln2/2] (coefficients of Cephes' expf). Below -87 the
// result stays at e^-87; not-a-number passes.
MOE_INLINE float exp_negative(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float n = static_cast<float>(static_cast<int32_t>(x * 1.44269504088896341f - 0.5f));
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

MOE_INLINE double exp_negative(double x) {
  return std::exp(x);
}

// ln x of a normal x > 0 to 2 ulp: exponent and a mantissa m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1) / (m +
// 1)) by its series. 0 and denormal numbers give something finite.
MOE_INLINE double log_positive(float x) {
  const int32_t bits = std::bit_cast<int32_t>(x);
  const int32_t exponent = (bits - 0x3F3504F3) >> 23;
  const double m = std::bit_cast<float>(bits - (exponent << 23));
  const double f = (m - 1) / (m + 1), s = f * f;
  double p = 1.0 / 17;
  p = p * s + 1.0 / 15;
  p = p * s + 1.0 / 13;
  p = p * s + 1.0 / 11;
  p = p * s + 1.0 / 9;
  p = p * s + 1.0 / 7;
  p = p * s + 1.0 / 5;
  p = p * s + 1.0 / 3;
  p = p * s + 1.0;
  return 2 * f * p + static_cast<double>(exponent) * 0.693147180559945309;
}

// Sixteen partial sums: vector code without reordering a plain sum.
template <typename A>
MOE_INLINE A dot_product(const A* a, const A* b, int64_t n) {
  A part[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int64_t j = 0; j < 16; ++j) part[j] += a[i + j] * b[i + j];
  }
  for (; i < n; ++i) part[i % 16] += a[i] * b[i];
  A sum = 0;
  for (const A value : part) sum += value;
  return sum;
}

// A bfloat16 is the upper half of a float.
MOE_INLINE float widen_bf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Rounds to nearest even; not-a-number stays one.
MOE_INLINE uint16_t narrow_bf16(float value) {
  const uint32_t word = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (word + 0x7FFFu + ((word >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>((word & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded);
}

}  // namespace moe
