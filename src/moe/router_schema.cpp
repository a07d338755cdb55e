#include "moe/router_schema.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace moe {

static Key key(const char* name, KeyType type, const char* fallback, const char* rule, const std::string& doc) {
  return {std::string("model.experts.") + name, type, fallback, rule, doc};
}

Schema router_keys(const std::string& top_k_doc, const std::string& scope) {
  using enum KeyType;
  return {
      key("top_k", integer, "2", ">= 1, <= 1024", top_k_doc),
      key("logits", text, "linear", "linear | noisy | cosine",
          scope + "a product; with a learned deviation of the noise on each logit in training; cosine of a projected "
                  "token and the expert's embedding, with a learned scale."),
      key("score", text, "softmax", "softmax | sigmoid | sqrt_softplus", scope + "what a logit is worth."),
      key("choice", text, "top_k", "top_k | expert_choice | hash | balanced",
          scope + "who chooses: a token its best experts; an expert its best top_k * tokens / experts tokens; a fixed "
                  "table; tokens in turn. The last two learn nothing and are for comparisons."),
      key("gate", text, "renormalized", "raw | renormalized | softmax",
          scope + "gate weights of the chosen: their scores; these divided by their sum; softmax over their logits."),
      key("temperature", number, "1", "> 0", "Divisor of the routers' logits; below 1 sharpens."),
      key("noise", number, "0", ">= 0", "Deviation of Gaussian noise on the routers' logits in training."),
      key("jitter", number, "0", ">= 0, < 1",
          scope + "the router's features are multiplied by uniform noise in 1 - jitter .. 1 + jitter in training."),
      key("router_groups", integer, "1", ">= 1, <= 1024",
          scope + "groups of neighbouring experts, of which a token may choose from the best top_groups."),
      key("top_groups", integer, "1", ">= 1, <= 1024", scope + "see router_groups."),
      key("gate_scale", number, "1", "> 0", scope + "factor on the gate weights."),
      key("capacity", number, "0", ">= 0",
          scope + "tokens of an expert over top_k * tokens / experts, at most; 0: no limit."),
      key("drop", text, "probs", "probs | position | batch_priority",
          scope + "who is served when an expert is full: its most probable tokens; first choices in the order of the "
                  "tokens; first choices in the order of the tokens' largest probability."),
      key("bias_rate", number, "0", ">= 0, <= 1",
          scope + "step of a bias that is added to the scores for the choice alone, up for experts chosen less often "
                  "than the mean in a step, down for the others (balance without a loss); 0: no bias."),
  };
}

Schema class_prior_keys(const std::string& scope) {
  using enum KeyType;
  return {
      key("prior.*", numbers, "[]", ">= 0",
          scope + "P(expert) for samples of the class of this name, one number an expert; its logarithm is added to "
                  "the logits."),
      key("prior_weight", number, "1", ">= 0", scope + "factor on that logarithm."),
  };
}

static RouterLogits parse_router_logits(const std::string& name) {
  if (name == "noisy") return RouterLogits::noisy;
  return name == "cosine" ? RouterLogits::cosine : RouterLogits::linear;
}

static std::string key_of(const std::string& option) {
  if (option == "logit_noise") return "model.experts.noise";
  if (option == "capacity_factor") return "model.experts.capacity";
  if (option == "groups") return "model.experts.router_groups";
  return "model.experts." + option;
}

RouterSettings read_router(const Config& config, int64_t experts) {
  const std::string at = "model.experts.";
  RouterSettings out;
  out.top_k = config.integer(at + "top_k");
  out.logits = parse_router_logits(config.text(at + "logits"));
  out.score = parse_router_score(config.text(at + "score"));
  out.choice = parse_router_choice(config.text(at + "choice"));
  out.gate = parse_router_gate(config.text(at + "gate"));
  out.temperature = config.number(at + "temperature");
  out.logit_noise = config.number(at + "noise");
  out.jitter = config.number(at + "jitter");
  out.groups = config.integer(at + "router_groups");
  out.top_groups = config.integer(at + "top_groups");
  out.gate_scale = config.number(at + "gate_scale");
  out.capacity_factor = config.number(at + "capacity");
  out.drop = parse_drop_policy(config.text(at + "drop"));
  out.bias_rate = config.number(at + "bias_rate");
  if (const auto problem = find_problem(out, experts)) config.fail_at(key_of(problem->option), problem->message);
  if (out.bias_rate > 0 && out.choice != RouterChoice::top_k) {
    config.fail_at(at + "bias_rate", text("expected 0 with model.experts.choice = ", config.text(at + "choice"),
                                          ", got ", out.bias_rate));
  }
  return out;
}

static void set_row(const Config& config, const std::string& key, at::Tensor row) {
  const std::vector<double> values = config.numbers(key);
  const auto experts = static_cast<size_t>(row.size(0));
  if (values.size() != experts) {
    config.fail_at(key, text("expected a number for each of the ", experts, " experts, got ", values.size()));
  }
  double sum = 0;
  for (const double value : values) sum += value;
  if (sum <= 0) config.fail_at(key, "expected a number above 0 for an expert at least, got none");
  row.copy_(at::tensor(values, at::kDouble) / sum);
}

at::Tensor read_class_prior(const Config& config, const std::vector<std::string>& classes, int64_t experts) {
  const std::string prefix = "model.experts.prior";
  const std::vector<std::string> names = config.children(prefix);
  if (names.empty()) return {};
  at::Tensor prior = at::full({static_cast<int64_t>(classes.size()), experts}, 1 / static_cast<double>(experts));
  for (const std::string& name : names) {
    const auto found = std::find(classes.begin(), classes.end(), name);
    if (found == classes.end()) {
      config.fail_at(prefix + "." + name, text("expected a name of data.classes (", join(classes, ", "), "), got ",
                                               quote(name), did_you_mean(name, classes)));
    }
    set_row(config, prefix + "." + name, prior[found - classes.begin()]);
  }
  return prior.clamp_min(1e-6).log();  // a class keeps a way to every expert, and the logits finite
}

}  // namespace moe
