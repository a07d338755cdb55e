// Rows of a mixture layer around its matrix products: gather, the weighted sum per token (combine) with its gradients,
// biases of experts, sums by expert. Indices are those of moe::Dispatch. Every sum has one owner and a fixed order.
#pragma once

#include "cuda/host_device.h"

namespace moe::cuda {

struct RowSizes {
  int64_t slots, dim;  // k, D
};

// 16, 4 or 2 bytes of a row; rows are copied in the largest unit that divides them.
struct alignas(16) Word16 {
  uint32_t part[4];
};

// For each of R * words: out [R, words] = x[token of the row], filler rows 0.
template <typename Word>
struct GatherRows {
  int64_t slots, words;   // words of a row
  const int64_t* row_of;  // [R]
  const Word* x;          // [T, words]
  Word* out;

  MOE_HD void operator()(int64_t i) const {
    const int64_t pair = row_of[i / words];
    out[i] = pair < 0 ? Word{} : x[pair / slots * words + i % words];
  }
};

template <typename T>
struct CombineArguments {
  RowSizes sizes;
  const T* rows;           // [R, D]
  const Sum<T>* gates;     // [T, k], or null: 1
  const Sum<T>* bias;      // [E, D] added to a row before its gate, or null: 0
  const int64_t* pos_of;   // [T, k]
  const int64_t* experts;  // [T, k]

  MOE_HD Sum<T> biased(int64_t pair, int64_t d) const {
    const Sum<T> value = static_cast<Sum<T>>(rows[pos_of[pair] * sizes.dim + d]);
    return bias != nullptr ? value + bias[experts[pair] * sizes.dim + d] : value;
  }
};

// For each of T * D: the sum over the slots of a token, in their order.
template <typename T>
struct CombineRows {
  CombineArguments<T> in;
  T* out;  // [T, D]

  MOE_HD void operator()(int64_t i) const {
    const int64_t token = i / in.sizes.dim, d = i % in.sizes.dim;
    Sum<T> sum = 0;
    for (int64_t pair = token * in.sizes.slots; pair < (token + 1) * in.sizes.slots; ++pair) {
      if (in.pos_of[pair] < 0) continue;
      const Sum<T> value = in.biased(pair, d);
      sum += in.gates != nullptr ? in.gates[pair] * value : value;
    }
    out[i] = static_cast<T>(sum);
  }
};

// For each of R * D: gradient of the rows = gate of the row * gradient of its token; filler rows 0.
template <typename T>
struct CombineRowsBackward {
  RowSizes sizes;
  const Sum<T>* gates;    // [T, k], or null: 1
  const int64_t* row_of;  // [R]
  const T* grad_out;      // [T, D]
  T* grad_rows;           // [R, D]

  MOE_HD void operator()(int64_t i) const {
    const int64_t row = i / sizes.dim, pair = row_of[row];
    Sum<T> grad = 0;
    if (pair >= 0) {
      grad = static_cast<Sum<T>>(grad_out[pair / sizes.slots * sizes.dim + (i - row * sizes.dim)]);
      if (gates != nullptr) grad *= gates[pair];
    }
    grad_rows[i] = static_cast<T>(grad);
  }
};

// One block a pair: gradient of its gate = <gradient of the token, row + bias>, halves added in shared memory.
template <typename T>
struct GateGradient {
  CombineArguments<T> in;
  const T* grad_out;   // [T, D]
  Sum<T>* grad_gates;  // [T, k]; 0 where dropped

  static constexpr int threads = 128;
  static constexpr int halvings = 7;
  struct State {};
  static_assert(threads == 1 << halvings);

  size_t shared_bytes() const { return threads * sizeof(Sum<T>); }
  MOE_HD int64_t phases() const { return halvings + 2; }

  MOE_HD void phase(int64_t phase, int64_t pair, int thread, State&, unsigned char* shared) const {
    auto* sums = reinterpret_cast<Sum<T>*>(shared);
    if (phase == 0) {
      sums[thread] = own_sum(pair, thread);
    } else if (phase <= halvings) {
      const int half = threads >> phase;
      if (thread < half) sums[thread] += sums[thread + half];
    } else if (thread == 0) {
      grad_gates[pair] = sums[0];
    }
  }

 private:
  MOE_HD Sum<T> own_sum(int64_t pair, int thread) const {
    Sum<T> sum = 0;
    if (in.pos_of[pair] < 0) return sum;
    const T* grad = grad_out + pair / in.sizes.slots * in.sizes.dim;
    for (int64_t d = thread; d < in.sizes.dim; d += threads) sum += static_cast<Sum<T>>(grad[d]) * in.biased(pair, d);
    return sum;
  }
};

// For each of R * D: rows + bias of the row's expert; filler rows 0.
template <typename T>
struct AddExpertBias {
  int64_t dim;
  const T* rows;           // [R, D]
  const Sum<T>* bias;      // [E, D]
  const int64_t* row_of;   // [R]
  const int64_t* experts;  // [T * k]
  T* out;                  // [R, D]

  MOE_HD void operator()(int64_t i) const {
    const int64_t pair = row_of[i / dim];
    out[i] = pair < 0 ? T(0) : static_cast<T>(static_cast<Sum<T>>(rows[i]) + bias[experts[pair] * dim + i % dim]);
  }
};

// For each of E * D: the sum over the rows of an expert, in their order.
template <typename T>
struct SumByExpert {
  int64_t dim;
  const T* rows;           // [R, D]
  const int64_t* offsets;  // [E + 1]
  Sum<T>* sums;            // [E, D]

  MOE_HD void operator()(int64_t i) const {
    const int64_t expert = i / dim, d = i % dim;
    Sum<T> sum = 0;
    for (int64_t row = offsets[expert]; row < offsets[expert + 1]; ++row)
      sum += static_cast<Sum<T>>(rows[row * dim + d]);
    sums[i] = sum;
  }
};

// For each of R * D: zeroes the rows that a product leaves as they were.
template <typename T>
struct ClearRows {
  int64_t dim;
  const int64_t* used;  // [R] negative: to zero
  T* rows;              // [R, D]

  MOE_HD void operator()(int64_t i) const {
    if (used[i / dim] < 0) rows[i] = T(0);
  }
};

}  // namespace moe::cuda
