#include "nn/recompute.h"

#include <ATen/ATen.h>

#include "tensor/checkpoint_fn.h"

namespace moe::nn {

// An alias collects the gradients from inside the block before they meet those from outside: the same order of sums as
// with checkpointing, so that the switch does not change a bit.
static at::Tensor plain(const BlockFunction& block, std::vector<at::Tensor> inputs) {
  for (at::Tensor& input : inputs) {
    if (input.requires_grad()) input = input.alias();
  }
  return block(inputs);
}

at::Tensor run_block(bool checkpoint, const BlockFunction& block, const std::vector<at::Tensor>& inputs) {
  if (!checkpoint) return plain(block, inputs);
  const auto as_list = [block](const std::vector<at::Tensor>& x) { return std::vector<at::Tensor>{block(x)}; };
  return checkpointed(as_list, inputs)[0];
}

}  // namespace moe::nn
