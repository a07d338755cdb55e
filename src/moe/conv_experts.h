// Convolution experts with routing by sample: out[b] = sum_j gates[b, j] * expert(experts[b, j])(x[b]). Only chosen
// pairs are computed. Two ways to the same result: mixed kernels (moe/merged_conv.h) where an expert is one
// convolution, and samples grouped by expert otherwise. No router, residual or shared expert: callers add them.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "moe/conv_blocks.h"

namespace moe {

// One stage of all E experts: GroupNorm, modulation, activation, then a convolution or a depthwise-separable one. All
// but `weight` may be left undefined. An expert is a chain of stages.
struct ConvStage {
  at::Tensor weight;                  // [E, O, C, k, k]; [E, O, C, 1, 1] behind a depthwise one
  at::Tensor depthwise;               // [E, C, 1, k, k]
  at::Tensor bias;                    // [E, O]
  at::Tensor norm_weight, norm_bias;  // [E, C]; groups by norm_group_count(C)
  at::Tensor scale, shift;            // [B, C]: x (1 + scale) + shift, the same for all experts
  ConvActivation activation = ConvActivation::none;

  bool is_linear() const { return !norm_weight.defined() && !scale.defined() && activation == ConvActivation::none; }
};

enum class ConvRoute { automatic, merged, grouped };

struct ConvExpertsOptions {
  std::vector<int64_t> dilation;  // [E] of the k x k kernels; empty: 1
  ConvRoute route = ConvRoute::automatic;
};

// x [B, C, H, W] in float32, float64, bfloat16 or float16 (computed in float32); experts int64 [B, k], -1 = none; gates
// [B, k] float32 or float64 -> [B, O, H, W] in channels-last memory, in the type of x, or in autocast's where it is on.
// A sample without an expert gives zeros. Gradients reach x, gates, scale, shift and every weight: exact zeros for
// experts and slots that were not used. Merging needs experts of one linear stage; of a depthwise-separable one it
// makes the dense kernel, and is only done on request. MOE_ERR_SHAPE, MOE_ERR_DTYPE, MOE_ERR_INVALID_ARGUMENT (expert
// number), MOE_ERR_CONFIG (dilation, merging what cannot be merged).
at::Tensor conv_experts(const at::Tensor& x, const at::Tensor& experts, const at::Tensor& gates,
                        const std::vector<ConvStage>& stages, const ConvExpertsOptions& options = {});

// The way that conv_experts takes: merged or grouped.
ConvRoute conv_route(const at::Tensor& x, const at::Tensor& experts, const std::vector<ConvStage>& stages,
                     const ConvExpertsOptions& options = {});

// A copy of stacked kernels [E, O, C, k, k] in the memory order [E, O, k, k, C], in which neither way has to copy them
// again, nor their gradient. For parameters.
at::Tensor channels_last_kernels(const at::Tensor& weight);

}  // namespace moe
