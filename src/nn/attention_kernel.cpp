#include "nn/attention_kernel.h"

#include <ATen/Parallel.h>

#include <algorithm>
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

// Sixteen partial sums: vector code without reordering a plain sum.
template <typename A>
MOE_INLINE A sum_of(const A* values, int64_t n) {
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
constexpr A lowest = -std::numeric_limits<A>::max();

// Sixteen partial maxima; not-a-number is passed over.
template <typename A>
MOE_INLINE A max_of(const A* values, int64_t n) {
  A part[16];
  for (A& value : part) value = lowest<A>;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int64_t j = 0; j < 16; ++j) part[j] = values[i + j] > part[j] ? values[i + j] : part[j];
  }
  for (; i < n; ++i) part[i % 16] = values[i] > part[i % 16] ? values[i] : part[i % 16];
  A most = lowest<A>;
  for (const A value : part) most = value > most ? value : most;
  return most;
}

template <typename A>
MOE_INLINE void scale_row(A* row, int64_t keys, A scale, const bool* blocked) {
  for (int64_t i = 0; i < keys; ++i) row[i] *= scale;
  if (!blocked) return;
  for (int64_t i = 0; i < keys; ++i) row[i] = blocked[i] ? lowest<A> : row[i];
}

template <typename A>
MOE_INLINE void exponentiate(A* row, int64_t keys, A most, const bool* blocked) {
  for (int64_t i = 0; i < keys; ++i) row[i] = exp_negative(row[i] - most);
  if (!blocked) return;
  for (int64_t i = 0; i < keys; ++i) row[i] = blocked[i] ? A(0) : row[i];
}

// A row that is all not-a-number stays so; its `most` is the lowest number, too.
template <typename A>
MOE_INLINE RowSum<A> softmax(A* row, int64_t keys, A scale, const bool* blocked) {
  scale_row(row, keys, scale, blocked);
  const A most = max_of(row, keys);
  exponentiate(row, keys, most, blocked);
  const bool hidden = blocked && std::all_of(blocked, blocked + keys, [](bool one) { return one; });
  const A inverse = hidden ? A(0) : A(1) / sum_of(row, keys);
  for (int64_t i = 0; i < keys; ++i) row[i] *= inverse;
  return {most, inverse};
}

template <typename A>
MOE_INLINE void softmax_again(A* row, int64_t keys, A scale, const bool* blocked, RowSum<A> sum) {
  scale_row(row, keys, scale, blocked);
  exponentiate(row, keys, sum.most, blocked);
  for (int64_t i = 0; i < keys; ++i) row[i] *= sum.inverse;
}

template <typename A>
MOE_INLINE void backward(const A* p, A* grad, int64_t keys, A scale) {
  const A dot = dot_product(p, grad, keys);
  for (int64_t i = 0; i < keys; ++i) grad[i] = scale * p[i] * (grad[i] - dot);
}

// Clones cannot be templates, hence one set a type.
#define MOE_ATTENTION_ROWS(A)                                                                                         \
  MOE_MULTIVERSION RowSum<A> softmax_row(A* row, int64_t keys, A scale, const bool* blocked) {                        \
    return softmax(row, keys, scale, blocked);                                                                        \
  }                                                                                                                   \
  MOE_MULTIVERSION void softmax_row_again(A* row, int64_t keys, A scale, const bool* blocked, const RowSum<A>& sum) { \
    softmax_again(row, keys, scale, blocked, sum);                                                                    \
  }                                                                                                                   \
  MOE_MULTIVERSION void backward_row(const A* p, A* grad, int64_t keys, A scale) {                                    \
    backward(p, grad, keys, scale);                                                                                   \
  }
MOE_ATTENTION_ROWS(float)
MOE_ATTENTION_ROWS(double)

// body(row as numbers, scale, its mask, index) for every row; a bfloat16 row goes through a buffer.
template <typename T, typename Body>
void each_row(const ScoreRows<T>& in, Body body) {
  using A = RowNumber<T>;
  at::parallel_for(0, in.rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<A> wide(std::is_same_v<T, A> ? 0 : static_cast<size_t>(in.keys));
    for (int64_t r = begin; r < end; ++r) {
      T* row = in.scores + r * in.keys;
      const bool* mask = in.blocked ? in.blocked + (r % in.period) * in.keys : nullptr;
      if constexpr (std::is_same_v<T, A>) {
        body(row, static_cast<A>(in.scale), mask, r);
      } else {
        widen(row, wide.data(), in.keys);
        body(wide.data(), static_cast<A>(in.scale), mask, r);
        narrow(wide.data(), row, in.keys);
      }
    }
  });
}

}  // namespace

template <typename T>
void softmax_rows(const ScoreRows<T>& in, RowSum<RowNumber<T>>* sums) {
  using A = RowNumber<T>;
  each_row(in, [&](A* row, A scale, const bool* mask, int64_t r) { sums[r] = softmax_row(row, in.keys, scale, mask); });
}

template <typename T>
void softmax_rows_again(const ScoreRows<T>& in, const RowSum<RowNumber<T>>* sums) {
  using A = RowNumber<T>;
  each_row(
      in, [&](A* row, A scale, const bool* mask, int64_t r) { softmax_row_again(row, in.keys, scale, mask, sums[r]); });
}

template <typename T>
void softmax_rows_backward(const T* probabilities, T* grad, int64_t rows, int64_t keys, double scale) {
  using A = RowNumber<T>;
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<A> wide(std::is_same_v<T, A> ? 0 : static_cast<size_t>(2 * keys));
    for (int64_t r = begin; r < end; ++r) {
      const T* p = probabilities + r * keys;
      T* g = grad + r * keys;
      if constexpr (std::is_same_v<T, A>) {
        backward_row(p, g, keys, static_cast<A>(scale));
      } else {
        widen(p, wide.data(), keys);
        widen(g, wide.data() + keys, keys);
        backward_row(wide.data(), wide.data() + keys, keys, static_cast<A>(scale));
        narrow(wide.data() + keys, g, keys);
      }
    }
  });
}

#define MOE_INSTANTIATE(T)                                                               \
  template void softmax_rows<T>(const ScoreRows<T>&, RowSum<RowNumber<T>>*);             \
  template void softmax_rows_again<T>(const ScoreRows<T>&, const RowSum<RowNumber<T>>*); \
  template void softmax_rows_backward<T>(const T*, T*, int64_t, int64_t, double);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
MOE_INSTANTIATE(c10::BFloat16)

}  // namespace moe::nn
