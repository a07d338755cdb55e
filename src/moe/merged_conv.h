// A mixture of convolutions as one convolution with mixed kernels (Yang et al., CondConv, 2019): convolution is linear
// in its kernel, so sum_j g_j conv(x, W_j) = conv(x, sum_j g_j W_j), one convolution for k experts. Kernels of
// different dilation cannot be added: a sample has one convolution for each dilation among its experts.
#pragma once

#include <torch/torch.h>

#include <span>
#include <vector>

namespace moe {

// One convolution of one sample, and the pairs that are mixed into its kernel.
struct MergeUnit {
  struct Part {
    int64_t pair;  // sample * k + slot
    int64_t expert;
  };
  int64_t sample = 0;
  int64_t dilation = 1;
  std::vector<Part> parts;
};

struct MergePlan : torch::CustomClassHolder {
  std::vector<MergeUnit> units;  // by sample
  std::vector<size_t> begin;     // [B + 1] sample b has the units begin[b] .. begin[b + 1] - 1

  std::span<const MergeUnit> of_samples(int64_t first, int64_t last) const {
    const size_t from = begin[static_cast<size_t>(first)];
    return std::span(units).subspan(from, begin[static_cast<size_t>(last)] - from);
  }
};
using MergePlanPtr = c10::intrusive_ptr<MergePlan>;

// experts: int64 [B, k] in -1 .. E - 1, -1 = none; dilation [E].
MergePlanPtr plan_merge(const at::Tensor& experts, const std::vector<int64_t>& dilation);

// x [B, C, H, W] -> [B, O, H, W], stride 1, padding that keeps the size. weight [E, O, C, k, k] of odd k, fastest in
// the memory order [E, O, k, k, C]; gates [B, k]; both in float32 (float64 with float64 samples). Samples are spread
// over threads, so that results are the same bits for any number of threads up to the number of samples. A thread holds
// one mixed kernel; the backward pass mixes again and holds the gradients of at most 16 samples' kernels.
at::Tensor merged_conv(const MergePlanPtr& plan, const at::Tensor& x, const at::Tensor& weight,
                       const at::Tensor& gates);

}  // namespace moe
