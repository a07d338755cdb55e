// The weighted losses of one layer's router, one block of keys for every model. What each loss is, and its value at
// balance and at collapse, stands in moe/balance.h; which layers there are and how they add up is the model's.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "moe/balance.h"

namespace moe {

struct RouterLossWeights {
  double balance = 0, gshard = 0, importance = 0, load = 0;
  double router_z = 0;
  double token_entropy = 0, marginal_entropy = 0, mutual_information = 0, limoe = 0;
  double class_mutual_information = 0, class_guided = 0;
  double limoe_experts = 0;  // experts that limoe wants in use; 0: all
  bool over_window = true;   // false: every micro-batch for itself

  bool any() const;
  bool by_class() const { return class_mutual_information > 0 || class_guided > 0; }
  // Whether a loss needs totals that are known only when the router has seen the whole window.
  bool wants_totals() const;
};

// loss.balance and the others. layers: how layers add up ("summed over the routers"); balance: default of loss.balance.
Schema router_loss_keys(const std::string& layers, const char* balance);
RouterLossWeights read_router_losses(const Config& config, const RouterOptions& router);  // MOE_ERR_CONFIG at the key

// A layer's tokens in one micro-batch, beside their routing.
struct RoutedTokens {
  at::Tensor labels;     // [T] int64 class of each token, -1: none; undefined: not known
  int64_t classes = 0;   // labels are below it
  at::Tensor targets;    // [T] int64 expert of each token's class, -1: none; undefined: not known
  RoutingTotals window;  // of the whole window. Tokens alone: balance is within each micro-batch, which counts for its
                         // share of the tokens. Nothing: the micro-batch is the window.
};

// Name and weighted value of each loss that has a weight, in the order of the keys; fp32 or fp64 scalars. Losses by
// class are left out where labels or targets are not known.
std::vector<std::pair<std::string, at::Tensor>> router_losses(const RouterLossWeights& weights, const Routing& routing,
                                                              const RoutedTokens& tokens);

}  // namespace moe
