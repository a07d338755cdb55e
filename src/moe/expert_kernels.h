// The loops over rows of a mixture layer between its matrix products, on plain memory: combine, activation with bias
// and its gradient, column sums. Storage type T, arithmetic and sums in A (float for bfloat16); every sum runs in a
// fixed order within one row or column, so the split into ranges does not change a bit. No threads, no checks.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace moe {

// relu, gelu (exact, by the normal distribution) and silu act on all columns; geglu and swiglu (Shazeer, GLU Variants
// Improve Transformer, 2020) multiply the gelu or silu of the first half of the columns with the second half.
enum class FfnActivation { relu, gelu, silu, geglu, swiglu };

constexpr bool is_gated(FfnActivation activation) {
  return activation == FfnActivation::geglu || activation == FfnActivation::swiglu;
}

template <typename T, typename A>
struct CombineInputs {
  const T* rows;           // [R, D] sorted rows
  const A* gates;          // [T, k], or null: 1
  const A* bias;           // [E, D] added to a row before its gate, or null
  const int64_t* pos_of;   // [T, k] row of a pair, -1: none
  const int64_t* experts;  // [T, k]
  int64_t slots, dim;
};

template <typename T, typename A>
struct ActivationRows {
  FfnActivation activation;
  int64_t width;  // F; rows of `hidden` are F wide, gated 2F
  const T* hidden;
  const A* bias;  // as wide as a row of `hidden`, or null
};

// Gradient of rows g * (act(h + b) W + c), given u = dY W^T.
template <typename T, typename A>
struct ActivationGradient {
  T* act;             // [M, F] in: u; out: g * act(h + b)
  T* hidden;          // [M, F or 2F] out: gradient of h
  const T* grad_out;  // [M, D] dY
  const A* out_bias;  // [D] c, or null
  int64_t dim;        // D
  const A* gates;     // [M] g
  A* grad_gates;      // [M] out: <u, act(h + b)> + <dY, c>
};

template <typename T, typename A>
struct ColumnSums {
  const T* rows;     // [M, stride]
  const A* weights;  // [M] factor of a row, or null: 1
  int64_t count, stride;
};

#define MOE_DECLARE_EXPERT_KERNELS(T, A)                                                                          \
  /* out [T, D]: the sum over slots, in their order, for tokens in [begin, end); 0 where every slot is -1 */      \
  void combine_tokens(const CombineInputs<T, A>& in, T* out, int64_t begin, int64_t end);                         \
  /* out [M, F] for rows in [begin, end) */                                                                       \
  void activate_rows(const ActivationRows<T, A>& in, T* out, int64_t begin, int64_t end);                         \
  void activate_rows_backward(const ActivationRows<T, A>& in, const ActivationGradient<T, A>& out, int64_t begin, \
                              int64_t end);                                                                       \
  /* out [columns] for columns in [begin, end) */                                                                 \
  void sum_columns(const ColumnSums<T, A>& in, A* out, int64_t begin, int64_t end);
MOE_DECLARE_EXPERT_KERNELS(float, float)
MOE_DECLARE_EXPERT_KERNELS(double, double)
MOE_DECLARE_EXPERT_KERNELS(c10::BFloat16, float)
#undef MOE_DECLARE_EXPERT_KERNELS

}  // namespace moe
