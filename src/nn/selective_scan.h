// The selective scan of Mamba (Gu and Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023), as
// its authors' reference has it: zero-order hold for A, Euler for B, a state of 0 before the first step.
//   h_t[d, n] = exp(delta_t[d] a[d, n]) h_{t-1}[d, n] + delta_t[d] b_t[n] u_t[d]
//   y_t[d] = sum over n of c_t[n] h_t[d, n] + skip[d] u_t[d]
// The slow form here is the oracle of faster ones. Softplus, projections and gates are the caller's.
#pragma once

#include <ATen/core/Tensor.h>

namespace moe::nn {

struct SelectiveScanInputs {
  at::Tensor u, delta;  // [B, L, d]; delta > 0
  at::Tensor a;         // [d, N]; < 0
  at::Tensor b, c;      // [B, L, N]
  at::Tensor skip;      // [d]
};

// -> [B, L, d]. A loop over the steps, differentiable by torch, in the type of u (float32 or float64). Every step keeps
// a [B, d, N]: for tests.
at::Tensor selective_scan_reference(const SelectiveScanInputs& in);

}  // namespace moe::nn
