#include "moe/conv_blocks.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "tensor/batch.h"

namespace moe {

at::Tensor activate(ConvActivation activation, const at::Tensor& x) {
  switch (activation) {
    case ConvActivation::none:
      return x;
    case ConvActivation::relu:
      return at::relu(x);
    case ConvActivation::gelu:
      return at::gelu(x);
    case ConvActivation::silu:
      return at::silu(x);
  }
  return x;
}

static std::optional<at::Tensor> optional_of(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

static at::Tensor conv2d_same(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t dilation,
                              int64_t groups) {
  const std::vector<int64_t> padding = {dilation * (weight.size(2) / 2), dilation * (weight.size(3) / 2)};
  return at::conv2d(x, weight, optional_of(bias), 1, padding, dilation, groups);
}

at::Tensor conv_same(const at::Tensor& x, const ConvWeights& weights, int64_t dilation) {
  if (!weights.depthwise.defined()) return conv2d_same(x, weights.weight, weights.bias, dilation, 1);
  const at::Tensor spatial = conv2d_same(x, weights.depthwise, {}, dilation, x.size(1));
  return conv2d_same(spatial, weights.weight, weights.bias, 1, 1);
}

int64_t norm_group_count(int64_t channels) {
  int64_t groups = std::max<int64_t>(1, std::min<int64_t>(32, channels / 4));
  while (channels % groups != 0) --groups;
  return groups;
}

// The 1 x 1 convolution of a concatenation is the sum of those of its parts. Parts need no copy, and the gradient of a
// concatenation would be strided views, on which torch's CPU kernels are slow.
at::Tensor dilated_fusion(const at::Tensor& x, const DilatedFusion& weights) {
  const int64_t channels = x.size(1), count = static_cast<int64_t>(weights.branches.size());
  check(weights.fuse_weight.dim() == 4 && weights.fuse_weight.size(1) == count * channels, MOE_ERR_SHAPE,
        "dilated fusion: expected fuse weights [C, ", count * channels, ", 1, 1] for ", count, " branches, got ",
        shape_text(weights.fuse_weight.sizes()));
  at::Tensor y = x;
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor branch = conv_same(x, weights.branches[static_cast<size_t>(i)], int64_t{1} << i);
    const at::Tensor part = weights.fuse_weight.narrow(1, i * channels, channels);
    y = y + conv2d_same(branch, part, i == 0 ? weights.fuse_bias : at::Tensor(), 1, 1);
  }
  const int64_t groups = norm_group_count(channels);
  if (weights.norm_weight.defined()) y = at::group_norm(y, groups, weights.norm_weight, weights.norm_bias);
  return activate(weights.activation, y);
}

}  // namespace moe
