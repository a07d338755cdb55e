// The linear layer as a function of tensors: both of its passes run by gemm(). No double backward.
#pragma once

#include <ATen/core/Tensor.h>

namespace moe {

// y = x W^T + b. x [..., in], weight [out, in], bias [out] or undefined -> [..., out]. Under autocast all three are
// cast through autocast's own cache: a weight once until the autocast scope ends (tensor/scope.h), never stale after
// it. Devices other than the CPU take at::linear. Errors: MOE_ERR_SHAPE, MOE_ERR_DTYPE.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace moe
