// The learned part of a router: its weights by kind of logits, the aux-loss-free bias, jitter and noise in training.
// What it decides is moe/router.h's; the losses are the caller's, and so is the step of the bias, which belongs to the
// commit of an optimizer step and not to a forward pass.
#pragma once

#include <optional>

#include "base/rng.h"
#include "moe/router_schema.h"
#include "nn/init.h"

namespace moe::nn {

// What a router is told beside the features of T tokens.
struct RouterContext {
  at::Tensor valid;          // [T] bool; undefined: all
  std::optional<Rng> noise;  // training: the stream of noise and jitter; none: no noise
  at::Tensor labels;         // [T] int64 class of each token, -1: none; used with a class prior
};

class Router {
 public:
  // Registers in `owner`: router [E, D]; noisy: router_noise [E, D]; cosine: router [E, P], router_projection [P, D]
  // and router_scale [], P = min(256, D); with a bias the float32 buffer router_bias [E]. D = 0: no weights, the logits
  // are the caller's. MOE_ERR_CONFIG names the layer and the option.
  Router(Module& owner, const RouterSettings& settings, int64_t dim, int64_t experts);

  Routing forward(const at::Tensor& x, const RouterContext& context) const;  // x [T, D]
  // Of other logits [T, E]; the features that these are made of go through jittered().
  Routing decide(const at::Tensor& logits, const RouterContext& context) const;
  at::Tensor jittered(const at::Tensor& x, const RouterContext& context) const;

  bool uses_labels() const { return settings_.log_prior.defined(); }
  // Moves the bias by what was counted in an optimizer step, [E]; without a bias nothing happens. Allocates nothing.
  void commit(const std::vector<int64_t>& counts) const noexcept;

  // Weights N(0, 0.02²), as transformers' mixture models; noise 0 (Shazeer 2017); cosine as Tutel: embeddings
  // N(0, 0.01²), scale ln 2. The owner calls it.
  void init(const ParameterInit& init) const;

 private:
  Routing run(RouterInputs in, const RouterContext& context) const;

  RouterSettings settings_;
  at::Tensor weight_, noise_weight_, projection_, scale_, bias_;
};

}  // namespace moe::nn
