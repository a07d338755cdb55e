#include "nn/recompute.h"

#include <algorithm>

#include "tensor/checkpoint_fn.h"

namespace moe::nn {

at::Tensor run_block(bool checkpoint, const BlockFunction& block, const std::vector<at::Tensor>& inputs) {
  const bool reached =
      std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor& input) { return input.requires_grad(); });
  if (!checkpoint || !reached) return block(inputs);
  const auto as_list = [block](const std::vector<at::Tensor>& x) { return std::vector<at::Tensor>{block(x)}; };
  return checkpointed(as_list, inputs)[0];
}

}  // namespace moe::nn
