// The row passes of batch normalisation together with what follows it: y = act(scale x + shift [+ scale' x'] [+ r]).
// Rows are pixels, channels lie side by side. Each pass reads and writes a row once; arithmetic in float (double for
// double rows). Sums are of a chunk of rows, for the caller to add up in a fixed order.
#pragma once

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstdint>

#include "nn/activation.h"

namespace moe::nn {

// Rows of a chunk: it stays in the second-level cache, and a float sum over it keeps its digits.
inline int64_t norm_chunk_rows(int64_t channels) {
  return std::max<int64_t>(1, 16384 / channels);
}

template <typename T, typename A>
struct NormRows {
  int64_t channels;
  Activation activation;  // not gelu
  const T* x[2];          // [rows, channels]; the second is null where there is one term
  const A* scale[2];      // [channels]
  const A* shift;         // [channels], of both terms together
  const T* residual;      // [rows, channels] or null; with one term only
};

// Rows begin .. end - 1, as everywhere below: mean and sum of squares about it, [channels] each.
template <typename T, typename A>
void norm_moments(const T* x, int64_t channels, int64_t begin, int64_t end, A* mean, A* squares);

template <typename T, typename A>
void norm_apply(const NormRows<T, A>& in, int64_t begin, int64_t end, T* y);

// With g = dy act': sums [1 + terms, channels] of g, and of g (x - mean) for each term.
template <typename T, typename A>
void norm_sums(const NormRows<T, A>& in, const A* const (&mean)[2], const T* dy, int64_t begin, int64_t end, A* sums);

template <typename T, typename A>
struct NormGradient {
  const A* slope[2];   // [channels]: dx = scale g + slope x + offset
  const A* offset[2];  // [channels]
  T* dx[2];            // [rows, channels]
  T* residual;         // [rows, channels], g; or null
};
template <typename T, typename A>
void norm_gradient(const NormRows<T, A>& in, const T* dy, int64_t begin, int64_t end, const NormGradient<T, A>& out);

}  // namespace moe::nn
