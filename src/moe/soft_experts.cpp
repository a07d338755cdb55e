#include "moe/soft_experts.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "tensor/batch.h"

namespace moe {

at::Tensor soft_experts(const at::Tensor& x, const SoftRouting& routing, const FfnWeights& weights,
                        FfnActivation activation) {
  const at::Tensor& mix = routing.dispatch;  // [B, N, E, S]
  check(x.dim() == 3 && mix.dim() == 4 && mix.sizes() == routing.combine.sizes() && mix.size(0) == x.size(0) &&
            mix.size(1) == x.size(1),
        MOE_ERR_SHAPE, "soft experts: expected x [B, N, D] and weights [B, N, E, S], got ", shape_text(x.sizes()), ", ",
        shape_text(mix.sizes()), " and ", shape_text(routing.combine.sizes()));
  const int64_t images = x.size(0), experts = mix.size(2), slots = mix.size(3), width = x.size(2);
  const at::Tensor inputs = at::bmm(mix.flatten(2).to(x.scalar_type()).transpose(1, 2), x);  // [B, E * S, D]
  const at::Tensor expert = at::arange(experts).repeat_interleave(slots).repeat(images).unsqueeze(1);
  const at::Tensor gates = at::ones({expert.size(0), 1}, x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  const Dispatch dispatch = sort_by_expert(expert, experts);
  const at::Tensor outputs =
      ffn_experts(inputs.reshape({-1, width}), gates, dispatch, weights, activation).view({images, -1, width});
  return at::bmm(routing.combine.flatten(2).to(outputs.scalar_type()), outputs);
}

}  // namespace moe
