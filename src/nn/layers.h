// The small layers that models share. Parameter names are those of torch.nn, so that state dicts of the official
// projects load by name; num_batches_tracked is not kept. Images are [B, C, H, W] in channels-last memory, tokens [...,
// features]. Every layer runs in fp32, fp64, and in bf16 under autocast, where weights stay fp32.
#pragma once

#include <memory>
#include <vector>

#include "nn/activation.h"
#include "nn/batch_norm.h"
#include "nn/init.h"

namespace moe::nn {

// y = x W^T + b; weight [out, in], bias [out].
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x) const;
  void init_own(const ParameterInit& init) override;  // U(+-1/sqrt(in))

  at::Tensor weight, bias;
};

// Over the last dimension; statistics in fp32 for bf16 input.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t features, double eps = 1e-5);
  at::Tensor forward(const at::Tensor& x) const;
  void init_own(const ParameterInit& init) override;

  at::Tensor weight, bias;

 private:
  double eps_;
};

// Linear layers `layers.0` .. `layers.{depth-1}` with an activation between, none after the last.
class Mlp : public Module {
 public:
  Mlp(int64_t in, int64_t hidden, int64_t out, int64_t depth, Activation activation = Activation::relu);
  at::Tensor forward(const at::Tensor& x) const;
  Linear& layer(int64_t i) { return *layers_[static_cast<size_t>(i)]; }
  Linear& last() { return *layers_.back(); }

 private:
  std::vector<std::shared_ptr<Linear>> layers_;
  Activation activation_;
};

// Square kernel; padding < 0 means (kernel - 1) / 2. The weight [out, in, k, k] lies channels-last.
struct ConvOptions {
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t padding = -1;
  bool bias = false;
};

class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, ConvOptions options);
  at::Tensor forward(const at::Tensor& x) const;
  void init_own(const ParameterInit& init) override;  // U(+-1/sqrt(fan_in))

  at::Tensor weight, bias;

 private:
  ConvOptions options_;
};

// `conv` (no bias), `norm`, activation.
class ConvNorm : public Module {
 public:
  ConvNorm(int64_t in, int64_t out, ConvOptions options, Activation activation = Activation::none,
           bool frozen_norm = false);
  at::Tensor forward(const at::Tensor& x);  // [B, in, H, W] -> [B, out, H', W']
  // The convolution alone, for norm_sum().
  NormTerm convolved(const at::Tensor& x) { return {conv_->forward(x), norm_.get()}; }

 private:
  std::shared_ptr<Conv2d> conv_;
  std::shared_ptr<BatchNorm2d> norm_;
  Activation activation_;
};

// at::cat({a, b}, 1) with dense channels-last gradients. Those of at::cat are strided views of one tensor, on which
// torch's CPU backward passes of BatchNorm and upsampling take 20 times as long as on a copy.
at::Tensor concat_channels(const at::Tensor& a, const at::Tensor& b);

}  // namespace moe::nn
