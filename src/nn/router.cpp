#include "nn/router.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace moe::nn {

Router::Router(Module& owner, const RouterSettings& settings, int64_t dim, int64_t experts) : settings_(settings) {
  check_options(settings, experts);
  if (settings.bias_rate > 0) bias_ = owner.register_buffer("router_bias", at::zeros({experts}));
  if (dim == 0) return;
  const bool cosine = settings.logits == RouterLogits::cosine;
  const int64_t projected = std::min<int64_t>(256, dim);
  weight_ = owner.register_parameter("router", unset({experts, cosine ? projected : dim}));
  if (settings.logits == RouterLogits::noisy) {
    noise_weight_ = owner.register_parameter("router_noise", unset({experts, dim}));
  }
  if (!cosine) return;
  projection_ = owner.register_parameter("router_projection", unset({projected, dim}));
  scale_ = owner.register_parameter("router_scale", unset({}));
}

at::Tensor Router::jittered(const at::Tensor& x, const RouterContext& context) const {
  if (settings_.jitter == 0 || !context.noise) return x;
  return jitter(x, settings_.jitter, context.noise->child("jitter"));
}

Routing Router::forward(const at::Tensor& x, const RouterContext& context) const {
  const at::Tensor features = jittered(x, context);
  RouterInputs in;
  in.logits =
      projection_.defined() ? cosine_logits(features, projection_, weight_, scale_) : linear_logits(features, weight_);
  if (noise_weight_.defined() && context.noise) in.noise_scale = learned_noise_scale(features, noise_weight_);
  return run(std::move(in), context);
}

Routing Router::decide(const at::Tensor& logits, const RouterContext& context) const {
  RouterInputs in;
  in.logits = logits;
  return run(std::move(in), context);
}

Routing Router::run(RouterInputs in, const RouterContext& context) const {
  in.valid = context.valid;
  in.noise = context.noise;
  in.bias = bias_;
  if (uses_labels()) {
    in.labels = context.labels;
    in.log_prior = settings_.log_prior;
  }
  return route(settings_, in);
}

void Router::commit(const std::vector<int64_t>& counts) const noexcept {
  if (bias_.defined()) update_bias(bias_, counts, settings_.bias_rate);
}

void Router::init(const ParameterInit& init) const {
  init.normal("router", weight_, projection_.defined() ? 0.01 : 0.02);
  if (noise_weight_.defined()) ParameterInit::constant(noise_weight_, 0);
  if (!projection_.defined()) return;
  init.fan_in_uniform("router_projection", projection_, projection_.size(1));
  ParameterInit::constant(scale_, std::log(2.0));
}

}  // namespace moe::nn
