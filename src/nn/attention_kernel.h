// The row passes of attention between its matrix products: scale, mask and softmax in place, and the gradient of them
// in place. Each row is read once and written once; arithmetic in float (double for double rows).
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace moe::nn {

// scores [rows, keys] -> softmax(scale * scores) along keys, in place. blocked: [period, keys] bool or null; row r uses
// mask row r % period, and true keys get probability 0. A row without a visible key becomes all 0.
template <typename T>
void softmax_rows(T* scores, int64_t rows, int64_t keys, double scale, const bool* blocked, int64_t period);

// grad [rows, keys] of the probabilities -> gradient of the unscaled scores, in place: scale * p * (grad - sum(grad *
// p)).
template <typename T>
void softmax_rows_backward(const T* probabilities, T* grad, int64_t rows, int64_t keys, double scale);

}  // namespace moe::nn
