#include "nn/activation.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace moe::nn {

Activation activation_by_name(const std::string& name) {
  if (name == "none") return Activation::none;
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu;
  if (name == "silu") return Activation::silu;
  fail(MOE_ERR_CONFIG, "activation: expected none, relu, gelu or silu, got ", quoted(name));
}

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return at::relu_(const_cast<at::Tensor&>(x));  // its backward needs the result alone
    case Activation::gelu:
      return at::gelu(x);
    case Activation::silu:
      return at::silu(x);
  }
  return x;
}

}  // namespace moe::nn
