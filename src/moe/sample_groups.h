// Whole samples routed to experts: the two moves of data that a mixture over samples needs, each with its gradient, and
// expert parameters one by one. A sample is one image [C, H, W] in channels-last memory. Rows are the chosen (sample,
// slot) pairs, sorted by expert (moe/dispatch.h).
#pragma once

#include <torch/torch.h>

#include <vector>

#include "moe/dispatch.h"

namespace moe {

// The rows of one expert.
struct SampleBlock {
  int64_t expert, first, count;
};

struct SampleGroups : torch::CustomClassHolder {
  explicit SampleGroups(Dispatch sorted);

  int64_t pair(int64_t row) const { return dispatch.row_of.const_data_ptr<int64_t>()[row]; }
  int64_t sample(int64_t row) const { return pair(row) / dispatch.slots(); }

  const Dispatch dispatch;          // of exact row counts: no filler rows
  std::vector<SampleBlock> blocks;  // of experts with rows; where none has any, expert 0 without rows
};
using SampleGroupsPtr = c10::intrusive_ptr<SampleGroups>;

// experts: int64 [B, k] in -1 .. expert_count - 1, -1 = none; else MOE_ERR_INVALID_ARGUMENT.
SampleGroupsPtr group_samples(const at::Tensor& experts, int64_t expert_count);

// The two moves; gates are float32 (float64 with float64 samples).
// x [B, C, H, W] -> a tensor [count, C, H, W] for each block: row r is x[sample(r)], times its gate where gates [B, k]
// are given.
std::vector<at::Tensor> gather_samples(const SampleGroupsPtr& groups, const at::Tensor& x,
                                       const at::Tensor& gates = {});

// rows: a tensor [count, C, H, W] for each block -> [B, C, H, W]: the sum over a sample's slots, in their order, of its
// rows, times their gates where given.
at::Tensor combine_samples(const SampleGroupsPtr& groups, const std::vector<at::Tensor>& rows,
                           const at::Tensor& gates = {});

// Parameters stacked by expert [E, ...] -> E tensors [...]. The gradient is written once, in the memory order of the
// parameter; an expert whose tensor was not used gets exact zeros.
std::vector<at::Tensor> split_experts(const at::Tensor& stacked);

}  // namespace moe
