// The activation functions that layers are built with.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace moe::nn {

enum class Activation { none, relu, gelu, silu };

// "relu", "gelu", "silu", "none"; MOE_ERR_CONFIG names the choices.
Activation activation_by_name(const std::string& name);
// May overwrite `x` (ReLU does).
at::Tensor activate(Activation activation, const at::Tensor& x);

}  // namespace moe::nn
