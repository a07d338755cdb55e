// Scaled dot-product attention and its gradient by batched matrix products around one fused pass over the scores, tile
// by tile: a few heads, or some queries of one, whose scores stay in a core's second-level cache. Probabilities are
// kept for the backward pass where all of them are few; else it computes them again from two numbers a query.
#pragma once

#include <ATen/core/Tensor.h>

namespace moe::nn {

// softmax(q k^T / sqrt(d)) v. q [B, H, Nq, d], k and v [B, H, Nk, d], float32, float64 or bfloat16 -> [B, Nq, H * d].
// blocked [Nq, Nk] bool, true = may not attend, or undefined: everything is visible; a query that sees no key gets 0.
at::Tensor tiled_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& blocked = {});

}  // namespace moe::nn
