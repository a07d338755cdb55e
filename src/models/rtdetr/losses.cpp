#include "models/rtdetr/losses.h"

#include <ATen/ATen.h>

#include <algorithm>

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

double divisor(const Options& options, const ForwardContext& context, int64_t expert) {
  const std::string own = "boxes." + options.groups.names[expert];
  const auto it = context.normalizers.find(options.normalize_by_expert && options.mixture ? own : "boxes");
  return std::max(1.0, it == context.normalizers.end() ? 0.0 : it->second);
}

void add_expert(Terms& terms, const Options& options, const ExpertOutput& out, double count) {
  const std::string expert = options.mixture ? "expert " + options.groups.names[out.expert] + ", " : "";
  const auto matched = [&](const Prediction& prediction, const std::string& where) {
    const Matches matches = match(options.loss, prediction, out.targets, expert + where);
    return set_loss(options.loss, prediction, out.targets, matches, count);
  };
  for (size_t i = 0; i < out.layers.size(); ++i) {
    const bool last = i + 1 == out.layers.size();
    terms.add(last ? "" : "_aux", matched(out.layers[i], text("decoder layer ", i)));
  }
  for (const Prediction& denoised : out.denoised) {
    const double repeated = count * static_cast<double>(out.denoising.groups);
    terms.add("_dn", set_loss(options.loss, denoised, out.targets, out.denoising.matches, repeated));
  }
}

void add_encoder(Terms& terms, const Options& options, const Prediction& encoder, const Targets& targets,
                 const ForwardContext& context) {
  const auto it = context.normalizers.find("boxes");
  const double count = std::max(1.0, it == context.normalizers.end() ? 0.0 : it->second);
  const Matches matches = match(options.loss, encoder, targets, "query selection");
  terms.add("_enc", set_loss(options.loss, encoder, targets, matches, count));
}

at::Tensor gate_loss(const Options& options, const Routing& routing, const Targets& targets, double samples) {
  const at::Tensor present = presence(targets, options.groups).to(routing.logits.scalar_type());
  const at::Tensor sum = at::binary_cross_entropy_with_logits(routing.logits, present, {}, {}, at::Reduction::Sum);
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

std::vector<LossTerm> losses(const Options& options, const NetworkOutput& output, const Targets& targets,
                             const ForwardContext& context) {
  const Float32Scope precise;
  Terms terms;
  terms.add_zeros("");
  if (options.decoder.layers > 1) terms.add_zeros("_aux");
  terms.add_zeros("_enc");
  if (options.denoising.queries > 0) terms.add_zeros("_dn");
  add_encoder(terms, options, output.encoder, targets, context);
  for (const ExpertOutput& expert : output.experts) {
    add_expert(terms, options, expert, divisor(options, context, expert.expert));
  }
  if (options.mixture) terms.add("gate", gate_loss(options, output.routing, targets, context.window_samples));
  return terms.take();
}

}  // namespace moe::rtdetr
