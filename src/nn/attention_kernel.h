// The row passes of attention between its matrix products: scale, mask and softmax in place, the same again from a
// row's known sum, and the gradient in place. Arithmetic in float (double for double rows); every row by itself in a
// fixed order, so the number of threads does not change a bit.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <type_traits>

namespace moe::nn {

template <typename T>
using RowNumber = std::conditional_t<std::is_same_v<T, double>, double, float>;

// What makes a row's probabilities from its scaled scores: p = exp(score - most) * inverse.
template <typename A>
struct RowSum {
  A most, inverse;
};

// Scores [rows, keys] and what hides some of them. blocked: [period, keys] bool or null; row r uses mask row r %
// period, and true keys get probability 0. A row without a visible key becomes all 0.
template <typename T>
struct ScoreRows {
  T* scores;
  int64_t rows, keys;
  double scale;
  const bool* blocked = nullptr;
  int64_t period = 1;
};

// scores -> softmax(scale * scores) along keys, in place. sums [rows] is written.
template <typename T>
void softmax_rows(const ScoreRows<T>& in, RowSum<RowNumber<T>>* sums);

// The same bits from the sums that softmax_rows() wrote.
template <typename T>
void softmax_rows_again(const ScoreRows<T>& in, const RowSum<RowNumber<T>>* sums);

// grad [rows, keys] of the probabilities -> gradient of the unscaled scores, in place: scale * p * (grad - sum(grad *
// p)).
template <typename T>
void softmax_rows_backward(const T* probabilities, T* grad, int64_t rows, int64_t keys, double scale);

}  // namespace moe::nn
