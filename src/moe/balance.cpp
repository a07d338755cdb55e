#include "moe/balance.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "tensor/batch.h"

namespace moe {

namespace {

// --- sums over tokens, with gradient ---

at::Tensor add_up(const at::Tensor& index, const at::Tensor& rows, at::IntArrayRef shape) {
  return at::zeros(shape, rows.options().requires_grad(false)).index_add(0, index, rows);
}

at::Tensor probability_sum(const Routing& r) {
  return r.probabilities.sum(0);  // rows of padded tokens are 0
}

at::Tensor importance_sum(const Routing& r) {
  return add_up(r.chosen.clamp_min(0).flatten(), r.weights.flatten(), {r.counts.size(0)});
}

// Noise of e drawn again, the others kept: e is chosen if it beats the k-th best of the others, which is the (k + 1)-th
// best of all for one that is chosen now. Undefined without noise.
at::Tensor load_sum(const Routing& r) {
  if (!r.noisy.defined()) return {};
  const int64_t k = r.chosen.size(1), experts = r.noisy.size(1);
  if (k == experts) return at::full({experts}, r.tokens, r.noisy.options().requires_grad(false));
  const at::Tensor best = top_k_indices(r.noisy, k + 1);
  const at::Tensor values = r.noisy.gather(1, best);
  const at::Tensor inside = at::zeros(r.noisy.sizes(), at::kBool).scatter_(1, best.narrow(1, 0, k), true);
  const at::Tensor threshold = at::where(inside, values.narrow(1, k, 1), values.narrow(1, k - 1, 1));
  at::Tensor chance = at::special_ndtr((r.clean - threshold) / r.noise_scale.clamp_min(1e-4));
  if (r.valid.defined()) chance = chance.masked_fill(r.valid.logical_not().unsqueeze(1), 0);
  return chance.sum(0);
}

// p ln p, 0 at p = 0, with a finite derivative there: underflown probabilities are common
at::Tensor p_log_p(const at::Tensor& p) {
  return p * p.clamp_min(1e-37).log();
}

at::Tensor entropy_sum(const Routing& r) {
  return -p_log_p(r.probabilities).sum();
}

void check_classes(const char* what, const at::Tensor& classes, int64_t tokens, int64_t count) {
  check(classes.scalar_type() == at::kLong && classes.sizes() == at::IntArrayRef({tokens}), MOE_ERR_SHAPE, what,
        ": expected int64 [", tokens, "], got ", c10::toString(classes.scalar_type()), " ",
        shape_text(classes.sizes()));
  if (tokens == 0) return;
  const int64_t highest = classes.max().item<int64_t>();
  check(highest < count, MOE_ERR_INVALID_ARGUMENT, what, ": expected less than ", count, ", got ", highest);
}

// Rows of valid tokens with a class.
at::Tensor labelled_rows(const Routing& r, const at::Tensor& classes) {
  at::Tensor known = classes >= 0;
  if (r.valid.defined()) known = known.logical_and(r.valid);
  return known.nonzero().squeeze(1);
}

at::Tensor class_expert_sum(const Routing& r, const at::Tensor& labels, int64_t classes, const at::Tensor& rows) {
  return add_up(labels.index_select(0, rows), r.probabilities.index_select(0, rows), {classes, r.counts.size(0)});
}

at::Tensor first_counts(const Routing& r) {
  const at::Tensor first = r.chosen.select(1, 0);
  return add_up(first.clamp_min(0), (first >= 0).to(at::kLong), {r.counts.size(0)});
}

// --- the window ---

double mean_over(int64_t window, int64_t own) {
  return static_cast<double>(std::max<int64_t>(1, window > 0 ? window : own));
}

// The window's value with the gradient of this micro-batch's part.
at::Tensor window_sum(const at::Tensor& own, const at::Tensor& window) {
  if (!window.defined()) return own;
  return own + (window.to(own.scalar_type()) - own.detach());
}

// This micro-batch's share of the value of a loss of the window's sums, with the whole gradient.
at::Tensor share_of(const at::Tensor& loss, int64_t own, int64_t window) {
  if (window <= own) return loss;
  return loss - loss.detach() * (1 - static_cast<double>(own) / static_cast<double>(window));
}

at::Tensor share_of(const at::Tensor& loss, const Routing& r, const RoutingTotals& window) {
  return share_of(loss, r.tokens, window.tokens);
}

// --- functions of sums ---

at::Tensor load_balance(const Routing& r, const at::Tensor& counts, int64_t window_tokens) {
  const at::Tensor share = counts.to(r.probabilities.scalar_type()) / counts.sum().clamp_min(1);
  const at::Tensor mean = probability_sum(r) / mean_over(window_tokens, r.tokens);
  return (share * mean).sum() * r.counts.size(0);
}

at::Tensor squared_variation(const at::Tensor& values) {
  const at::Tensor mean = values.mean();
  return (values - mean).square().mean() / mean.square().clamp_min(1e-20);
}

// -H(P)
at::Tensor negative_marginal_entropy(const Routing& r, const RoutingTotals& window) {
  return p_log_p(window_sum(probability_sum(r), window.probability) / mean_over(window.tokens, r.tokens)).sum();
}

void add_tensor(at::Tensor& sum, const at::Tensor& other) {
  if (other.defined()) sum = sum.defined() ? sum + other : other;
}

}  // namespace

RoutingTotals& RoutingTotals::operator+=(const RoutingTotals& other) {
  tokens += other.tokens;
  labelled += other.labelled;
  add_tensor(counts, other.counts);
  add_tensor(first_counts, other.first_counts);
  add_tensor(probability, other.probability);
  add_tensor(importance, other.importance);
  add_tensor(load, other.load);
  add_tensor(class_experts, other.class_experts);
  return *this;
}

RoutingTotals routing_totals(const Routing& routing, const at::Tensor& labels, int64_t classes) {
  const at::NoGradGuard no_grad;
  RoutingTotals out;
  out.tokens = routing.tokens;
  out.counts = routing.counts;
  out.first_counts = first_counts(routing);
  out.probability = probability_sum(routing).to(at::kDouble);
  out.importance = importance_sum(routing).to(at::kDouble);
  const at::Tensor load = load_sum(routing);
  if (load.defined()) out.load = load.to(at::kDouble);
  if (!labels.defined()) return out;
  check_classes("labels", labels, routing.probabilities.size(0), classes);
  const at::Tensor rows = labelled_rows(routing, labels);
  out.labelled = rows.size(0);
  out.class_experts = class_expert_sum(routing, labels, classes, rows).to(at::kDouble);
  return out;
}

at::Tensor switch_loss(const Routing& routing, const RoutingTotals& window) {
  return load_balance(routing, window.counts.defined() ? window.counts : routing.counts, window.tokens);
}

at::Tensor gshard_loss(const Routing& routing, const RoutingTotals& window) {
  return load_balance(routing, window.first_counts.defined() ? window.first_counts : first_counts(routing),
                      window.tokens);
}

at::Tensor importance_loss(const Routing& routing, const RoutingTotals& window) {
  return share_of(squared_variation(window_sum(importance_sum(routing), window.importance)), routing, window);
}

at::Tensor load_loss(const Routing& routing, const RoutingTotals& window) {
  const at::Tensor load = load_sum(routing);
  if (!load.defined()) return at::zeros({}, routing.probabilities.options().requires_grad(false));
  return share_of(squared_variation(window_sum(load, window.load)), routing, window);
}

at::Tensor z_loss(const Routing& routing, const RoutingTotals& window) {
  at::Tensor squares = at::logsumexp(routing.logits, 1).square();
  if (routing.valid.defined()) squares = squares.masked_fill(routing.valid.logical_not(), 0);
  return squares.sum() / mean_over(window.tokens, routing.tokens);
}

at::Tensor token_entropy_loss(const Routing& routing, const RoutingTotals& window) {
  return entropy_sum(routing) / mean_over(window.tokens, routing.tokens);
}

at::Tensor marginal_entropy_loss(const Routing& routing, const RoutingTotals& window) {
  return share_of(negative_marginal_entropy(routing, window), routing, window);
}

at::Tensor mutual_information_loss(const Routing& routing, const RoutingTotals& window) {
  return marginal_entropy_loss(routing, window) + token_entropy_loss(routing, window);
}

at::Tensor limoe_loss(const Routing& routing, double threshold, const RoutingTotals& window) {
  const at::Tensor missing = (negative_marginal_entropy(routing, window) + threshold).clamp_min(0);
  // Without a token there is no entropy to miss.
  return routing.tokens == 0 && window.tokens == 0 ? missing * 0 : share_of(missing, routing, window);
}

at::Tensor class_mutual_information_loss(const Routing& routing, const at::Tensor& labels, int64_t classes,
                                         const RoutingTotals& window) {
  check_classes("labels", labels, routing.probabilities.size(0), classes);
  const at::Tensor rows = labelled_rows(routing, labels);
  const at::Tensor sum = window_sum(class_expert_sum(routing, labels, classes, rows), window.class_experts);
  const at::Tensor joint = sum / mean_over(window.labelled, rows.size(0));
  const at::Tensor independent = p_log_p(joint.sum(0)).sum() + p_log_p(joint.sum(1)).sum();
  return share_of(independent - p_log_p(joint).sum(), rows.size(0), window.labelled);
}

at::Tensor class_routing_loss(const Routing& routing, const at::Tensor& targets, const RoutingTotals& window) {
  check_classes("targets", targets, routing.logits.size(0), routing.logits.size(1));
  const at::Tensor rows = labelled_rows(routing, targets);
  const at::Tensor log_p = at::log_softmax(routing.logits.index_select(0, rows), 1);
  const at::Tensor target = targets.index_select(0, rows).unsqueeze(1);
  return -log_p.gather(1, target).sum() / mean_over(window.labelled, rows.size(0));
}

}  // namespace moe
