// The loops of deformable attention, without tensors: raw pointers, one thread, a range of work. Vector code is
// compiled for several x86-64 levels and chosen at run time. deformable_attention.cpp checks the inputs and divides the
// work.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <vector>

namespace moe::nn {

// Where a sample point lands: its level's size, and the first row of the level in the flattened values.
struct PointLevel {
  int64_t height, width, start;
};

struct DeformableSizes {
  int64_t queries, heads, dim;     // Q, M, D
  int64_t cells;                   // S
  std::vector<PointLevel> points;  // P
};

// value [Bv, S, M, D] of T; locations [G, Q, M, P, 2] and weights [G, Q, M, P] of A; rows [G]: the value row of a
// group.
template <typename T, typename A>
struct DeformableInputs {
  const T* value;
  const A* locations;
  const A* weights;
  const int64_t* rows;
};

template <typename A>
struct DeformableGradients {
  A* value;      // [Bv, S, M, D], zeroed by the caller, accumulated in A
  A* locations;  // as the input, every element written
  A* weights;    // as the input, every element written
};

// out [G, Q, M * D] for flat queries g * Q + q in [begin, end).
void deformable_forward(const DeformableSizes& sizes, const DeformableInputs<float, float>& in, float* out,
                        int64_t begin, int64_t end);
void deformable_forward(const DeformableSizes& sizes, const DeformableInputs<double, double>& in, double* out,
                        int64_t begin, int64_t end);
void deformable_forward(const DeformableSizes& sizes, const DeformableInputs<c10::BFloat16, float>& in,
                        c10::BFloat16* out, int64_t begin, int64_t end);

// All gradients that belong to one head of the groups listed (those that read one value row), in the order of the list.
// Calls for different (value row, head) pairs write disjoint memory. grad_out [G, Q, M * D].
void deformable_backward(const DeformableSizes& sizes, const DeformableInputs<float, float>& in, const float* grad_out,
                         const DeformableGradients<float>& grad, int64_t head, const std::vector<int64_t>& groups);
void deformable_backward(const DeformableSizes& sizes, const DeformableInputs<double, double>& in,
                         const double* grad_out, const DeformableGradients<double>& grad, int64_t head,
                         const std::vector<int64_t>& groups);
void deformable_backward(const DeformableSizes& sizes, const DeformableInputs<c10::BFloat16, float>& in,
                         const c10::BFloat16* grad_out, const DeformableGradients<float>& grad, int64_t head,
                         const std::vector<int64_t>& groups);

}  // namespace moe::nn
