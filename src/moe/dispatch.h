// Dispatch and combine of a mixture layer: (token, slot) pairs sorted by expert, so that every expert works on a slice
// of rows, and the weighted sum back per token. One path for dropless routing and for capacity: a dropped pair is -1.
// No atomics, the same bits for any number of threads. No autograd (callers write their own backward), CPU only.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace moe {

// T tokens with k slots each over E experts give R sorted rows. Rows of an expert keep the order of their pairs t * k +
// j.
struct Dispatch {
  at::Tensor experts;  // [T, k] int64, -1: dropped
  at::Tensor counts;   // [E] int64: pairs of each expert
  at::Tensor offsets;  // [E + 1] int64: the rows of expert e begin at offsets[e]; the last entry is R
  at::Tensor row_of;   // [R] int64: the pair of a sorted row; -1: a filler row
  at::Tensor pos_of;   // [T, k] int64: the sorted row of a pair; -1: dropped

  int64_t tokens() const { return pos_of.size(0); }
  int64_t slots() const { return pos_of.size(1); }
  int64_t expert_count() const { return counts.size(0); }
  int64_t rows() const { return row_of.size(0); }
};

// exact: R = pairs that are not dropped. rounded: filler rows after each expert's own bring their number to
// gemm_rows().
enum class RowCounts { exact, rounded };

// Stable counting sort in O(T k + E). experts [T, k] int64 in -1..E-1, else MOE_ERR_INVALID_ARGUMENT.
Dispatch sort_by_expert(const at::Tensor& experts, int64_t expert_count, RowCounts counts = RowCounts::exact);

// Rows begin..begin + n - 1 in sorted order: out [n, D] = x[token of the row], filler rows 0. x [T, D] and out dense
// and of one type.
void gather_rows(const Dispatch& dispatch, const at::Tensor& x, int64_t begin, at::Tensor& out);

// One number a pair <-> one number a row, fp32 or fp64. Filler rows and dropped pairs get 0.
at::Tensor gather_gates(const Dispatch& dispatch, const at::Tensor& gates);  // [T, k] -> [R]
at::Tensor scatter_gates(const Dispatch& dispatch, const at::Tensor& rows);  // [R] -> [T, k]

// out[t] = sum over slots j, in their order, of gates[t, j] * (rows[pos_of[t, j]] + bias[experts[t, j]]), summed in the
// type of gates; a token without any row gets 0. rows [R, D] fp32, fp64 or bf16; gates [T, k] fp32 (fp64 for fp64 rows)
// or undefined: 1; bias [E, D] of the type of gates, or undefined: 0. -> [T, D] in the type of rows.
at::Tensor combine_rows(const Dispatch& dispatch, const at::Tensor& rows, const at::Tensor& gates,
                        const at::Tensor& bias = {});

}  // namespace moe
