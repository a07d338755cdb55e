#include "nn/moe_ffn.h"

#include <ATen/ATen.h>

#include <cmath>

namespace moe::nn {

MoeFfn::MoeFfn(const MoeFfnOptions& options) : options_(options) {
  router_.emplace(*this, options.router, options.dim, options.experts);
  experts_ = add_experts("", options.experts, options.ffn);
  if (options.shared > 0) shared_ = add_experts("shared_", 1, options.shared * options.ffn);
}

FfnWeights MoeFfn::add_experts(const std::string& prefix, int64_t count, int64_t ffn) {
  const int64_t dim = options_.dim, inner = is_gated(options_.activation) ? 2 * ffn : ffn;
  const std::string bias = prefix.empty() ? "bias" : "bias_shared";  // what starts so gets no weight decay
  FfnWeights out;
  out.w1 = register_parameter(prefix + "w1", unset({count, inner, dim}));
  out.b1 = register_parameter(bias + "1", unset({count, inner}));
  out.w2 = register_parameter(prefix + "w2", unset({count, dim, ffn}));
  out.b2 = register_parameter(bias + "2", unset({count, dim}));
  return out;
}

MoeFfn::Output MoeFfn::forward(const at::Tensor& x, const RouterContext& context) const {
  Output out;
  out.routing = router_->forward(x, context);
  const Dispatch dispatch = sort_by_expert(out.routing.experts, options_.experts, RowCounts::rounded);
  out.y = ffn_experts(x, out.routing.gates, dispatch, experts_, options_.activation);
  if (shared_.w1.defined()) out.y = out.y + shared_experts(x, context.valid);
  return out;
}

// The sum of experts with gate 1 is one expert with the units of all.
at::Tensor MoeFfn::shared_experts(const at::Tensor& x, const at::Tensor& valid) const {
  const at::ScalarType type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor expert = at::zeros({x.size(0), 1}, at::kLong);
  if (valid.defined()) expert.masked_fill_(valid.logical_not().unsqueeze(1), -1);
  const Dispatch dispatch = sort_by_expert(expert, 1, RowCounts::rounded);
  return ffn_experts(x, at::ones({x.size(0), 1}, type), dispatch, shared_, options_.activation);
}

void MoeFfn::init_own(const ParameterInit& init) {
  router_->init(init);
  const double bound = std::sqrt(6.0 / static_cast<double>(options_.dim + options_.ffn));
  const auto start = [&](const std::string& prefix, const FfnWeights& weights) {
    if (!weights.w1.defined()) return;
    init.uniform(prefix + "w1", weights.w1, -bound, bound);
    init.uniform(prefix + "w2", weights.w2, -bound, bound);
    ParameterInit::constant(weights.b1, 0);
    ParameterInit::constant(weights.b2, 0);
  };
  start("", experts_);
  start("shared_", shared_);
}

}  // namespace moe::nn
