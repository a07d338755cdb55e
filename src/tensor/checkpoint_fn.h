// Activation checkpointing: run a block without keeping its intermediate tensors, and run it again in the backward pass
// (Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016). Trades time for memory; gradients are the same
// bits.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace moe {

using TensorFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

// Calls fn(inputs). fn must be a pure function of its inputs and of parameters it captures, whose gradients are
// accumulated as usual, also when no input wants a gradient. Autocast state of the first run is restored for the
// second. With gradients off it is a plain call.
std::vector<at::Tensor> checkpointed(const TensorFunction& fn, const std::vector<at::Tensor>& inputs);

// True inside the second run: layers that keep running statistics (BatchNorm, expert counts) must not update them
// again.
bool recomputing();

}  // namespace moe
