#include "nn/layers.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/linear.h"

namespace moe::nn {

Linear::Linear(int64_t in, int64_t out, bool with_bias) {
  weight = register_parameter("weight", unset({out, in}));
  if (with_bias) bias = register_parameter("bias", unset({out}));
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  return moe::linear(x, weight, bias);
}

void Linear::init_own(const ParameterInit& init) {
  init.fan_in_uniform("weight", weight, weight.size(1));
  if (bias.defined()) init.fan_in_uniform("bias", bias, weight.size(1));
}

LayerNorm::LayerNorm(int64_t features, double eps) : eps_(eps) {
  weight = register_parameter("weight", unset({features}));
  bias = register_parameter("bias", unset({features}));
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x, weight.sizes(), weight, bias, eps_);
}

void LayerNorm::init_own(const ParameterInit&) {
  ParameterInit::constant(weight, 1.0);
  ParameterInit::constant(bias, 0.0);
}

Mlp::Mlp(int64_t in, int64_t hidden, int64_t out, int64_t depth, Activation activation) : activation_(activation) {
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < depth; ++i) {
    layers_.push_back(std::make_shared<Linear>(i == 0 ? in : hidden, i == depth - 1 ? out : hidden));
    list->push_back(std::shared_ptr<torch::nn::Module>(layers_.back()));
  }
  register_module("layers", list);
}

at::Tensor Mlp::forward(const at::Tensor& x) const {
  at::Tensor y = layers_.front()->forward(x);
  for (size_t i = 1; i < layers_.size(); ++i) y = layers_[i]->forward(activate(activation_, y));
  return y;
}

Conv2d::Conv2d(int64_t in, int64_t out, ConvOptions options) : options_(options) {
  if (options_.padding < 0) options_.padding = (options_.kernel - 1) / 2;
  const at::Tensor values = unset({out, in, options_.kernel, options_.kernel});
  weight = register_parameter("weight", values.contiguous(at::MemoryFormat::ChannelsLast));
  if (options_.bias) bias = register_parameter("bias", unset({out}));
}

at::Tensor Conv2d::forward(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, {options_.stride, options_.stride}, {options_.padding, options_.padding});
}

void Conv2d::init_own(const ParameterInit& init) {
  init.fan_in_uniform("weight", weight, fan_in(weight));
  if (bias.defined()) init.fan_in_uniform("bias", bias, fan_in(weight));
}

ConvNorm::ConvNorm(int64_t in, int64_t out, ConvOptions options, Activation activation, bool frozen_norm)
    : activation_(activation) {
  conv_ = register_module("conv", std::make_shared<Conv2d>(in, out, options));
  norm_ = register_module("norm", std::make_shared<BatchNorm2d>(out, frozen_norm));
}

at::Tensor ConvNorm::forward(const at::Tensor& x) {
  return norm_sum({convolved(x)}, {}, activation_);
}

namespace {

struct ConcatChannels : torch::autograd::Function<ConcatChannels> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& a, const at::Tensor& b) {
    context->saved_data["channels"] = a.size(1);
    return at::cat({a, b}, 1);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad) {
    const int64_t channels = context->saved_data["channels"].toInt();
    const auto part = [&](int64_t from, int64_t count) {
      return grad[0].narrow(1, from, count).contiguous(at::MemoryFormat::ChannelsLast);
    };
    return {part(0, channels), part(channels, grad[0].size(1) - channels)};
  }
};

}  // namespace

at::Tensor concat_channels(const at::Tensor& a, const at::Tensor& b) {
  return ConcatChannels::apply(a, b);
}

}  // namespace moe::nn
