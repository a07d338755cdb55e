#include "models/diffusion/layers.h"

#include <ATen/ATen.h>

#include <cmath>

namespace moe::diffusion {

GroupNorm::GroupNorm(int64_t channels) {
  weight = register_parameter("weight", nn::unset({channels}));
  bias = register_parameter("bias", nn::unset({channels}));
}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  return at::group_norm(x, norm_group_count(x.size(1)), weight, bias);
}

void GroupNorm::init_own(const nn::ParameterInit&) {
  nn::ParameterInit::constant(weight, 1);
  nn::ParameterInit::constant(bias, 0);
}

SpatialConv::SpatialConv(int64_t in, int64_t out, bool separable) {
  const int64_t kernel = separable ? 1 : 3;
  if (separable) depthwise_ = register_parameter("depthwise", nn::unset({in, 1, 3, 3}));
  const at::Tensor values = nn::unset({out, in, kernel, kernel});
  weight_ = register_parameter("weight", values.contiguous(at::MemoryFormat::ChannelsLast));
  if (!separable) bias_ = register_parameter("bias", nn::unset({out}));
}

at::Tensor SpatialConv::forward(const at::Tensor& x, int64_t dilation) const {
  return conv_same(x, weights(), dilation);
}

void SpatialConv::init_own(const nn::ParameterInit& init) {
  if (depthwise_.defined()) init.fan_in_uniform("depthwise", depthwise_, nn::fan_in(depthwise_));
  init.fan_in_uniform("weight", weight_, nn::fan_in(weight_));
  if (bias_.defined()) init.fan_in_uniform("bias", bias_, nn::fan_in(weight_));
}

at::Tensor sinusoid(const at::Tensor& t, int64_t width) {
  const int64_t half = width / 2;
  const at::Tensor exponent = at::arange(half, at::kDouble) * (-std::log(10000.0) / static_cast<double>(half));
  const at::Tensor angle = t.to(at::kDouble).unsqueeze(1) * exponent.exp().unsqueeze(0);  // [B, half]
  return at::cat({angle.cos(), angle.sin()}, 1).to(at::kFloat);
}

TimeEmbedding::TimeEmbedding(int64_t width)
    : width_(width),
      first_(register_module("first", std::make_shared<nn::Linear>(width, 4 * width))),
      second_(register_module("second", std::make_shared<nn::Linear>(4 * width, width))) {}

at::Tensor TimeEmbedding::forward(const at::Tensor& t) const {
  const at::Tensor angles = sinusoid(t, width_).to(first_->weight.scalar_type());
  return second_->forward(at::gelu(first_->forward(angles)));
}

ClassEmbedding::ClassEmbedding(int64_t classes, int64_t width, bool with_null) {
  weight = register_parameter("weight", nn::unset({classes + (with_null ? 1 : 0), width}));
}

at::Tensor ClassEmbedding::forward(const at::Tensor& labels) const {
  return at::embedding(weight, labels);
}

void ClassEmbedding::init_own(const nn::ParameterInit& init) {
  init.normal("weight", weight, 1);
}

at::Tensor pooled(const at::Tensor& x) {
  return x.mean({2, 3});
}

at::Tensor routing_features(const at::Tensor& x, const Condition& condition) {
  std::vector<at::Tensor> parts = {pooled(x), condition.time.to(x.scalar_type())};
  if (condition.label.defined()) parts.push_back(condition.label.to(x.scalar_type()));
  return at::cat(parts, 1);
}

}  // namespace moe::diffusion
