#include "nn/attention_kernel.h"

#include <ATen/Parallel.h>

#include <cstring>
#include <limits>
#include <vector>

#include "base/simd.h"
#include "base/vector_math.h"

namespace moe::nn {
namespace {

constexpr int64_t grain = 16;  // rows

MOE_MULTIVERSION void widen(const c10::BFloat16* from, float* to, int64_t n) {
  const auto* bits = reinterpret_cast<const uint16_t*>(from);
  for (int64_t i = 0; i < n; ++i) to[i] = widen_bf16(bits[i]);
}

MOE_MULTIVERSION void narrow(const float* from, c10::BFloat16* to, int64_t n) {
  auto* bits = reinterpret_cast<uint16_t*>(to);
  for (int64_t i = 0; i < n; ++i) bits[i] = narrow_bf16(from[i]);
}

#define MOE_SOFTMAX_BODY(A)                                                       \
  const A lowest = -std::numeric_limits<A>::max();                                \
  for (int64_t i = 0; i < keys; ++i) row[i] *= scale;                             \
  if (blocked) {                                                                  \
    for (int64_t i = 0; i < keys; ++i) row[i] = blocked[i] ? lowest : row[i];     \
  }                                                                               \
  A most = lowest;                                                                \
  for (int64_t i = 0; i < keys; ++i) most = row[i] > most ? row[i] : most;        \
  if (most == lowest) return (void)std::memset(row, 0, sizeof(A) * size_t(keys)); \
  for (int64_t i = 0; i < keys; ++i) row[i] = exp_negative(row[i] - most);        \
  if (blocked) {                                                                  \
    for (int64_t i = 0; i < keys; ++i) row[i] = blocked[i] ? A(0) : row[i];       \
  }                                                                               \
  const A inverse = A(1) / sum_of(row, keys);                                     \
  for (int64_t i = 0; i < keys; ++i) row[i] *= inverse;

// Sixteen partial sums: vector code without reordering a plain sum.
template <typename A>
inline A sum_of(const A* values, int64_t n) {
  A part[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int64_t j = 0; j < 16; ++j) part[j] += values[i + j];
  }
  for (; i < n; ++i) part[i % 16] += values[i];
  A sum = 0;
  for (const A value : part) sum += value;
  return sum;
}

template <typename A>
inline A dot_of(const A* a, const A* b, int64_t n) {
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

MOE_MULTIVERSION void softmax_row(float* row, int64_t keys, float scale,
                                  const bool* blocked){MOE_SOFTMAX_BODY(float)} MOE_MULTIVERSION
    void softmax_row(double* row, int64_t keys, double scale, const bool* blocked){MOE_SOFTMAX_BODY(double)}

MOE_MULTIVERSION void backward_row(const float* p, float* grad, int64_t keys, float scale) {
  const float dot = dot_of(p, grad, keys);
  for (int64_t i = 0; i < keys; ++i) grad[i] = scale * p[i] * (grad[i] - dot);
}

MOE_MULTIVERSION void backward_row(const double* p, double* grad, int64_t keys, double scale) {
  const double dot = dot_of(p, grad, keys);
  for (int64_t i = 0; i < keys; ++i) grad[i] = scale * p[i] * (grad[i] - dot);
}

}  // namespace

template <typename T>
void softmax_rows(T* scores, int64_t rows, int64_t keys, double scale, const bool* blocked, int64_t period) {
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> wide(std::is_same_v<T, c10::BFloat16> ? static_cast<size_t>(keys) : 0);
    for (int64_t r = begin; r < end; ++r) {
      T* row = scores + r * keys;
      const bool* mask = blocked ? blocked + (r % period) * keys : nullptr;
      if constexpr (std::is_same_v<T, c10::BFloat16>) {
        widen(row, wide.data(), keys);
        softmax_row(wide.data(), keys, static_cast<float>(scale), mask);
        narrow(wide.data(), row, keys);
      } else {
        softmax_row(row, keys, static_cast<T>(scale), mask);
      }
    }
  });
}

template <typename T>
void softmax_rows_backward(const T* probabilities, T* grad, int64_t rows, int64_t keys, double scale) {
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> wide(std::is_same_v<T, c10::BFloat16> ? static_cast<size_t>(2 * keys) : 0);
    for (int64_t r = begin; r < end; ++r) {
      const T* p = probabilities + r * keys;
      T* g = grad + r * keys;
      if constexpr (std::is_same_v<T, c10::BFloat16>) {
        widen(p, wide.data(), keys);
        widen(g, wide.data() + keys, keys);
        backward_row(wide.data(), wide.data() + keys, keys, static_cast<float>(scale));
        narrow(wide.data() + keys, g, keys);
      } else {
        backward_row(p, g, keys, static_cast<T>(scale));
      }
    }
  });
}

#define MOE_INSTANTIATE(T)                                                           \
  template void softmax_rows<T>(T*, int64_t, int64_t, double, const bool*, int64_t); \
  template void softmax_rows_backward<T>(const T*, T*, int64_t, int64_t, double);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
MOE_INSTANTIATE(c10::BFloat16)

}  // namespace moe::nn
