// Convolution blocks as functions of their weights: a convolution or depthwise-separable convolution that keeps the
// map's size, GroupNorm's usual number of groups, and the fusion of parallel dilations. No modules, no routing; maps
// are [B, C, H, W], best in channels-last memory. An undefined tensor is a part left out.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace moe {

enum class ConvActivation { none, relu, gelu, silu };  // gelu is exact, by the normal distribution
at::Tensor activate(ConvActivation activation, const at::Tensor& x);

// Depthwise-separable where `depthwise` is defined: k x k within each channel, then 1 x 1 across channels. Odd k.
struct ConvWeights {
  at::Tensor weight;     // [O, C, k, k]; [O, C, 1, 1] behind a depthwise one
  at::Tensor depthwise;  // [C, 1, k, k]
  at::Tensor bias;       // [O]
};

// Stride 1, padding dilation * (k - 1) / 2. The dilation is that of the k x k kernel. -> [B, O, H, W]
at::Tensor conv_same(const at::Tensor& x, const ConvWeights& weights, int64_t dilation = 1);

// The largest divisor of `channels` up to min(32, channels / 4): groups that hold four channels at least where they
// can.
int64_t norm_group_count(int64_t channels);

// Parallel convolutions C -> C with dilations 1, 2, 4, ..., concatenated, brought back to C channels by 1 x 1 and added
// to their input; norm and activation follow (MoEFSDiC's Dilated_Fusion_Block with GroupNorm for BatchNorm).
struct DilatedFusion {
  std::vector<ConvWeights> branches;  // branch i has dilation 2^i
  at::Tensor fuse_weight;             // [C, branches * C, 1, 1]
  at::Tensor fuse_bias;               // [C]
  at::Tensor norm_weight, norm_bias;  // [C]
  ConvActivation activation = ConvActivation::gelu;
};
at::Tensor dilated_fusion(const at::Tensor& x, const DilatedFusion& weights);

}  // namespace moe
