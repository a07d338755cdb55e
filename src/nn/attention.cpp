#include "nn/attention.h"

#include <torch/torch.h>

#include "base/error.h"
#include "nn/tiled_attention.h"
#include "tensor/gemm.h"
#include "tensor/linear.h"

namespace moe::nn {

AttentionRoute attention_route(const at::Tensor& q, const at::Tensor& k, const at::Tensor& blocked) {
  const bool shared_mask = !blocked.defined() || blocked.dim() == 2;
  const int64_t products = q.numel() * k.size(2);
  if (!shared_mask || !q.is_cpu() || products < (int64_t{1} << 18)) return AttentionRoute::fused;
  if (q.scalar_type() == at::kBFloat16) return AttentionRoute::tiled;
  return q.scalar_type() == at::kFloat && gemm_backend() == GemmBackend::onednn ? AttentionRoute::tiled
                                                                                : AttentionRoute::fused;
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& blocked) {
  if (attention_route(q, k, blocked) == AttentionRoute::tiled) return tiled_attention(q, k, v, blocked);
  std::optional<at::Tensor> visible;
  if (blocked.defined()) visible = blocked.logical_not();
  return at::scaled_dot_product_attention(q, k, v, visible).transpose(1, 2).flatten(2);
}

MultiheadSelfAttention::MultiheadSelfAttention(int64_t dim, int64_t heads) : heads_(heads) {
  check(heads > 0 && dim % heads == 0, MOE_ERR_CONFIG, "attention: expected heads to divide the width ", dim, ", got ",
        heads);
  in_proj_weight = register_parameter("in_proj_weight", unset({3 * dim, dim}));
  in_proj_bias = register_parameter("in_proj_bias", unset({3 * dim}));
  out_proj_ = register_module("out_proj", std::make_shared<Linear>(dim, dim));
}

at::Tensor MultiheadSelfAttention::forward(const at::Tensor& query_key, const at::Tensor& value,
                                           const at::Tensor& blocked) const {
  const int64_t dim = in_proj_weight.size(1);
  const auto heads = [&](const at::Tensor& x) {  // [B, N, D] -> [B, H, N, d]
    return x.unflatten(2, {heads_, dim / heads_}).transpose(1, 2);
  };
  const std::vector<at::Tensor> weights = in_proj_weight.split({2 * dim, dim});
  const std::vector<at::Tensor> biases = in_proj_bias.split({2 * dim, dim});
  const std::vector<at::Tensor> qk = moe::linear(query_key, weights[0], biases[0]).chunk(2, 2);
  const at::Tensor v = moe::linear(value, weights[1], biases[1]);
  return out_proj_->forward(attention(heads(qk[0]), heads(qk[1]), heads(v), blocked));
}

void MultiheadSelfAttention::init_own(const ParameterInit& init) {
  init.xavier_uniform("in_proj_weight", in_proj_weight);
  ParameterInit::constant(in_proj_bias, 0.0);
  ParameterInit::constant(out_proj_->bias, 0.0);
}

}  // namespace moe::nn
