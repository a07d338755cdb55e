#include "nn/init.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "tensor/random.h"

namespace moe::nn {

Rng ParameterInit::stream(const std::string& name) const {
  return Rng(seed_, "parameter " + (prefix_.empty() ? name : prefix_ + "." + name));
}

void ParameterInit::fill(const at::Tensor& parameter, const at::Tensor& values) const {
  at::NoGradGuard no_grad;
  parameter.copy_(values);
}

void ParameterInit::uniform(const std::string& name, const at::Tensor& parameter, double low, double high) const {
  fill(parameter, uniform_tensor(stream(name), parameter.sizes()).mul_(high - low).add_(low));
}

void ParameterInit::normal(const std::string& name, const at::Tensor& parameter, double deviation) const {
  fill(parameter, normal_tensor(stream(name), parameter.sizes()).mul_(deviation));
}

void ParameterInit::xavier_uniform(const std::string& name, const at::Tensor& weight, double gain) const {
  const double bound = gain * std::sqrt(6.0 / static_cast<double>(fan_in(weight) + fan_out(weight)));
  uniform(name, weight, -bound, bound);
}

void ParameterInit::kaiming_uniform_fan_out(const std::string& name, const at::Tensor& weight) const {
  const double bound = std::sqrt(6.0 / static_cast<double>(fan_out(weight)));
  uniform(name, weight, -bound, bound);
}

void ParameterInit::fan_in_uniform(const std::string& name, const at::Tensor& parameter, int64_t fan_in) const {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  uniform(name, parameter, -bound, bound);
}

void ParameterInit::constant(const at::Tensor& parameter, double value) {
  at::NoGradGuard no_grad;
  parameter.fill_(value);
}

at::Tensor unset(at::IntArrayRef shape) {
  return at::full(shape, std::numeric_limits<double>::quiet_NaN(), at::kFloat);
}

int64_t fan_in(const at::Tensor& weight) {
  return weight.numel() / weight.size(0);
}

int64_t fan_out(const at::Tensor& weight) {
  return weight.numel() / weight.size(1);
}

void init_parameters(torch::nn::Module& root, uint64_t seed, const std::string& prefix) {
  for (const auto& child : root.named_children()) {
    init_parameters(*child.value(), seed, prefix.empty() ? child.key() : prefix + "." + child.key());
  }
  if (auto* own = dynamic_cast<Module*>(&root)) own->init_own(ParameterInit(seed, prefix));
}

}  // namespace moe::nn
