// Routers against plain loops in float64 and the published gradients: every score, choice and gate; ties, NaN, padding,
// capacity, precision, and the sizes at the edge (no token, one token, one expert, all experts).
#include "moe/router.h"

#include <algorithm>
#include <limits>

#include "support/finite_difference.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "tensor/scope.h"

using namespace moe;

namespace {

using Gate = RouterGate;
using Score = RouterScore;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// float64 in [-2, 2)
at::Tensor some(const std::string& name, at::IntArrayRef shape) {
  return hash_fill::uniform(name, shape) * 4 - 2;
}

at::Tensor leaf(const at::Tensor& x) {
  return x.detach().contiguous().clone().requires_grad_();
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  CHECK(a.sizes() == b.sizes());
  return a.numel() == 0 ? 0 : (a - b).abs().max().item<double>();
}

Routing routed(const RouterOptions& options, const at::Tensor& logits, const at::Tensor& valid = {}) {
  RouterInputs in;
  in.logits = logits;
  in.valid = valid;
  return route(options, in);
}

double at2(const at::Tensor& x, int64_t i, int64_t j) {
  return x[i][j].item<double>();
}

std::vector<int64_t> list(const at::Tensor& x) {
  const at::Tensor flat = x.contiguous().flatten();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

// Gradient of sum(direction * gates) to the logits.
at::Tensor gate_gradient(const RouterOptions& options, const at::Tensor& logits, const at::Tensor& direction) {
  const at::Tensor z = leaf(logits);
  (routed(options, z).gates * direction).sum().backward();
  return z.grad();
}

double score_value(Score score, double z) {
  return score == Score::sigmoid ? 1 / (1 + std::exp(-z)) : std::sqrt(std::log1p(std::exp(z)));
}

}  // namespace

// --- scores and gates ---

static void test_softmax_by_hand(void**) {
  const at::Tensor z = at::log(at::tensor({0.1, 0.4, 0.2, 0.3}, at::kDouble)).unsqueeze(0);
  const Routing raw = routed({.gate = Gate::raw, .top_k = 2}, z);
  CHECK(list(raw.experts) == std::vector<int64_t>({1, 3}));
  CHECK_NEAR(at2(raw.gates, 0, 0), 0.4, 1e-12);
  CHECK_NEAR(at2(raw.gates, 0, 1), 0.3, 1e-12);
  const Routing renormalized = routed({.gate = Gate::renormalized, .top_k = 2}, z);
  CHECK_NEAR(at2(renormalized.gates, 0, 0), 4.0 / 7, 1e-12);
  CHECK(distance(routed({.gate = Gate::softmax, .top_k = 2}, z).gates, renormalized.gates) < 1e-12);
  CHECK(list(raw.counts) == std::vector<int64_t>({0, 1, 0, 1}) && raw.tokens == 1 && raw.dropped == 0);
  CHECK_NEAR(raw.probabilities.sum().item<double>(), 1, 1e-12);
  const Routing scaled = routed({.gate = Gate::raw, .top_k = 2, .gate_scale = 2.5}, z);
  CHECK_NEAR(at2(scaled.gates, 0, 0), 1.0, 1e-12);
}

// dL/dz_i = sum over the chosen j of dg_j p_j (delta_ij - p_i): losers get gradient too
static void test_gradient_of_raw_softmax(void**) {
  const at::Tensor z = some("z", {5, 6}), direction = some("dg", {5, 3}), p = at::softmax(z, 1);
  const RouterOptions options{.gate = Gate::raw, .top_k = 3};
  const at::Tensor got = gate_gradient(options, z, direction), chosen = routed(options, z).chosen;
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t i = 0; i < 6; ++i) {
      double want = 0;
      for (int64_t slot = 0; slot < 3; ++slot) {
        const int64_t j = chosen[t][slot].item<int64_t>();
        want += at2(direction, t, slot) * at2(p, t, j) * ((i == j) - at2(p, t, i));
      }
      CHECK_NEAR(at2(got, t, i), want, 1e-12);
    }
  }
}

// dL/dz_i = g_i (dg_i - sum dg g) for the chosen, 0 for the others; both forms of renormalised softmax
static void test_gradient_of_renormalized_softmax(void**) {
  const at::Tensor z = some("z", {5, 6}), direction = some("dg", {5, 3});
  for (const Gate gate : {Gate::renormalized, Gate::softmax}) {
    const RouterOptions options{.gate = gate, .top_k = 3};
    const Routing r = routed(options, z);
    const at::Tensor inner = (direction * r.gates).sum(1, true), wanted = r.gates * (direction - inner);
    CHECK(distance(gate_gradient(options, z, direction), dense_gates(r.chosen, wanted, 6)) < 1e-12);
  }
}

// s_i (1 - s_i) / Z (dg_i - sum dg s / Z): DeepSeek-V3, bias in the choice alone
static void test_sigmoid_with_bias(void**) {
  const at::Tensor z = some("z", {7, 8}), direction = some("dg", {7, 2});
  RouterInputs in;
  in.logits = leaf(z);
  in.bias = at::tensor({0., 0., 5., 0., -5., 0., 0., 0.}).requires_grad_();
  const Routing r = route({.score = Score::sigmoid, .top_k = 2, .gate_scale = 2.5}, in);
  (r.gates * direction).sum().backward();
  CHECK(!in.bias.grad().defined());
  const at::Tensor s = at::sigmoid(z).gather(1, r.chosen), total = s.sum(1, true);
  CHECK(distance(r.gates, 2.5 * s / total) < 1e-12);
  const at::Tensor slope = 2.5 * s * (1 - s) / total * (direction - (direction * s / total).sum(1, true));
  CHECK(distance(in.logits.grad(), dense_gates(r.chosen, slope, 8)) < 1e-12);
  CHECK((r.chosen == 2).any(1).all().item<bool>() && !(r.chosen == 4).any().item<bool>());
  CHECK_NEAR(distance(r.probabilities, at::sigmoid(z) / at::sigmoid(z).sum(1, true)), 0, 1e-12);
}

static void test_other_scores(void**) {
  const at::Tensor z = some("z", {4, 5});
  for (const Score score : {Score::sigmoid, Score::sqrt_softplus}) {
    const Routing r = routed({.score = score, .gate = Gate::raw, .top_k = 5}, z);
    for (int64_t t = 0; t < 4; ++t) {
      for (int64_t slot = 0; slot < 5; ++slot) {
        CHECK_NEAR(at2(r.gates, t, slot), score_value(score, at2(z, t, r.chosen[t][slot].item<int64_t>())), 1e-12);
      }
    }
  }
}

// Every path that a router's gradient can take, at once: temperature, prior, learned noise, score, gate, capacity.
static void test_finite_differences(void**) {
  RouterInputs in;
  in.logits = leaf(some("z", {6, 5}));
  in.noise_scale = leaf(hash_fill::uniform("sigma", {6, 5}) + 0.2);
  in.log_prior = leaf(some("prior", {3, 5}));
  in.labels = at::tensor({0, 2, -1, 1, 1, 0}, at::kLong);
  in.valid = at::tensor({1, 1, 1, 0, 1, 1}).to(at::kBool);
  in.noise = Rng(1, "noise");
  for (const Score score : {Score::softmax, Score::sigmoid, Score::sqrt_softplus}) {
    for (const Gate gate : {Gate::raw, Gate::renormalized, Gate::softmax}) {
      const RouterOptions options{
          .score = score, .gate = gate, .top_k = 2, .temperature = 0.7, .prior_weight = 0.5, .capacity_factor = 1};
      const auto scalar = [&] {
        const Routing r = route(options, in);
        return (r.gates * some("dg", r.gates.sizes())).sum() + (r.probabilities * some("dp", {6, 5})).sum();
      };
      CHECK(gradient_error(scalar, {in.logits, in.noise_scale, in.log_prior}) < 1e-7);
    }
  }
}

// With k = 1 a renormalised gate is 1 whatever the router says: refused. The raw gate teaches it.
static void test_one_expert_a_token(void**) {
  const at::Tensor z = some("z", {4, 5});
  for (const Gate gate : {Gate::renormalized, Gate::softmax}) {
    CHECK_ERROR(MOE_ERR_CONFIG, "expected raw with top_k 1",
                routed({.layer = "decoder.2", .gate = gate, .top_k = 1}, z));
  }
  const at::Tensor grad = gate_gradient({.gate = Gate::raw, .top_k = 1}, z, at::ones({4, 1}, at::kDouble));
  CHECK((grad.abs() > 1e-6).all().item<bool>());
}

// --- choice ---

static void test_ties(void**) {
  CHECK(list(routed({.top_k = 3}, at::zeros({2, 8})).experts) == std::vector<int64_t>({0, 1, 2, 0, 1, 2}));
  const at::Tensor z = at::tensor({1.f, 3.f, 2.f, 3.f, 2.f, 2.f}).unsqueeze(0);
  CHECK(list(top_k_indices(z, 6)) == std::vector<int64_t>({1, 3, 2, 4, 5, 0}));
  CHECK(list(top_k_indices(z, 3)) == std::vector<int64_t>({1, 3, 2}));
}

// The same columns as a stable sort of each row, in both types, and with one and two threads.
static void test_top_k_indices(void**) {
  const at::Tensor values = (hash_fill::uniform("v", {3000, 13}) * 6).floor();  // many ties
  const at::Tensor order = std::get<1>(at::sort(values, /*stable=*/true, 1, /*descending=*/true));
  const int threads = at::get_num_threads();
  for (const int count : {1, 2}) {
    at::set_num_threads(count);
    for (int64_t k = 1; k <= 13; ++k) {
      CHECK(top_k_indices(values, k).equal(order.narrow(1, 0, k)));
      CHECK(top_k_indices(values.to(at::kFloat), k).equal(order.narrow(1, 0, k)));
    }
  }
  at::set_num_threads(threads);
  CHECK(top_k_indices(values.t().contiguous().t(), 2).equal(order.narrow(1, 0, 2)));  // any strides
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "1 to 13", top_k_indices(values, 14));
}

static void test_not_finite(void**) {
  at::Tensor z = some("z", {4, 3}).to(at::kFloat);
  z[2][1] = kNan;
  CHECK_ERROR(MOE_ERR_NUMERIC,
              "router of encoder.1: expected finite logits, got NaN or infinity in 1 token(s), first in token 2",
              routed({.layer = "encoder.1"}, z));
  z[3][0] = -std::numeric_limits<float>::infinity();
  CHECK_ERROR(MOE_ERR_NUMERIC, "in 2 token(s)", routed({}, z));
  const Routing r = routed({}, z, at::tensor({1, 1, 0, 0}).to(at::kBool));  // padded tokens may hold anything
  CHECK(r.gates.isfinite().all().item<bool>() && r.logits.isfinite().all().item<bool>());
}

static void test_groups(void**) {
  const int64_t tokens = 50, groups = 4, size = 3;
  const at::Tensor z = some("z", {tokens, groups * size});
  RouterInputs in;
  in.logits = z;
  in.bias = at::full({groups * size}, -3.0);  // every biased score is negative: a fill of 0 would win
  const Routing r = route({.score = Score::sigmoid, .top_k = 4, .groups = groups, .top_groups = 2}, in);
  for (int64_t t = 0; t < tokens; ++t) {
    const at::Tensor s = at::sigmoid(z[t]) - 3.0;
    const at::Tensor worth = std::get<0>(s.view({groups, size}).topk(2, 1)).sum(1);
    const at::Tensor best = std::get<1>(worth.topk(2));
    const at::Tensor open = at::isin(at::arange(groups * size).floor_divide(size), best);
    const at::Tensor wanted = std::get<1>(s.masked_fill(open.logical_not(), -100).topk(4));
    CHECK(r.chosen[t].equal(wanted));
  }
}

// Each expert takes exactly ceil(k T / E) of the valid tokens, the best ones.
static void test_expert_choice(void**) {
  const int64_t tokens = 10, experts = 4;
  const at::Tensor z = some("z", {tokens, experts}), valid = at::arange(tokens) != 3;
  const Routing r = routed({.choice = RouterChoice::expert_choice, .gate = Gate::raw, .top_k = 2}, z, valid);
  CHECK(r.capacity == 5 && list(r.counts) == std::vector<int64_t>(experts, 5));
  const at::Tensor p = at::softmax(z, 1).masked_fill(valid.logical_not().unsqueeze(1), 0);
  const at::Tensor gates = dense_gates(r.experts, r.gates, experts);
  for (int64_t e = 0; e < experts; ++e) {
    const at::Tensor fifth = std::get<0>(p.select(1, e).topk(5)).min();
    CHECK(distance(gates.select(1, e), at::where(p.select(1, e) >= fifth, p.select(1, e), 0.0)) < 1e-12);
  }
  CHECK((r.experts[3] == -1).all().item<bool>());
  const auto only = [](RouterOptions o) { return routed(o, at::zeros({4, 4})); };
  CHECK_ERROR(MOE_ERR_CONFIG, "gate: expected raw", only({.choice = RouterChoice::expert_choice}));
  CHECK_ERROR(MOE_ERR_CONFIG, "capacity_factor",
              only({.choice = RouterChoice::expert_choice, .gate = Gate::raw, .capacity_factor = 1}));
}

static void test_hash(void**) {
  const int64_t tokens = 4000, experts = 5;
  RouterInputs in;
  in.logits = at::zeros({tokens, experts});
  in.keys = at::arange(tokens).remainder(2000);
  const RouterOptions options{.layer = "a", .choice = RouterChoice::hash, .top_k = 2};
  const Routing r = route(options, in);
  CHECK(r.chosen.narrow(0, 0, 2000).equal(r.chosen.narrow(0, 2000, 2000)));  // the key decides
  CHECK((r.chosen.select(1, 0) != r.chosen.select(1, 1)).all().item<bool>());
  CHECK(r.counts.min().item<int64_t>() > 1440 && r.counts.max().item<int64_t>() < 1760);  // 1600 expected
  CHECK(r.gates.eq(0.5).all().item<bool>() && r.probabilities.sum(1).eq(1).all().item<bool>());
  RouterOptions other = options;
  other.layer = "b";
  CHECK(!route(other, in).chosen.equal(r.chosen));
}

static void test_balanced(void**) {
  const RouterOptions options{.choice = RouterChoice::balanced, .top_k = 3};
  const Routing r = routed(options, at::zeros({8, 6}), at::arange(8) % 4 != 1);
  CHECK(list(r.counts) == std::vector<int64_t>(6, 3) && r.tokens == 6);
  CHECK(list(r.chosen[0]) == std::vector<int64_t>({0, 1, 2}) && list(r.chosen[2]) == std::vector<int64_t>({3, 4, 5}));
  CHECK(list(r.chosen[1]) == std::vector<int64_t>({-1, -1, -1}));
  CHECK_NEAR(r.gates.sum().item<double>(), 6, 1e-6);
}

// --- temperature, prior, noise, precision ---

static void test_temperature_and_prior(void**) {
  const at::Tensor z = some("z", {4, 3}), prior = at::log_softmax(some("prior", {2, 3}), 1);
  RouterInputs in;
  in.logits = z;
  in.log_prior = prior;
  in.labels = at::tensor({1, 0, -1, 1}, at::kLong);
  const Routing r = route({.temperature = 0.5, .prior_weight = 2}, in);
  CHECK(r.logits.equal(z));
  at::Tensor want = z / 0.5;
  for (const int64_t t : {0, 1, 3}) want[t] += 2 * prior[in.labels[t].item<int64_t>()];
  CHECK(distance(r.clean, want) < 1e-12 && distance(r.probabilities, at::softmax(want, 1)) < 1e-12);
  in.labels = at::tensor({1, 0, 2, 1}, at::kLong);
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "labels: expected -1 to 1", route({}, in));
  in.labels = at::Tensor();
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "labels: expected a class for each token", route({}, in));
}

static void test_noise(void**) {
  RouterInputs in;
  in.logits = some("z", {2000, 4});
  const RouterOptions options{.logit_noise = 0.25};
  CHECK(!route(options, in).noisy.defined());  // evaluation
  in.noise = Rng(3, "noise", 1);
  const Routing r = route(options, in);
  CHECK(route(options, in).noisy.equal(r.noisy));
  const at::Tensor noise = (r.noisy - in.logits) / 0.25;
  CHECK_NEAR(noise.mean().item<double>(), 0, 0.05);
  CHECK_NEAR(noise.var().item<double>(), 1, 0.05);
  CHECK(distance(r.probabilities, at::softmax(r.noisy, 1)) < 1e-12);
  in.noise_scale = in.logits.square();  // learned: wins over the constant
  CHECK(distance(route(options, in).noisy, in.logits + noise * in.noise_scale) < 1e-9);
  in.noise = Rng(3, "noise", 2);
  CHECK(!route(options, in).noisy.equal(r.noisy));
  CHECK(!route({}, {.logits = in.logits, .noise = in.noise}).noisy.defined());  // nothing to draw
}

// Features in bfloat16 and a step under autocast: the router computes in float32 all the same, to the bit.
static void test_precision(void**) {
  const at::Tensor x = some("x", {64, 32}).to(at::kBFloat16), w = some("w", {8, 32}).to(at::kFloat);
  const RouterOptions options{.layer = "l", .top_k = 2};
  const Routing plain = routed(options, linear_logits(x, w));
  CHECK(plain.logits.scalar_type() == at::kFloat && plain.gates.scalar_type() == at::kFloat);
  CHECK(plain.logits.equal(at::linear(x.to(at::kFloat), w)));
  const AutocastScope autocast(at::kBFloat16);
  const Routing half = routed(options, linear_logits(x, w));
  CHECK(half.logits.equal(plain.logits) && half.gates.equal(plain.gates) && half.experts.equal(plain.experts));
  const at::Tensor given = plain.logits.to(at::kBFloat16);  // logits that were rounded before they came here
  CHECK(routed(options, given).gates.equal(routed(options, given.to(at::kFloat)).gates));
  CHECK_ERROR(MOE_ERR_DTYPE, "router of l: logits: expected a float type",
              routed(options, at::zeros({2, 4}, at::kLong)));
}

// --- capacity ---

// Choices in the order in which they are served; an expert that has C turns further ones away.
static at::Tensor plain_drop(const Routing& r, const std::vector<std::pair<int64_t, int64_t>>& order,
                             int64_t capacity) {
  at::Tensor experts = r.chosen.clone();
  std::vector<int64_t> load(r.counts.numel());
  for (const auto& [t, slot] : order) {
    const int64_t e = r.chosen[t][slot].item<int64_t>();
    if (e >= 0 && ++load[e] > capacity) experts[t][slot] = -1;
  }
  return experts;
}

static std::vector<std::pair<int64_t, int64_t>> plain_order(const Routing& r, DropPolicy policy) {
  std::vector<std::pair<int64_t, int64_t>> order;
  for (int64_t slot = 0; slot < r.chosen.size(1); ++slot) {
    for (int64_t t = 0; t < r.chosen.size(0); ++t) order.emplace_back(t, slot);
  }
  const auto priority = [&](const std::pair<int64_t, int64_t>& pair) {
    const auto [t, slot] = pair;
    if (policy == DropPolicy::position) return static_cast<double>(-slot);
    if (policy == DropPolicy::probs)
      return at2(r.probabilities, t, std::max<int64_t>(0, r.chosen[t][slot].item<int64_t>()));
    return r.probabilities[t].max().item<double>() - 10.0 * static_cast<double>(slot);
  };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return priority(a) > priority(b); });
  return order;
}

static void test_capacity(void**) {
  const at::Tensor z = some("z", {30, 5}) + at::tensor({1.5, 0., 0., 0., 0.});  // expert 0 is popular
  const at::Tensor valid = at::arange(30) % 7 != 2;                             // 26 tokens
  const Routing free = routed({.top_k = 2}, z, valid);
  for (const DropPolicy policy : {DropPolicy::probs, DropPolicy::position, DropPolicy::batch_priority}) {
    const Routing r = routed({.top_k = 2, .capacity_factor = 0.9, .drop = policy}, z, valid);
    CHECK(r.capacity == 10 && r.tokens == 26);                          // ceil(0.9 * 2 * 26 / 5) = ceil(9.36)
    CHECK(r.chosen.equal(free.chosen) && r.weights.equal(free.gates));  // renormalised before the drop
    CHECK(r.experts.equal(plain_drop(r, plain_order(r, policy), 10)));
    CHECK(r.gates.equal(free.gates.masked_fill(r.experts < 0, 0)));
    CHECK(r.dropped > 0 && r.dropped == (free.counts - 10).clamp_min(0).sum().item<int64_t>());
    CHECK(r.counts.equal(free.counts));
  }
  CHECK(routed({.top_k = 2, .capacity_factor = 5}, z, valid).dropped == 0);
  CHECK(routed({.gate = Gate::raw, .top_k = 1, .capacity_factor = 1.1}, at::zeros({10, 1})).capacity == 11);
}

// Sharp case: two tokens prefer expert 0, the second one more; one place.
static void test_who_is_served(void**) {
  const at::Tensor z = at::tensor({1.0, 0.0, 2.0, 0.0}, at::kDouble).view({2, 2});
  const auto first_slot = [&](DropPolicy policy) {
    const RouterOptions o{.gate = Gate::raw, .top_k = 1, .capacity_factor = 1, .drop = policy};
    return list(routed(o, z).experts);
  };
  CHECK(first_slot(DropPolicy::position) == std::vector<int64_t>({0, -1}));
  CHECK(first_slot(DropPolicy::probs) == std::vector<int64_t>({-1, 0}));
  CHECK(first_slot(DropPolicy::batch_priority) == std::vector<int64_t>({-1, 0}));
}

// --- padding, edges ---

static std::vector<RouterOptions> every_kind() {
  return {
      {.top_k = 2},
      {.gate = Gate::raw, .top_k = 1},
      {.score = Score::sigmoid, .top_k = 2, .groups = 2, .top_groups = 1},
      {.top_k = 2, .capacity_factor = 0.8, .drop = DropPolicy::probs},
      {.top_k = 2, .capacity_factor = 0.8, .drop = DropPolicy::position},
      {.top_k = 2, .capacity_factor = 0.8, .drop = DropPolicy::batch_priority},
      {.choice = RouterChoice::expert_choice, .gate = Gate::raw, .top_k = 2},
      {.choice = RouterChoice::balanced, .top_k = 2},
  };
}

// NaN rows between the tokens, marked as padding: the tokens' results and gradients are the same bits.
static void test_padding_changes_nothing(void**) {
  const at::Tensor rows = at::tensor({0, 2, 3, 6, 7, 8, 10}, at::kLong);
  const at::Tensor dense = leaf(some("z", {7, 4}));
  for (const RouterOptions& options : every_kind()) {
    const at::Tensor padded = leaf(at::full({12, 4}, kNan, at::kDouble).index_copy(0, rows, dense.detach()));
    const at::Tensor valid = at::zeros({12}, at::kBool).index_fill(0, rows, true);
    const Routing want = routed(options, dense), got = routed(options, padded, valid);
    for (const auto& field : {&Routing::logits, &Routing::probabilities, &Routing::chosen, &Routing::weights,
                              &Routing::experts, &Routing::gates}) {
      CHECK((got.*field).index_select(0, rows).equal(want.*field));
    }
    CHECK(got.counts.equal(want.counts) && got.tokens == 7 && got.dropped == want.dropped);
    CHECK(got.probabilities.isfinite().all().item<bool>() && got.gates.isfinite().all().item<bool>());
    if (!want.gates.requires_grad()) continue;
    const at::Tensor grad = torch::autograd::grad({want.gates.square().sum()}, {dense})[0];
    const at::Tensor grad_padded = torch::autograd::grad({got.gates.square().sum()}, {padded})[0];
    CHECK(grad_padded.index_select(0, rows).equal(grad) && grad_padded.isfinite().all().item<bool>());
    CHECK_NEAR(grad_padded.abs().sum().item<double>(), grad.abs().sum().item<double>(), 1e-12);
  }
}

static void test_edges(void**) {
  for (RouterOptions options : every_kind()) {
    for (const int64_t tokens : {0, 1, 3}) {
      const at::Tensor z = leaf(some("z", {tokens, 4}).to(at::kFloat)), padded = at::zeros({tokens}, at::kBool);
      const Routing r = routed(options, z);
      CHECK(r.experts.size(0) == tokens && r.gates.sizes() == r.experts.sizes() &&
            r.probabilities.sizes() == z.sizes());
      CHECK(r.tokens == tokens && r.gates.isfinite().all().item<bool>());
      if (r.gates.requires_grad()) r.gates.sum().backward();
      const Routing none = routed(options, z, padded);
      CHECK(none.tokens == 0 && none.counts.sum().item<int64_t>() == 0 && none.dropped == 0);
      CHECK((none.experts == -1).all().item<bool>() && none.gates.sum().item<double>() == 0);
    }
    options.groups = options.top_groups = 1;
    options.top_k = 1;
    const Routing one = routed(options, some("z", {3, 1}));  // E = 1
    CHECK(list(one.chosen) == std::vector<int64_t>({0, 0, 0}));
    if (options.score == Score::softmax) CHECK_NEAR((one.weights - 1).abs().max().item<double>(), 0, 1e-12);
  }
  const Routing all = routed({.top_k = 4}, some("z", {3, 4}));  // k = E
  CHECK(list(all.counts) == std::vector<int64_t>(4, 3));
  CHECK(distance(all.gates.sum(1), at::ones({3}, at::kDouble)) < 1e-12);
}

static void test_wrong_options(void**) {
  const auto refused = [](const std::string& part, RouterOptions o) {
    o.layer = "decoder.moe";
    CHECK_ERROR(MOE_ERR_CONFIG, "router of decoder.moe: " + part, check_options(o, 6));
  };
  refused("top_k: expected 1 to 6 (the experts), got 7", {.top_k = 7});
  refused("top_k: expected 1 to 6", {.top_k = 0});
  refused("temperature: expected > 0, got 0", {.temperature = 0});
  refused("temperature: expected > 0", {.temperature = kNan});
  refused("logit_noise", {.logit_noise = -1});
  refused("prior_weight", {.prior_weight = -1});
  refused("capacity_factor", {.capacity_factor = -1});
  refused("gate_scale", {.gate_scale = 0});
  refused("groups: expected a divisor of the 6 experts, got 4", {.groups = 4});
  refused("top_groups: expected 1 to 3, got 4", {.groups = 3, .top_groups = 4});
  refused("top_k: expected at most the 2 experts", {.top_k = 3, .groups = 3, .top_groups = 1});
  check_options({}, 6);
}

static void test_wrong_tensors(void**) {
  const auto with = [](auto set) {
    RouterInputs in;
    in.logits = at::zeros({3, 4});
    set(in);
    route({}, in);
  };
  CHECK_ERROR(MOE_ERR_SHAPE, "valid: expected [3], got [4]",
              with([](RouterInputs& in) { in.valid = at::ones({4}, at::kBool); }));
  CHECK_ERROR(MOE_ERR_DTYPE, "valid", with([](RouterInputs& in) { in.valid = at::ones({3}); }));
  CHECK_ERROR(MOE_ERR_SHAPE, "bias: expected [4]", with([](RouterInputs& in) { in.bias = at::ones({3}); }));
  CHECK_ERROR(MOE_ERR_SHAPE, "noise_scale", with([](RouterInputs& in) { in.noise_scale = at::ones({3}); }));
  CHECK_ERROR(MOE_ERR_SHAPE, "log_prior", with([](RouterInputs& in) { in.log_prior = at::ones({2, 3}); }));
  CHECK_ERROR(MOE_ERR_SHAPE, "[tokens, experts]", with([](RouterInputs& in) { in.logits = at::ones({3}); }));
  CHECK_ERROR(MOE_ERR_SHAPE, "got none", with([](RouterInputs& in) { in.logits = at::Tensor(); }));
}

static void test_names(void**) {
  CHECK(parse_router_score("sigmoid") == Score::sigmoid && parse_router_gate("raw") == Gate::raw);
  CHECK(parse_router_choice("expert_choice") == RouterChoice::expert_choice);
  CHECK(parse_drop_policy("batch_priority") == DropPolicy::batch_priority);
  CHECK_ERROR(
      MOE_ERR_CONFIG,
      "router gate: expected one of raw, renormalized, softmax, got \"renormalised\", did you mean \"renormalized\"?",
      parse_router_gate("renormalised"));
  CHECK_ERROR(MOE_ERR_CONFIG, "did you mean \"top_k\"?", parse_router_choice("topk"));
  CHECK_ERROR(MOE_ERR_CONFIG, "router score", parse_router_score(""));
  CHECK_ERROR(MOE_ERR_CONFIG, "drop policy", parse_drop_policy("random"));
}

// --- bias, record ---

static void test_update_bias(void**) {
  at::Tensor bias = at::tensor({0.5f, 0.f, 0.f, 0.f});
  update_bias(bias, {7, 1, 4, 4}, 0.125);  // mean 4
  CHECK(bias.equal(at::tensor({0.375f, 0.125f, 0.f, 0.f})));
  update_bias(bias, {0, 0, 0, 0});
  CHECK(bias.equal(at::tensor({0.375f, 0.125f, 0.f, 0.f})));
  update_bias(bias, {0, 0, 0, 1}, 1);  // mean 1/4: no rounding
  CHECK(bias.equal(at::tensor({1.375f, 1.125f, 1.f, -1.f})));
  at::Tensor exact = at::zeros({2}, at::kDouble);
  update_bias(exact, {0, 3}, 0.1);
  CHECK(exact.equal(at::tensor({0.1, -0.1}, at::kDouble)));
}

// Repeated updates spread the choices of a router that prefers one expert.
static void test_bias_balances(void**) {
  RouterInputs in;
  in.logits = some("z", {400, 8}) + at::tensor({2., 1., 0., 0., 0., 0., 0., -1.});
  in.bias = at::zeros({8});
  const RouterOptions options{.score = Score::sigmoid, .top_k = 2};
  CHECK(route(options, in).counts.max().item<int64_t>() > 200);
  for (int step = 0; step < 500; ++step) update_bias(in.bias, list(route(options, in).counts), 2e-3);
  CHECK((route(options, in).counts - 100).abs().max().item<int64_t>() <= 8);
}

static void test_record(void**) {
  const at::Tensor z = some("z", {20, 4}), valid = at::arange(20) < 15;
  const Routing r = routed({.top_k = 2, .capacity_factor = 0.8}, z, valid);
  RoutingStats stats("l", "top_k", "token", {"a", "b", "c", "d"}, 2, 0);
  stats.record(routing_record(r));
  stats.commit();
  const RoutingCounts& counts = stats.window(MOE_WINDOW_LAST_STEP);
  CHECK(counts.tokens == 15 && counts.assigned == list(r.counts));
  int64_t dropped = 0;
  for (const int64_t d : counts.dropped) dropped += d;
  CHECK(dropped == r.dropped && dropped > 0);
  double gates = 0;
  for (const double sum : counts.gate_sum) gates += sum;
  CHECK_NEAR(gates, 15, 1e-5);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_softmax_by_hand),
      cmocka_unit_test(test_gradient_of_raw_softmax),
      cmocka_unit_test(test_gradient_of_renormalized_softmax),
      cmocka_unit_test(test_sigmoid_with_bias),
      cmocka_unit_test(test_other_scores),
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_one_expert_a_token),
      cmocka_unit_test(test_ties),
      cmocka_unit_test(test_top_k_indices),
      cmocka_unit_test(test_not_finite),
      cmocka_unit_test(test_groups),
      cmocka_unit_test(test_expert_choice),
      cmocka_unit_test(test_hash),
      cmocka_unit_test(test_balanced),
      cmocka_unit_test(test_temperature_and_prior),
      cmocka_unit_test(test_noise),
      cmocka_unit_test(test_precision),
      cmocka_unit_test(test_capacity),
      cmocka_unit_test(test_who_is_served),
      cmocka_unit_test(test_padding_changes_nothing),
      cmocka_unit_test(test_edges),
      cmocka_unit_test(test_wrong_options),
      cmocka_unit_test(test_wrong_tensors),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_update_bias),
      cmocka_unit_test(test_bias_balances),
      cmocka_unit_test(test_record),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
