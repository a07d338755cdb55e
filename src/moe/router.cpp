#include "moe/router.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tensor/batch.h"
#include "tensor/random.h"
#include "tensor/scope.h"

namespace moe {

namespace {

// --- names ---

template <typename Enum>
Enum parse(const char* what, std::string_view name, const std::vector<std::pair<std::string, Enum>>& choices) {
  std::vector<std::string> names;
  for (const auto& [choice, value] : choices) {
    if (choice == name) return value;
    names.push_back(choice);
  }
  fail(MOE_ERR_CONFIG, what, ": expected one of ", join(names, ", "), ", got ", quote(name), did_you_mean(name, names));
}

// --- checks ---

template <typename... Parts>
OptionProblem wrong(const char* option, const Parts&... parts) {
  return {option, text("expected ", parts...)};
}

std::optional<OptionProblem> groups_problem(const RouterOptions& o, int64_t experts) {
  if (o.groups < 1 || experts % o.groups != 0) {
    return wrong("groups", "a divisor of the ", experts, " experts, got ", o.groups);
  }
  if (o.top_groups < 1 || o.top_groups > o.groups) {
    return wrong("top_groups", "1 to ", o.groups, ", got ", o.top_groups);
  }
  const int64_t reachable = o.top_groups * (experts / o.groups);
  if (o.top_k > reachable) {
    return wrong("top_k", "at most the ", reachable, " experts of the best groups, got ", o.top_k);
  }
  return std::nullopt;
}

std::optional<OptionProblem> expert_choice_problem(const RouterOptions& o) {
  if (o.gate != RouterGate::raw) {
    return wrong("gate", "raw with expert_choice, whose tokens have no fixed set to share");
  }
  if (o.groups != 1) return wrong("groups", "1 with expert_choice, got ", o.groups);
  if (o.capacity_factor != 0) {
    return wrong("capacity_factor", "0 with expert_choice, where top_k sets the capacity, got ", o.capacity_factor);
  }
  return std::nullopt;
}

void check_shape(const RouterOptions& options, const char* name, const at::Tensor& tensor, at::IntArrayRef shape) {
  if (!tensor.defined()) return;
  check(tensor.sizes() == shape, MOE_ERR_SHAPE, "router of ", options.layer, ": ", name, ": expected ",
        shape_text(shape), ", got ", shape_text(tensor.sizes()));
}

void check_dtype(const RouterOptions& options, const char* name, const at::Tensor& tensor, at::ScalarType dtype) {
  if (!tensor.defined()) return;
  check(tensor.scalar_type() == dtype, MOE_ERR_DTYPE, "router of ", options.layer, ": ", name, ": expected ",
        c10::toString(dtype), ", got ", c10::toString(tensor.scalar_type()));
}

void check_labels(const RouterOptions& options, const RouterInputs& in) {
  check(in.labels.defined(), MOE_ERR_INVALID_ARGUMENT, "router of ", options.layer,
        ": labels: expected a class for each token beside log_prior, got none");
  const int64_t classes = in.log_prior.size(0);
  const bool known =
      in.labels.numel() == 0 || (in.labels.min().item<int64_t>() >= -1 && in.labels.max().item<int64_t>() < classes);
  check(known, MOE_ERR_INVALID_ARGUMENT, "router of ", options.layer, ": labels: expected -1 to ", classes - 1,
        ", got another class");
}

void check_inputs(const RouterOptions& options, const RouterInputs& in) {
  const at::Tensor& logits = in.logits;
  check(logits.defined() && logits.dim() == 2 && logits.size(1) >= 1, MOE_ERR_SHAPE, "router of ", options.layer,
        ": logits: expected [tokens, experts], got ", logits.defined() ? shape_text(logits.sizes()) : "none");
  check(logits.is_floating_point(), MOE_ERR_DTYPE, "router of ", options.layer, ": logits: expected a float type, got ",
        c10::toString(logits.scalar_type()));
  check_options(options, logits.size(1));
  const int64_t tokens = logits.size(0), experts = logits.size(1);
  check_shape(options, "valid", in.valid, {tokens});
  check_dtype(options, "valid", in.valid, at::kBool);
  check_shape(options, "bias", in.bias, {experts});
  check_shape(options, "noise_scale", in.noise_scale, {tokens, experts});
  check_shape(options, "labels", in.labels, {tokens});
  check_dtype(options, "labels", in.labels, at::kLong);
  check_shape(options, "keys", in.keys, {tokens});
  check_dtype(options, "keys", in.keys, at::kLong);
  if (!in.log_prior.defined()) return;
  check(in.log_prior.dim() == 2 && in.log_prior.size(0) >= 1 && in.log_prior.size(1) == experts, MOE_ERR_SHAPE,
        "router of ", options.layer, ": log_prior: expected [classes, ", experts, "], got ",
        shape_text(in.log_prior.sizes()));
  check_labels(options, in);
}

// --- logits ---

at::ScalarType router_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Rows of padded tokens become 0 and pass no gradient, also where they held NaN.
at::Tensor without_padding(const at::Tensor& rows, const at::Tensor& valid, const at::Scalar& value = 0) {
  return valid.defined() ? rows.masked_fill(valid.logical_not().unsqueeze(1), value) : rows;
}

// x / |x| along a dimension; finite with its gradient at x = 0
at::Tensor unit(const at::Tensor& x, int64_t dim) {
  return x * (x.square().sum(dim, /*keepdim=*/true) + 1e-12).rsqrt();
}

at::Tensor prior_of_tokens(const RouterOptions& options, const RouterInputs& in, at::ScalarType type) {
  const at::Tensor rows = in.log_prior.to(type).index_select(0, in.labels.clamp_min(0));
  return without_padding(rows, in.labels >= 0) * options.prior_weight;
}

at::Tensor clean_logits(const RouterOptions& options, const RouterInputs& in, const Routing& out) {
  at::Tensor z = options.temperature == 1 ? out.logits : out.logits / options.temperature;
  if (in.log_prior.defined()) z = z + without_padding(prior_of_tokens(options, in, z.scalar_type()), in.valid);
  return z;
}

// Sets noisy and noise_scale, in training with noise.
void add_noise(const RouterOptions& options, const RouterInputs& in, Routing& out) {
  if (!in.noise || (!in.noise_scale.defined() && options.logit_noise == 0)) return;
  out.noise_scale = in.noise_scale.defined() ? without_padding(in.noise_scale.to(out.clean.scalar_type()), in.valid)
                                             : at::full_like(out.clean, options.logit_noise);
  const at::Tensor noise = normal_tensor(*in.noise, out.clean.sizes()).to(out.clean.scalar_type());
  out.noisy = out.clean + noise * out.noise_scale;
}

// --- scores, choice, gates ---

at::Tensor scores_of(RouterScore score, const at::Tensor& z) {
  if (score == RouterScore::softmax) return at::softmax(z, 1);
  return score == RouterScore::sigmoid ? at::sigmoid(z) : at::softplus(z).sqrt();
}

// Every expert outside the best groups becomes -infinity: a fill of 0 would beat negative biased scores.
at::Tensor only_best_groups(const at::Tensor& scores, int64_t groups, int64_t top_groups) {
  const int64_t tokens = scores.size(0), size = scores.size(1) / groups;
  const at::Tensor rows = scores.reshape({tokens * groups, size});
  const at::Tensor worth =
      rows.gather(1, top_k_indices(rows, std::min<int64_t>(2, size))).sum(1).view({tokens, groups});
  const at::Tensor best = at::zeros({tokens, groups}, at::kBool).scatter_(1, top_k_indices(worth, top_groups), true);
  const at::Tensor lost = best.logical_not().unsqueeze(2).expand({tokens, groups, size}).reshape(scores.sizes());
  return scores.masked_fill(lost, -std::numeric_limits<double>::infinity());
}

// Logits decide where nothing asks for scores: these saturate, and then tie.
at::Tensor token_choice(const RouterOptions& options, const at::Tensor& z, const at::Tensor& scores,
                        const at::Tensor& bias) {
  at::Tensor worth = bias.defined() || options.groups > 1 ? scores : z;
  if (bias.defined()) worth = worth + bias.detach().to(worth.scalar_type());
  if (options.groups > 1) worth = only_best_groups(worth, options.groups, options.top_groups);
  return top_k_indices(worth, options.top_k);
}

// factor * k * T / E, rounded up; a product such as 1.1 * 10 counts as 11
int64_t capacity_of(double factor, int64_t top_k, int64_t tokens, int64_t experts) {
  const double assignments = factor * static_cast<double>(top_k * tokens);
  return static_cast<int64_t>(std::ceil(assignments / static_cast<double>(experts) - 1e-9));
}

// [T, E] -> [T, K], K = most experts that one token got, at least 1
at::Tensor expert_choice(const at::Tensor& scores, const at::Tensor& valid, int64_t capacity) {
  const int64_t tokens = scores.size(0), experts = scores.size(1);
  if (tokens == 0) return at::full({0, 1}, -1, at::kLong);
  const at::Tensor by_expert = without_padding(scores, valid, -1).t().contiguous();  // every score is 0 at least
  const at::Tensor order = std::get<1>(at::sort(by_expert, /*stable=*/true, 1, /*descending=*/true));
  const at::Tensor taken = at::zeros({experts, tokens}, at::kBool).scatter_(1, order.narrow(1, 0, capacity), true).t();
  const int64_t most = std::max<int64_t>(1, taken.sum(1).max().item<int64_t>());
  const at::Tensor column = at::where(taken, at::arange(experts), experts);
  const at::Tensor rising = std::get<0>(at::sort(column, 1)).narrow(1, 0, most);
  return rising.masked_fill(rising == experts, -1);
}

at::Tensor hash_choice(const RouterOptions& options, const at::Tensor& keys, int64_t tokens, int64_t experts) {
  const at::Tensor rows = keys.defined() ? keys.contiguous() : at::arange(tokens);
  const int64_t* key = rows.const_data_ptr<int64_t>();
  const uint64_t table = hash64(options.layer);
  at::Tensor out = at::empty({tokens, options.top_k}, at::kLong);
  int64_t* chosen = out.mutable_data_ptr<int64_t>();
  for (int64_t t = 0; t < tokens; ++t) {
    Rng rng(table, "hash routing", static_cast<uint64_t>(key[t]));
    const std::vector<int64_t> order = permutation(rng, experts);
    std::copy_n(order.begin(), options.top_k, chosen + t * options.top_k);
  }
  return out;
}

// The i-th valid token takes experts i * k, i * k + 1, ... modulo E.
at::Tensor balanced_choice(const RouterOptions& options, const at::Tensor& valid, int64_t tokens, int64_t experts) {
  const at::Tensor rank = valid.defined() ? valid.cumsum(0) - 1 : at::arange(tokens);
  return (rank.unsqueeze(1) * options.top_k + at::arange(options.top_k)).remainder(experts);
}

at::Tensor gate_weights(const RouterOptions& options, const at::Tensor& z, const at::Tensor& scores,
                        const at::Tensor& chosen) {
  const at::Tensor index = chosen.clamp_min(0);
  at::Tensor gates = (options.gate == RouterGate::softmax ? z : scores).gather(1, index);
  if (options.gate == RouterGate::softmax) gates = at::softmax(gates, 1);
  if (options.gate == RouterGate::renormalized) gates = gates / (gates.sum(1, /*keepdim=*/true) + 1e-20);
  return options.gate_scale == 1 ? gates : gates * options.gate_scale;
}

void choose_by_score(const RouterOptions& options, const RouterInputs& in, Routing& out) {
  out.clean = clean_logits(options, in, out);
  add_noise(options, in, out);
  const at::Tensor& z = out.noisy.defined() ? out.noisy : out.clean;
  check_finite_logits(z, 1, options.layer);
  const at::Tensor scores = without_padding(scores_of(options.score, z), in.valid);
  const bool is_distribution = options.score == RouterScore::softmax;
  out.probabilities = is_distribution ? scores : scores / (scores.sum(1, /*keepdim=*/true) + 1e-20);
  if (options.choice == RouterChoice::expert_choice) {
    out.capacity = std::min(out.tokens, capacity_of(1, options.top_k, out.tokens, z.size(1)));
    out.chosen = expert_choice(scores.detach(), in.valid, out.capacity);
  } else {
    out.chosen = without_padding(token_choice(options, z.detach(), scores.detach(), in.bias), in.valid, -1);
  }
  const at::Tensor gates = gate_weights(options, z, scores, out.chosen);
  const bool all_chosen = options.choice == RouterChoice::top_k && !in.valid.defined();
  out.weights = all_chosen ? gates : gates.masked_fill(out.chosen < 0, 0);
}

void choose_fixed(const RouterOptions& options, const RouterInputs& in, Routing& out) {
  const int64_t tokens = in.logits.size(0), experts = in.logits.size(1);
  const at::Tensor chosen = options.choice == RouterChoice::hash ? hash_choice(options, in.keys, tokens, experts)
                                                                 : balanced_choice(options, in.valid, tokens, experts);
  out.chosen = without_padding(chosen, in.valid, -1);
  const at::Tensor share = (out.chosen >= 0).to(out.logits.scalar_type()) / options.top_k;
  out.probabilities = dense_gates(out.chosen, share, experts);
  out.weights = share * options.gate_scale;
}

at::Tensor count_experts(const at::Tensor& chosen, int64_t experts) {
  at::Tensor counts = at::zeros({experts}, at::kLong);
  int64_t* count = counts.mutable_data_ptr<int64_t>();
  const at::Tensor flat = chosen.contiguous();
  const int64_t* expert = flat.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    if (expert[i] >= 0) ++count[expert[i]];
  }
  return counts;
}

// --- capacity ---

at::Tensor descending(const at::Tensor& values) {
  return std::get<1>(at::sort(values, /*stable=*/true, 0, /*descending=*/true));
}

// All (token, slot) pairs as token * k + slot, the one that is served first in front. [T * k] int64
at::Tensor service_order(const Routing& routing, DropPolicy policy) {
  const int64_t tokens = routing.chosen.size(0), k = routing.chosen.size(1);
  const at::Tensor p = routing.probabilities.detach();
  if (policy == DropPolicy::probs) return descending(p.gather(1, routing.chosen.clamp_min(0)).flatten());
  const at::Tensor order = policy == DropPolicy::batch_priority ? descending(p.amax(1)) : at::arange(tokens);
  return (order * k + at::arange(k).unsqueeze(1)).flatten();
}

// Gates are renormalised before anything is dropped: a dropped choice takes its share with it.
void limit_capacity(const RouterOptions& options, Routing& out) {
  out.experts = out.chosen;
  out.gates = out.weights;
  if (options.capacity_factor == 0) return;
  out.capacity = capacity_of(options.capacity_factor, options.top_k, out.tokens, out.counts.size(0));
  out.experts = out.chosen.clone(at::MemoryFormat::Contiguous);
  const at::Tensor order = service_order(out, options.drop).contiguous();
  const int64_t* pair = order.const_data_ptr<int64_t>();
  int64_t* expert = out.experts.mutable_data_ptr<int64_t>();
  std::vector<int64_t> load(static_cast<size_t>(out.counts.size(0)));
  for (int64_t i = 0; i < order.numel(); ++i) {
    int64_t& e = expert[pair[i]];
    if (e < 0 || load[static_cast<size_t>(e)]++ < out.capacity) continue;
    e = -1;
    ++out.dropped;
  }
  out.gates = out.weights.masked_fill(out.experts < 0, 0);
}

// best [k]: insertion keeps the order of equal values
template <typename T>
void top_k_row(const T* row, int64_t columns, int64_t k, int64_t* best) {
  int64_t filled = 0;
  for (int64_t column = 0; column < columns; ++column) {
    if (filled == k && !(row[column] > row[best[k - 1]])) continue;
    int64_t slot = filled < k ? filled++ : k - 1;
    for (; slot > 0 && row[column] > row[best[slot - 1]]; --slot) best[slot] = best[slot - 1];
    best[slot] = column;
  }
}

template <typename T>
void top_k_rows(const at::Tensor& values, int64_t k, at::Tensor& out) {
  const T* rows = values.const_data_ptr<T>();
  int64_t* best = out.mutable_data_ptr<int64_t>();
  const int64_t columns = values.size(1);
  at::parallel_for(0, values.size(0), 512, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) top_k_row(rows + n * columns, columns, k, best + n * k);
  });
}

}  // namespace

RouterScore parse_router_score(std::string_view name) {
  return parse<RouterScore>("router score", name,
                            {{"softmax", RouterScore::softmax},
                             {"sigmoid", RouterScore::sigmoid},
                             {"sqrt_softplus", RouterScore::sqrt_softplus}});
}

RouterChoice parse_router_choice(std::string_view name) {
  return parse<RouterChoice>("router choice", name,
                             {{"top_k", RouterChoice::top_k},
                              {"expert_choice", RouterChoice::expert_choice},
                              {"hash", RouterChoice::hash},
                              {"balanced", RouterChoice::balanced}});
}

RouterGate parse_router_gate(std::string_view name) {
  return parse<RouterGate>(
      "router gate", name,
      {{"raw", RouterGate::raw}, {"renormalized", RouterGate::renormalized}, {"softmax", RouterGate::softmax}});
}

DropPolicy parse_drop_policy(std::string_view name) {
  return parse<DropPolicy>("drop policy", name,
                           {{"probs", DropPolicy::probs},
                            {"position", DropPolicy::position},
                            {"batch_priority", DropPolicy::batch_priority}});
}

std::optional<OptionProblem> find_problem(const RouterOptions& o, int64_t experts) {
  const auto finite_from_0 = [](double value) { return std::isfinite(value) && value >= 0; };
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  if (o.top_k < 1 || o.top_k > experts) return wrong("top_k", "1 to ", experts, " (the experts), got ", o.top_k);
  if (!positive(o.temperature)) return wrong("temperature", "> 0, got ", o.temperature);
  if (!positive(o.gate_scale)) return wrong("gate_scale", "> 0, got ", o.gate_scale);
  if (!finite_from_0(o.logit_noise)) return wrong("logit_noise", ">= 0, got ", o.logit_noise);
  if (!finite_from_0(o.prior_weight)) return wrong("prior_weight", ">= 0, got ", o.prior_weight);
  if (!finite_from_0(o.capacity_factor)) return wrong("capacity_factor", ">= 0, got ", o.capacity_factor);
  if (o.choice == RouterChoice::expert_choice) return expert_choice_problem(o);
  if (o.choice != RouterChoice::top_k) return std::nullopt;
  if (const auto problem = groups_problem(o, experts)) return problem;
  if (o.top_k > 1 || experts == 1 || o.gate == RouterGate::raw) return std::nullopt;
  return wrong("gate", "raw with top_k 1, where any other gate is 1 and the router gets no gradient");
}

void check_options(const RouterOptions& options, int64_t experts) {
  const auto problem = find_problem(options, experts);
  if (problem) fail(MOE_ERR_CONFIG, "router of ", options.layer, ": ", problem->option, ": ", problem->message);
}

Routing route(const RouterOptions& options, const RouterInputs& in) {
  check_inputs(options, in);
  const Float32Scope precise;
  Routing out;
  out.valid = in.valid;
  out.tokens = in.valid.defined() ? in.valid.sum().item<int64_t>() : in.logits.size(0);
  out.logits = without_padding(in.logits.to(router_type(in.logits)), in.valid);
  const bool fixed = options.choice == RouterChoice::hash || options.choice == RouterChoice::balanced;
  if (fixed) {
    choose_fixed(options, in, out);
  } else {
    choose_by_score(options, in, out);
  }
  out.counts = count_experts(out.chosen, in.logits.size(1));
  limit_capacity(options, out);
  return out;
}

at::Tensor linear_logits(const at::Tensor& x, const at::Tensor& weight) {
  const Float32Scope precise;
  const at::ScalarType type = router_type(x);
  return at::linear(x.to(type), weight.to(type));
}

at::Tensor learned_noise_scale(const at::Tensor& x, const at::Tensor& weight) {
  return at::softplus(linear_logits(x, weight));
}

at::Tensor cosine_logits(const at::Tensor& x, const at::Tensor& projection, const at::Tensor& embeddings,
                         const at::Tensor& log_scale) {
  const Float32Scope precise;
  const at::ScalarType type = router_type(x);
  const at::Tensor projected = unit(linear_logits(x, projection), 1);
  const at::Tensor scale = log_scale.to(type).clamp_max(std::log(100.0)).exp();
  return at::linear(projected, unit(embeddings.to(type), 1)) * scale;
}

at::Tensor jitter(const at::Tensor& x, double amount, Rng noise) {
  const at::ScalarType type = router_type(x);
  return x.to(type) * (uniform_tensor(noise, x.sizes()).to(type) * (2 * amount) + (1 - amount));
}

at::Tensor soft_logits(const at::Tensor& x, const at::Tensor& slots, const at::Tensor& scale) {
  check(x.dim() == 3 && slots.dim() == 3 && x.size(2) == slots.size(0), MOE_ERR_SHAPE,
        "soft router: expected x [B, N, D] and slots [D, E, S], got ", shape_text(x.sizes()), " and ",
        shape_text(slots.sizes()));
  const Float32Scope precise;
  const at::ScalarType type = router_type(x);
  const at::Tensor columns = unit(slots.to(type), 0).flatten(1);  // [D, E * S]
  const at::Tensor cosines = at::matmul(unit(x.to(type), 2), columns);
  return (cosines * scale.to(type)).unflatten(2, {slots.size(1), slots.size(2)});
}

SoftRouting soft_route(const at::Tensor& logits, const at::Tensor& valid, const std::string& layer) {
  check(logits.dim() == 4, MOE_ERR_SHAPE, "router of ", layer,
        ": logits: expected [images, tokens, experts, slots], got ", shape_text(logits.sizes()));
  const Float32Scope precise;
  const at::Tensor z = logits.to(router_type(logits));
  const at::Tensor padded = valid.defined() ? valid.logical_not().unsqueeze(2).unsqueeze(3) : valid;  // [B, N, 1, 1]
  const auto fill = [&](const at::Tensor& x, double value) {
    return padded.defined() ? x.masked_fill(padded, value) : x;
  };
  const at::Tensor finite = fill(z, 0);
  check_finite_logits(finite, 2, layer);
  // not -infinity: an image without valid tokens would become NaN
  const at::Tensor dispatch = at::softmax(fill(z, -1e30), 1);
  const at::Tensor combine = at::softmax(finite.flatten(2), 2).view_as(z);
  return {fill(dispatch, 0), fill(combine, 0)};
}

void check_finite_logits(const at::Tensor& logits, int64_t token_dims, const std::string& layer) {
  if (logits.detach().mul(0).sum().item<double>() == 0) return;  // NaN where anything is not finite
  const at::Tensor bad = at::isfinite(logits.detach()).flatten(token_dims).all(-1).logical_not().flatten().nonzero();
  fail(MOE_ERR_NUMERIC, "router of ", layer, ": expected finite logits, got NaN or infinity in ", bad.size(0),
       " token(s), first in token ", bad[0][0].item<int64_t>());
}

at::Tensor top_k_indices(const at::Tensor& values, int64_t k) {
  check(values.dim() == 2 && k >= 1 && k <= values.size(1), MOE_ERR_INVALID_ARGUMENT,
        "top_k_indices: expected k of 1 to ", values.dim() == 2 ? values.size(1) : 0, " columns, got ", k);
  const at::Tensor rows = values.detach().contiguous();
  at::Tensor out = at::empty({rows.size(0), k}, at::kLong);
  if (rows.scalar_type() == at::kDouble) {
    top_k_rows<double>(rows, k, out);
  } else {
    top_k_rows<float>(rows, k, out);
  }
  return out;
}

at::Tensor dense_gates(const at::Tensor& experts, const at::Tensor& values, int64_t expert_count) {
  const at::Tensor kept = values.masked_fill(experts < 0, 0);
  return at::zeros({experts.size(0), expert_count}, values.options().requires_grad(false))
      .scatter_add(1, experts.clamp_min(0), kept);
}

RoutingRecord routing_record(const Routing& routing, const at::Tensor& labels) {
  RoutingRecord record;
  record.probabilities = routing.probabilities.detach().to(at::kFloat);
  record.chosen = routing.chosen;
  record.gates = routing.weights.detach().to(at::kFloat);
  if (routing.dropped > 0) record.computed = routing.experts;
  record.valid = routing.valid;
  record.labels = labels;
  return record;
}

template <typename T>
static void move_bias(T* bias, const std::vector<int64_t>& counts, T rate) {
  const auto experts = static_cast<int64_t>(counts.size());
  int64_t sum = 0;
  for (const int64_t count : counts) sum += count;
  for (int64_t e = 0; e < experts; ++e) {
    const int64_t lack = sum - counts[static_cast<size_t>(e)] * experts;  // sign(mean - c), exact in integers
    bias[e] += rate * static_cast<T>((lack > 0) - (lack < 0));
  }
}

void update_bias(const at::Tensor& bias, const std::vector<int64_t>& counts, double rate) noexcept {
  if (bias.scalar_type() == at::kDouble) {
    move_bias(static_cast<double*>(bias.data_ptr()), counts, rate);
  } else {
    move_bias(static_cast<float*>(bias.data_ptr()), counts, static_cast<float>(rate));
  }
}

}  // namespace moe
