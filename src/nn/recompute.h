// Activation checkpointing of one block of a network, as a switch.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace moe::nn {

using BlockFunction = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// block(inputs); where `checkpoint` is set, its intermediate tensors are dropped and computed again in the backward
// pass.
at::Tensor run_block(bool checkpoint, const BlockFunction& block, const std::vector<at::Tensor>& inputs);

}  // namespace moe::nn
