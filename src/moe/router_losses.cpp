#include "moe/router_losses.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace moe {

bool RouterLossWeights::any() const {
  return wants_totals() || router_z > 0 || token_entropy > 0;
}

bool RouterLossWeights::wants_totals() const {
  return std::max({balance, gshard, importance, load, marginal_entropy, mutual_information, limoe,
                   class_mutual_information, class_guided}) > 0;
}

Schema router_loss_keys(const std::string& layers, const char* balance) {
  using enum KeyType;
  const auto weight = [&](const char* name, const std::string& doc, const char* fallback = "0") {
    return Key{std::string("loss.") + name, number, fallback, ">= 0", "Weight of " + doc + ", " + layers + "."};
  };
  return {
      weight("balance", "the Switch balance loss", balance),
      weight("gshard", "the balance loss of first choices (GShard)"),
      weight("importance", "the squared variation of the experts' summed gates"),
      weight("load", "the squared variation of the experts' chances to be chosen; needs noise"),
      weight("router_z", "the mean squared log-sum-exp of the logits"),
      weight("token_entropy", "the mean entropy of a token's distribution: low when each token is decided"),
      weight("marginal_entropy", "minus the entropy of the mean distribution: low when experts are used alike"),
      weight("mutual_information", "minus the information of a token about its expert: the two entropies at once"),
      weight("limoe", "what the entropy of the mean distribution lacks to that of limoe_experts alike"),
      {"loss.limoe_experts", number, "0", ">= 0", "Experts that loss.limoe wants in use; 0: all."},
      weight("class_mutual_information", "minus the information of a class about its expert"),
      weight("class_guided", "the cross entropy between a token's expert and that of its class"),
      {"loss.balance_over", text, "window", "window | micro_batch",
       "What is to be balanced: the whole step, for which a forward pass without gradients goes ahead of each "
       "micro-batch where there are several; or every micro-batch for itself, which asks for more and costs nothing."},
  };
}

static void check_gshard(const Config& config, const RouterLossWeights& weights, const RouterOptions& router) {
  if (weights.gshard == 0 || router.choice != RouterChoice::expert_choice) return;
  config.fail_at("loss.gshard", text("expected 0 with model.experts.choice = expert_choice, which has no first choice, "
                                     "got ",
                                     weights.gshard));
}

static void check_load(const Config& config, const RouterLossWeights& weights, const RouterOptions& router) {
  const bool noisy = router.logit_noise > 0 || config.text("model.experts.logits") == "noisy";
  if (weights.load == 0 || noisy) return;
  config.fail_at("loss.load",
                 text("expected 0 without noise (model.experts.noise or logits: noisy), got ", weights.load));
}

RouterLossWeights read_router_losses(const Config& config, const RouterOptions& router) {
  const auto number = [&](const char* name) { return config.number(std::string("loss.") + name); };
  RouterLossWeights out;
  out.balance = number("balance");
  out.gshard = number("gshard");
  out.importance = number("importance");
  out.load = number("load");
  out.router_z = number("router_z");
  out.token_entropy = number("token_entropy");
  out.marginal_entropy = number("marginal_entropy");
  out.mutual_information = number("mutual_information");
  out.limoe = number("limoe");
  out.limoe_experts = number("limoe_experts");
  out.class_mutual_information = number("class_mutual_information");
  out.class_guided = number("class_guided");
  out.over_window = config.text("loss.balance_over") == "window";
  check_gshard(config, out, router);
  check_load(config, out, router);
  return out;
}

std::vector<std::pair<std::string, at::Tensor>> router_losses(const RouterLossWeights& weights, const Routing& routing,
                                                              const RoutedTokens& tokens) {
  const bool within = tokens.window.tokens > 0 && !tokens.window.counts.defined();
  const double share = within ? static_cast<double>(routing.tokens) / static_cast<double>(tokens.window.tokens) : 1.0;
  const RoutingTotals window = within ? RoutingTotals{} : tokens.window;
  std::vector<std::pair<std::string, at::Tensor>> out;
  const auto add = [&](const char* name, double weight, auto loss) {
    if (weight > 0) out.emplace_back(name, loss() * (weight * share));
  };
  const double wanted = weights.limoe_experts > 0 ? weights.limoe_experts : static_cast<double>(routing.counts.size(0));
  add("balance", weights.balance, [&] { return switch_loss(routing, window); });
  add("gshard", weights.gshard, [&] { return gshard_loss(routing, window); });
  add("importance", weights.importance, [&] { return importance_loss(routing, window); });
  add("load", weights.load, [&] { return load_loss(routing, window); });
  add("router_z", weights.router_z, [&] { return z_loss(routing, window); });
  add("token_entropy", weights.token_entropy, [&] { return token_entropy_loss(routing, window); });
  add("marginal_entropy", weights.marginal_entropy, [&] { return marginal_entropy_loss(routing, window); });
  add("mutual_information", weights.mutual_information, [&] { return mutual_information_loss(routing, window); });
  add("limoe", weights.limoe, [&] { return limoe_loss(routing, std::log(wanted), window); });
  if (tokens.labels.defined()) {
    add("class_mutual_information", weights.class_mutual_information,
        [&] { return class_mutual_information_loss(routing, tokens.labels, tokens.classes, window); });
  }
  if (tokens.targets.defined()) {
    add("class_guided", weights.class_guided, [&] { return class_routing_loss(routing, tokens.targets, window); });
  }
  return out;
}

}  // namespace moe
