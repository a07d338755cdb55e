// The compute of Soft MoE (Puigcerver et al. 2023): every slot of an expert reads a mix of an image's tokens, every
// token a mix of all slots' outputs. Dense: no choice, nothing dropped, the cost of B * E * S rows. The weights of both
// mixes come from soft_route() in moe/router.h.
#pragma once

#include "moe/ffn_experts.h"
#include "moe/router.h"

namespace moe {

// x [B, N, D] -> [B, N, D] in the type of the products; tokens that the routing knows as padded get 0 and give nothing.
// MOE_ERR_SHAPE.
at::Tensor soft_experts(const at::Tensor& x, const SoftRouting& routing, const FfnWeights& weights,
                        FfnActivation activation);

}  // namespace moe
