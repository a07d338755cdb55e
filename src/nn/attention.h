// Scaled dot-product attention by the faster CPU route for its type, and the multi-head self-attention of DETR models
// with torch.nn.MultiheadAttention's parameter names. No dropout, no key padding.
#pragma once

#include "nn/layers.h"

namespace moe::nn {

// softmax(q k^T / sqrt(d)) v. q [B, H, Nq, d], k and v [B, H, Nk, d] -> [B, Nq, H * d].
// blocked: bool, true = may not attend, broadcast against [B, H, Nq, Nk]; undefined = everything is visible.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& blocked = {});

// How attention() computes: by tiled_attention() where it is the faster one, which is where the matrix products of the
// type run in oneDNN; by LibTorch's fused kernel elsewhere, and with masks of more than two dimensions.
enum class AttentionRoute { fused, tiled };
AttentionRoute attention_route(const at::Tensor& q, const at::Tensor& k, const at::Tensor& blocked = {});

// Parameters in_proj_weight [3D, D] (rows: query, key, value), in_proj_bias [3D], out_proj. Query and key share their
// input, as in DETR, where it is value + position.
class MultiheadSelfAttention : public Module {
 public:
  MultiheadSelfAttention(int64_t dim, int64_t heads);  // MOE_ERR_CONFIG unless heads divides dim
  // query_key, value [B, N, D]; blocked: see attention(). -> [B, N, D]
  at::Tensor forward(const at::Tensor& query_key, const at::Tensor& value, const at::Tensor& blocked = {}) const;
  void init_own(const ParameterInit& init) override;  // xavier, biases 0

  at::Tensor in_proj_weight, in_proj_bias;

 private:
  std::shared_ptr<Linear> out_proj_;
  int64_t heads_;
};

}  // namespace moe::nn
