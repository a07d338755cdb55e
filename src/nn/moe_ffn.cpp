#include "nn/moe_ffn.h"

#include <ATen/ATen.h>

#include <cmath>

namespace moe::nn {

MoeFfn::MoeFfn(const MoeFfnOptions& options) : options_(options) {
  check_options(options.router, options.experts);
  const int64_t inner = is_gated(options.activation) ? 2 * options.ffn : options.ffn;
  router_ = register_parameter("router", unset({options.experts, options.dim}));
  w1_ = register_parameter("w1", unset({options.experts, inner, options.dim}));
  b1_ = register_parameter("bias1", unset({options.experts, inner}));
  w2_ = register_parameter("w2", unset({options.experts, options.dim, options.ffn}));
  b2_ = register_parameter("bias2", unset({options.experts, options.dim}));
}

MoeFfn::Output MoeFfn::forward(const at::Tensor& x, const at::Tensor& valid, const std::optional<Rng>& noise) const {
  RouterInputs in;
  in.logits = linear_logits(x, router_);
  in.valid = valid;
  in.noise = noise;
  Output out;
  out.routing = route(options_.router, in);
  const Dispatch dispatch = sort_by_expert(out.routing.experts, options_.experts, RowCounts::rounded);
  out.y = ffn_experts(x, out.routing.gates, dispatch, {w1_, b1_, w2_, b2_}, options_.activation);
  return out;
}

void MoeFfn::init_own(const ParameterInit& init) {
  const double bound = std::sqrt(6.0 / static_cast<double>(options_.dim + options_.ffn));
  init.normal("router", router_, 0.02);
  init.uniform("w1", w1_, -bound, bound);
  init.uniform("w2", w2_, -bound, bound);
  ParameterInit::constant(b1_, 0);
  ParameterInit::constant(b2_, 0);
}

}  // namespace moe::nn
