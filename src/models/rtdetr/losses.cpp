#include "models/rtdetr/losses.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "moe/router_losses.h"
#include "tensor/scope.h"

namespace moe::rtdetr {

namespace {

// Sums by term in the order of first use.
class Terms {
 public:
  void add(const std::string& name, const at::Tensor& value) {
    for (LossTerm& term : terms_) {
      if (term.name == name) {
        term.value = term.value + value;
        return;
      }
    }
    terms_.push_back({name, value});
  }

  void add(const std::string& suffix, const SetLoss& loss) {
    add("vfl" + suffix, loss.vfl);
    add("bbox" + suffix, loss.bbox);
    add("giou" + suffix, loss.giou);
  }

  // So that every step reports the same terms, whatever its images hold.
  void add_zeros(const std::string& suffix) {
    const at::Tensor zero = at::zeros({}, at::kFloat);
    add(suffix, SetLoss{zero, zero, zero});
  }

  std::vector<LossTerm> take() { return std::move(terms_); }

 private:
  std::vector<LossTerm> terms_;
};

double of_window(const ForwardContext& context, const std::string& name) {
  const auto it = context.normalizers.find(name);
  return it == context.normalizers.end() ? 0.0 : it->second;
}

double boxes_of_window(const ForwardContext& context, const std::string& name) {
  return std::max(1.0, of_window(context, name));
}

double divisor(const Options& options, const ForwardContext& context, int64_t expert) {
  const bool own = options.normalize_by_expert && options.mixture;
  return boxes_of_window(context, own ? "boxes." + options.groups.names[expert] : "boxes");
}

// Ground truth of a run of layers, and what its losses are divided by.
struct Truth {
  Targets targets;
  Matches denoised;
  int64_t denoising_groups;
  double count;
};

// final: the model's last layer is the last of this run. Returns the assignment of every layer.
std::vector<Matches> add_stack(Terms& terms, const LossOptions& options, const StackOutput& out, const Truth& truth,
                               const std::string& name, bool final) {
  std::vector<Matches> assigned;
  for (size_t i = 0; i < out.layers.size(); ++i) {
    const std::string layer = text(name, "decoder layer ", out.first_layer + static_cast<int64_t>(i));
    assigned.push_back(match(options, out.layers[i], truth.targets, layer));
    const bool last = final && i + 1 == out.layers.size();
    terms.add(last ? "" : "_aux", set_loss(options, out.layers[i], truth.targets, assigned[i], truth.count));
  }
  for (const Prediction& denoised : out.denoised) {
    const double repeated = truth.count * static_cast<double>(truth.denoising_groups);
    terms.add("_dn", set_loss(options, denoised, truth.targets, truth.denoised, repeated));
  }
  return assigned;
}

// Class of every token of a layer, [images * (denoised + queries)] int64: of the target it was matched with, or -1.
at::Tensor classes_of_tokens(const Matches& matches, const Denoising& denoising, const Targets& targets,
                             int64_t queries) {
  const int64_t row = denoising.queries + queries;
  at::Tensor classes = at::full({targets.images() * row}, -1, at::kLong);
  const auto put = [&](const Matches& pairs, int64_t first) {
    if (!pairs.target.defined()) return;
    classes.index_put_({pairs.image * row + pairs.query + first}, targets.labels.index_select(0, pairs.target));
  };
  put(denoising.matches, 0);
  put(matches, denoising.queries);
  return classes;
}

// The expert of every class: its group.
at::Tensor expert_of_class(const ExpertGroups& groups, const at::Tensor& classes) {
  at::Tensor experts = at::full_like(classes, -1);
  for (int64_t e = 0; e < groups.size(); ++e) experts.masked_fill_(at::isin(classes, at::tensor(groups.classes[e])), e);
  return experts;
}

RoutedTokens routed_tokens(const Options& options, const at::Tensor& classes) {
  RoutedTokens out;
  if (!options.router_loss.by_class()) return out;
  out.labels = classes;
  out.classes = static_cast<int64_t>(options.classes.size());
  if (options.router_loss.class_guided > 0) out.targets = expert_of_class(options.class_groups, classes);
  return out;
}

// Losses of the router of a layer; classes: of its tokens.
void add_router(Terms& terms, const Options& options, const Routing& routing, const at::Tensor& classes, size_t layer,
                const ForwardContext& context) {
  RoutedTokens tokens = routed_tokens(options, classes);
  tokens.window.tokens = std::llround(of_window(context, "router_tokens"));
  if (!context.routing.empty()) tokens.window = context.routing[layer];
  for (const auto& [name, value] : router_losses(options.router_loss, routing, tokens)) terms.add(name, value);
}

void add_expert(Terms& terms, const Options& options, const NetworkOutput& output, const ExpertOutput& out,
                const Targets& targets, const ForwardContext& context, std::vector<at::Tensor>& token_classes) {
  const std::vector<int64_t>& classes = options.groups.classes[out.expert];
  const Truth truth = {targets_of(targets, classes, out.images),
                       matches_of(output.denoising.matches, targets, classes, out.images), output.denoising.groups,
                       divisor(options, context, out.expert)};
  const std::string name = options.mixture ? "expert " + options.groups.names[out.expert] + ", " : "";
  const std::vector<Matches> assigned = add_stack(terms, options.loss, out, truth, name, true);
  for (size_t i = 0; i < out.routings.size(); ++i) {
    token_classes.push_back(
        classes_of_tokens(assigned[i], output.denoising, truth.targets, out.layers[i].logits.size(1)));
    add_router(terms, options, out.routings[i], token_classes.back(), i, context);
  }
}

void add_encoder(Terms& terms, const LossOptions& options, const Prediction& encoder, const Targets& targets,
                 double count) {
  const Matches matches = match(options, encoder, targets, "query selection");
  terms.add("_enc", set_loss(options, encoder, targets, matches, count));
}

at::Tensor gate_loss(const Options& options, const GateDecision& gate, const Targets& targets, double samples) {
  const at::Tensor present = presence(targets, options.groups).to(gate.logits.scalar_type());
  const at::Tensor sum = at::binary_cross_entropy_with_logits(gate.logits, present, {}, {}, at::Reduction::Sum);
  return sum * (options.gate_loss / (std::max(1.0, samples) * static_cast<double>(options.groups.size())));
}

}  // namespace

Normalizers count_boxes(const Options& options, const at::Tensor& labels) {
  Normalizers out = {{"boxes", static_cast<double>(labels.numel())}};
  if (!options.mixture) return out;
  const std::vector<double> counts = group_counts(labels, options.groups);
  for (size_t e = 0; e < counts.size(); ++e) out["boxes." + options.groups.names[e]] = counts[e];
  return out;
}

std::vector<RoutingTotals> layer_totals(const Options& options, const NetworkOutput& output, const Targets& targets) {
  const Float32Scope precise;
  const ExpertOutput& out = output.experts.front();
  std::vector<RoutingTotals> totals;
  for (size_t i = 0; i < out.routings.size(); ++i) {
    RoutedTokens tokens;
    if (options.router_loss.by_class()) {
      const Matches matches = match(options.loss, out.layers[i], targets, text("decoder layer ", i));
      const int64_t queries = out.layers[i].logits.size(1);
      tokens = routed_tokens(options, classes_of_tokens(matches, output.denoising, targets, queries));
    }
    totals.push_back(routing_totals(out.routings[i], tokens.labels, tokens.classes));
  }
  return totals;
}

std::vector<LossTerm> losses(const Options& options, const NetworkOutput& output, const Targets& targets,
                             const ForwardContext& context, std::vector<at::Tensor>* token_classes) {
  const Float32Scope precise;
  std::vector<at::Tensor> classes;
  Terms terms;
  terms.add_zeros("");
  if (options.decoder.layers > 1) terms.add_zeros("_aux");
  terms.add_zeros("_enc");
  if (options.denoising.queries > 0) terms.add_zeros("_dn");
  const double count = boxes_of_window(context, "boxes");
  add_encoder(terms, options.loss, output.encoder, targets, count);
  const Truth all = {targets, output.denoising.matches, output.denoising.groups, count};
  add_stack(terms, options.loss, output.shared, all, "shared ", false);
  for (const ExpertOutput& expert : output.experts) {
    add_expert(terms, options, output, expert, targets, context, classes);
  }
  if (token_classes) *token_classes = std::move(classes);
  if (options.mixture) terms.add("gate", gate_loss(options, output.gate, targets, context.window_samples));
  return terms.take();
}

}  // namespace moe::rtdetr
