#include "nn/attention.h"

#include <torch/torch.h>

#include <cmath>

#include "base/error.h"
#include "nn/attention_kernel.h"
#include "tensor/linear.h"

namespace moe::nn {

namespace {

template <typename Body>
void dispatch(const at::Tensor& tensor, Body body) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return body(float{});
    case at::kDouble:
      return body(double{});
    case at::kBFloat16:
      return body(c10::BFloat16{});
    default:
      fail(MOE_ERR_DTYPE, "attention: expected float32, float64 or bfloat16, got ",
           c10::toString(tensor.scalar_type()));
  }
}

struct Mask {
  at::Tensor blocked;  // not an argument of its own: an undefined tensor may not be one
};

// Two batched products with scale, mask and softmax in one pass between them; keeps q, k, v and the probabilities. In
// bfloat16 a fraction of the time of LibTorch's fused CPU kernel, which makes one small product for every block.
struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  // q [N, Nq, d], k and v [N, Nk, d], dense; blocked [Nq, Nk] bool or undefined -> [N, Nq, d]
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const Mask& mask_of) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
    at::Tensor scores = at::bmm(q, k.transpose(1, 2)).contiguous();
    const int64_t keys = k.size(1), rows = q.size(0) * q.size(1);
    const at::Tensor& blocked = mask_of.blocked;
    const bool* mask = blocked.defined() ? blocked.const_data_ptr<bool>() : nullptr;
    dispatch(scores, [&](auto type) {
      softmax_rows(scores.mutable_data_ptr<decltype(type)>(), rows, keys, scale, mask, q.size(1));
    });
    context->save_for_backward({q, k, v, scores});
    context->saved_data["scale"] = scale;
    return at::bmm(scores, v);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &p = saved[3];
    const at::Tensor grad = grads[0].to(p.scalar_type()).contiguous();
    at::Tensor scores = at::bmm(grad, v.transpose(1, 2)).contiguous();
    dispatch(scores, [&](auto type) {
      using T = decltype(type);
      softmax_rows_backward(p.const_data_ptr<T>(), scores.mutable_data_ptr<T>(), q.size(0) * q.size(1), k.size(1),
                            context->saved_data["scale"].toDouble());
    });
    return {at::bmm(scores, k), at::bmm(scores.transpose(1, 2), q), at::bmm(p.transpose(1, 2), grad), at::Tensor()};
  }
};

}  // namespace

at::Tensor two_product_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& blocked) {
  const auto merge = [](const at::Tensor& x) { return x.contiguous().flatten(0, 1); };  // [B, H, N, d] -> [B * H, N, d]
  const Mask mask = {blocked.defined() ? blocked.contiguous() : blocked};
  const at::Tensor out = AttentionFunction::apply(merge(q), merge(k), merge(v), mask);
  return out.unflatten(0, {q.size(0), q.size(1)}).transpose(1, 2).flatten(2);
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& blocked) {
  const bool shared_mask = !blocked.defined() || blocked.dim() == 2;
  if (q.scalar_type() == at::kBFloat16 && shared_mask) return two_product_attention(q, k, v, blocked);
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
