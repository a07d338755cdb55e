// Feed-forward experts of a mixture layer: gathered rows, two products an expert with the activation fused between
// them, and the gated sum per token, as one function with its own backward pass. It knows neither the router nor the
// losses, owns no parameters, and has no double backward. CPU only.
#pragma once

#include <ATen/core/Tensor.h>

#include "moe/dispatch.h"
#include "moe/expert_kernels.h"

namespace moe {

// Weights of E experts, stacked; each as torch.nn.Linear has it (out, in). Any dense order of the last two dimensions
// is taken as it lies, and the gradient comes back in the same order.
struct FfnWeights {
  at::Tensor w1;  // [E, F, D]; gated: [E, 2F, D], first the F rows for the activation, then the F that multiply it
  at::Tensor b1;  // [E, F] or [E, 2F]; undefined: none
  at::Tensor w2;  // [E, D, F]
  at::Tensor b2;  // [E, D]; undefined: none
};

// y[t] = sum over slots j of gates[t, j] * (w2[e] act(w1[e] x[t] + b1[e]) + b2[e]), e = dispatch.experts[t, j]; a token
// whose slots are all -1 gets 0. x [T, D] -> [T, D] in x's type. gates [T, k], fp32 or fp64.
//
// The products run in x's type (under autocast in autocast's, and so is the result; fp16 is computed in fp32), biases,
// activations, gates and sums over slots in fp32 (fp64 for fp64 x). Weights are cast once a call, through autocast's
// cache where it is on, and get gradients in their own type; those of an expert without rows are 0. Kept for the
// backward pass: x, the rows before the activation [R, F or 2F], and indices.
// Give rows as RowCounts::rounded where loads differ from call to call. Errors: MOE_ERR_SHAPE, MOE_ERR_DTYPE.
at::Tensor ffn_experts(const at::Tensor& x, const at::Tensor& gates, const Dispatch& dispatch,
                       const FfnWeights& weights, FfnActivation activation);

}  // namespace moe
