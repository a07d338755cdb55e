#include "nn/recompute.h"

#include "tensor/checkpoint_fn.h"

namespace moe::nn {

at::Tensor run_block(bool checkpoint, const BlockFunction& block, const std::vector<at::Tensor>& inputs) {
  if (!checkpoint) return block(inputs);
  const auto as_list = [block](const std::vector<at::Tensor>& x) { return std::vector<at::Tensor>{block(x)}; };
  return checkpointed(as_list, inputs)[0];
}

}  // namespace moe::nn
