// Deterministic parameter initialisation. Every parameter is drawn from its own stream, keyed by (seed, full parameter
// name), so adding a layer does not change the others and torch's global generator decides nothing. Formulas: Glorot
// and Bengio 2010 (xavier), He et al. 2015 (kaiming). It does not load pretrained weights.
#pragma once

#include <torch/nn/module.h>

#include <string>

#include "base/rng.h"

namespace moe::nn {

// Fills parameters of one module; `prefix` is the module's path below the root ("encoder.fpn_blocks.0").
class ParameterInit {
 public:
  ParameterInit(uint64_t seed, std::string prefix) : seed_(seed), prefix_(std::move(prefix)) {}

  // The stream of the parameter or submodule parameter `name` ("weight", "layers.2.bias").
  Rng stream(const std::string& name) const;

  void uniform(const std::string& name, const at::Tensor& parameter, double low, double high) const;
  void normal(const std::string& name, const at::Tensor& parameter, double deviation) const;
  // U(-b, b) with b = gain * sqrt(6 / (fan_in + fan_out)).
  void xavier_uniform(const std::string& name, const at::Tensor& weight, double gain = 1.0) const;
  // U(-b, b) with b = sqrt(6 / fan_out): keeps the variance of gradients through ReLU.
  void kaiming_uniform_fan_out(const std::string& name, const at::Tensor& weight) const;
  // U(-b, b) with b = 1 / sqrt(fan_in): what torch gives weights and biases of linear and convolution layers.
  void fan_in_uniform(const std::string& name, const at::Tensor& parameter, int64_t fan_in) const;
  static void constant(const at::Tensor& parameter, double value);

 private:
  void fill(const at::Tensor& parameter, const at::Tensor& values) const;

  uint64_t seed_;
  std::string prefix_;
};

// A module that knows how its own parameters start. A parent runs after its children and may overwrite what they drew.
class Module : public torch::nn::Module {
 public:
  virtual void init_own(const ParameterInit&) {}
};

// A parameter that nothing has filled yet: NaN, so that a forgotten init_own shows in the first loss.
at::Tensor unset(at::IntArrayRef shape);

// fan_in = shape[1] * kernel, fan_out = shape[0] * kernel, of a weight [out, in, kernel...].
int64_t fan_in(const at::Tensor& weight);
int64_t fan_out(const at::Tensor& weight);

// Initialises every parameter at or below `root`. `prefix` is root's own path where it is not the top.
void init_parameters(torch::nn::Module& root, uint64_t seed, const std::string& prefix = "");

}  // namespace moe::nn
