// The settings of a learned router, one block of keys for every model with mixture layers, and what they are read into.
// It builds no parameter (nn/router.h does) and knows no loss (moe/router_losses.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "moe/router.h"

namespace moe {

// linear: a product. noisy: the same, and a learned deviation of the noise on each logit (noisy top-k, Shazeer 2017).
// cosine: of a projected token and an embedding of the expert, with a learned scale (Tutel, Swin-MoE, DAMEX).
enum class RouterLogits { linear, noisy, cosine };

struct RouterSettings : RouterOptions {
  RouterLogits logits = RouterLogits::linear;
  double jitter = 0;     // training: features times uniform noise in [1 - jitter, 1 + jitter)
  double bias_rate = 0;  // step of the aux-loss-free bias; 0: no bias
  at::Tensor log_prior;  // [classes, E] ln P(expert | class); undefined: none
};

// Keys below model.experts. top_k_doc: what a token is, and what else the number means. scope: for which kinds of
// experts the others are ("ffn: ", or nothing).
Schema router_keys(const std::string& top_k_doc, const std::string& scope);
// model.experts.prior.CLASS and its weight, for routers that are told the class of a token.
Schema class_prior_keys(const std::string& scope);

// MOE_ERR_CONFIG, placed at the key. Without log_prior.
RouterSettings read_router(const Config& config, int64_t experts);
// [classes, E] float32, undefined where no class has a row; classes without one are uniform. Rows are normalised.
at::Tensor read_class_prior(const Config& config, const std::vector<std::string>& classes, int64_t experts);

}  // namespace moe
