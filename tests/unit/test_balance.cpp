// Balance losses: their values at balance and at collapse, closed-form gradients, finite differences, and what holds
// for all of them: repeated batches, padding and micro-batches change nothing, zero tokens give 0.
#include "moe/balance.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "support/finite_difference.h"
#include "support/hash_fill.h"
#include "support/test.h"

using namespace moe;

namespace {

constexpr double kThreshold = 1.7;  // of LIMoE: above H(P) of the routings below, so that the loss is active

struct Loss {
  const char* name;
  std::function<at::Tensor(const Routing&, const at::Tensor& labels, const RoutingTotals&)> of;
};

// Labels serve as classes and as target experts.
std::vector<Loss> losses() {
  using R = const Routing&;
  using L = const at::Tensor&;
  using W = const RoutingTotals&;
  return {
      {"switch", [](R r, L, W w) { return switch_loss(r, w); }},
      {"gshard", [](R r, L, W w) { return gshard_loss(r, w); }},
      {"importance", [](R r, L, W w) { return importance_loss(r, w); }},
      {"load", [](R r, L, W w) { return load_loss(r, w); }},
      {"z", [](R r, L, W w) { return z_loss(r, w); }},
      {"token entropy", [](R r, L, W w) { return token_entropy_loss(r, w); }},
      {"marginal entropy", [](R r, L, W w) { return marginal_entropy_loss(r, w); }},
      {"mutual information", [](R r, L, W w) { return mutual_information_loss(r, w); }},
      {"limoe", [](R r, L, W w) { return limoe_loss(r, kThreshold, w); }},
      {"class mutual information", [](R r, L l, W w) { return class_mutual_information_loss(r, l, 3, w); }},
      {"class routing", [](R r, L l, W w) { return class_routing_loss(r, l, w); }},
  };
}

at::Tensor leaf(const at::Tensor& x) {
  return x.detach().contiguous().clone().requires_grad_();
}

at::Tensor some(const std::string& name, at::IntArrayRef shape) {
  return hash_fill::uniform(name, shape) * 4 - 2;
}

double value(const at::Tensor& x) {
  return x.item<double>();
}

// p [T, E] float64, chosen [T, k]: gates 1 / k
Routing by_hand(const at::Tensor& p, const at::Tensor& chosen) {
  Routing r;
  r.probabilities = p;
  r.logits = p.clamp_min(1e-30).log();
  r.chosen = r.experts = chosen;
  r.weights = r.gates = at::full(chosen.sizes(), 1.0 / static_cast<double>(chosen.size(1)), at::kDouble);
  r.counts = at::bincount(chosen.flatten(), {}, p.size(1));
  r.tokens = p.size(0);
  return r;
}

// E tokens, every expert chosen k times, p uniform
Routing balanced(int64_t experts, int64_t k) {
  const at::Tensor chosen = (at::arange(experts).unsqueeze(1) * k + at::arange(k)).remainder(experts);
  return by_hand(at::full({experts, experts}, 1.0 / static_cast<double>(experts), at::kDouble), chosen);
}

// E tokens, all with the first k experts, p even on these
Routing collapsed(int64_t experts, int64_t k) {
  at::Tensor p = at::zeros({experts, experts}, at::kDouble);
  p.narrow(1, 0, k).fill_(1.0 / static_cast<double>(k));
  return by_hand(p, at::arange(k).expand({experts, k}).contiguous());
}

// Token t is sure of expert t.
Routing decided(int64_t experts) {
  return by_hand(at::eye(experts, at::kDouble), at::arange(experts).unsqueeze(1));
}

// Leaves and a routing with noise, so that every loss has something to do. 12 tokens, 5 experts.
struct Case {
  at::Tensor logits = leaf(some("z", {12, 5}) + at::tensor({1., 0.5, 0., 0., -0.5}));
  at::Tensor noise_scale = leaf(hash_fill::uniform("sigma", {12, 5}) + 0.3);
  at::Tensor labels = at::tensor({0, 1, 2, 0, -1, 1, 1, 2, 0, 2, -1, 0}, at::kLong);
  at::Tensor valid;
  RouterGate gate = RouterGate::raw;

  Routing routing() const {
    RouterInputs in;
    in.logits = logits;
    in.valid = valid;
    in.noise_scale = noise_scale;
    in.noise = Rng(1, "noise");
    return route({.gate = gate, .top_k = 2, .temperature = 0.8}, in);
  }
};

at::Tensor rows_of(const at::Tensor& x, const at::Tensor& rows) {
  return x.defined() ? x.index_select(0, rows) : x;
}

// The same routing seen by these tokens alone, in this order; repeats allowed. All valid.
Routing select_rows(const Routing& all, const at::Tensor& rows) {
  Routing r;
  for (const auto& field :
       {&Routing::logits, &Routing::probabilities, &Routing::chosen, &Routing::weights, &Routing::experts,
        &Routing::gates, &Routing::clean, &Routing::noisy, &Routing::noise_scale}) {
    r.*field = rows_of(all.*field, rows);
  }
  r.counts = at::bincount(r.chosen.flatten(), {}, all.counts.size(0));
  r.tokens = rows.size(0);
  return r;
}

at::Tensor gradient(const at::Tensor& loss, const at::Tensor& leaf) {
  const at::Tensor grad = torch::autograd::grad({loss}, {leaf}, {}, /*retain_graph=*/true, false, true)[0];
  return grad.defined() ? grad : at::zeros_like(leaf);
}

void check_close(const char* name, const at::Tensor& got, const at::Tensor& want, double tolerance = 1e-12) {
  const double error = value((got - want).abs().max());
  if (!(error <= tolerance)) std::fprintf(stderr, "%s:\n", name);
  CHECK_NEAR(error, 0, tolerance);
}

}  // namespace

// --- the table of constants ---

static void test_at_balance(void**) {
  for (const int64_t experts : {2, 3, 8, 64}) {
    for (int64_t k = 1; k <= experts; k = k < 4 ? k + 1 : 2 * k) {
      const Routing r = balanced(experts, k);
      CHECK_NEAR(value(switch_loss(r)), 1, 1e-12);
      CHECK_NEAR(value(gshard_loss(r)), 1, 1e-12);
      CHECK_NEAR(value(importance_loss(r)), 0, 1e-12);
      CHECK_NEAR(value(token_entropy_loss(r)), std::log(experts), 1e-12);
      CHECK_NEAR(value(marginal_entropy_loss(r)), -std::log(experts), 1e-12);
      CHECK_NEAR(value(mutual_information_loss(r)), 0, 1e-12);
      CHECK_NEAR(value(limoe_loss(r, std::log(experts) - 0.1)), 0, 1e-12);
    }
  }
}

static void test_at_collapse(void**) {
  for (const int64_t experts : {2, 3, 8, 64}) {
    for (int64_t k = 1; k <= experts; k = k < 4 ? k + 1 : 2 * k) {
      const Routing r = collapsed(experts, k);
      const double ratio = static_cast<double>(experts) / static_cast<double>(k), ln_k = std::log(k);
      CHECK_NEAR(value(switch_loss(r)), ratio, 1e-12);
      CHECK_NEAR(value(gshard_loss(r)), ratio, 1e-12);
      CHECK_NEAR(value(importance_loss(r)), ratio - 1, 1e-12);
      CHECK_NEAR(value(token_entropy_loss(r)), ln_k, 1e-12);
      CHECK_NEAR(value(marginal_entropy_loss(r)), -ln_k, 1e-12);
      CHECK_NEAR(value(mutual_information_loss(r)), 0, 1e-12);
      CHECK_NEAR(value(limoe_loss(r, ln_k + 0.5)), 0.5, 1e-12);
      CHECK_NEAR(value(class_routing_loss(r, at::full({experts}, k - 1, at::kLong))), ln_k, 1e-12);
      const at::Tensor labels = at::arange(experts).remainder(2);
      CHECK_NEAR(value(class_mutual_information_loss(r, labels, 2)), 0, 1e-12);
    }
  }
}

static void test_decided(void**) {
  for (const int64_t experts : {1, 2, 5, 16}) {
    const Routing r = decided(experts);
    const at::Tensor own = at::arange(experts);
    CHECK_NEAR(value(switch_loss(r)), 1, 1e-12);
    CHECK_NEAR(value(token_entropy_loss(r)), 0, 1e-12);
    CHECK_NEAR(value(mutual_information_loss(r)), -std::log(experts), 1e-12);
    CHECK_NEAR(value(class_mutual_information_loss(r, own, experts)), -std::log(experts), 1e-12);
    CHECK_NEAR(value(class_routing_loss(r, own)), 0, 1e-12);
  }
  // Two classes of unequal size, each with its own experts: H(class) is the smaller one.
  const at::Tensor labels = at::tensor({0, 0, 0, 1}, at::kLong);
  const double entropy = -(0.75 * std::log(0.75) + 0.25 * std::log(0.25));
  CHECK_NEAR(value(class_mutual_information_loss(decided(4), labels, 2)), -entropy, 1e-12);
  CHECK_NEAR(value(class_routing_loss(balanced(4, 1), labels)), std::log(4), 1e-12);
}

static void test_z_values(void**) {
  Routing r = balanced(8, 2);
  r.logits = at::zeros({8, 8}, at::kDouble);
  CHECK_NEAR(value(z_loss(r)), std::log(8) * std::log(8), 1e-12);
  r.logits = r.logits - std::log(8);
  CHECK_NEAR(value(z_loss(r)), 0, 1e-12);
  r.logits = 50 * at::eye(8, at::kDouble);
  CHECK_NEAR(value(z_loss(r)), 2500, 1e-9);
}

// f and P disagree: below 1, so that 1 is no bound.
static void test_switch_below_one(void**) {
  const at::Tensor p = at::tensor({0.4, 0.6}, at::kDouble).expand({3, 2});
  CHECK_NEAR(value(switch_loss(by_hand(p, at::zeros({3, 1}, at::kLong)))), 0.8, 1e-12);
}

// --- load ---

static double plain_chance(const Routing& r, int64_t t, int64_t e, int64_t k) {
  std::vector<double> others;
  for (int64_t i = 0; i < r.noisy.size(1); ++i) {
    if (i != e) others.push_back(r.noisy[t][i].item<double>());
  }
  std::sort(others.rbegin(), others.rend());
  const double u = (r.clean[t][e].item<double>() - others[k - 1]) / r.noise_scale[t][e].item<double>();
  return 0.5 * std::erfc(-u / std::sqrt(2.0));
}

static void test_load_by_loops(void**) {
  const Routing r = Case().routing();
  const at::Tensor load = routing_totals(r).load;
  double sum = 0, squares = 0;
  for (int64_t e = 0; e < 5; ++e) {
    double want = 0;
    for (int64_t t = 0; t < 12; ++t) want += plain_chance(r, t, e, 2);
    CHECK_NEAR(load[e].item<double>(), want, 1e-12);
    sum += want;
    squares += want * want;
  }
  CHECK_NEAR(value(load_loss(r)), squares / 5 / (sum * sum / 25) - 1, 1e-12);
}

static void test_load_values(void**) {
  const auto load_of = [](const at::Tensor& logits, int64_t k) {
    RouterInputs in;
    in.logits = logits;
    in.noise = Rng(1, "noise");
    return value(load_loss(route({.gate = RouterGate::raw, .top_k = k, .logit_noise = 0.01}, in)));
  };
  const at::Tensor sure = at::eye(6, at::kDouble);
  CHECK_NEAR(load_of(sure, 1), 0, 1e-12);
  CHECK_NEAR(load_of(sure, 6), 0, 1e-12);                                 // k = E
  CHECK_NEAR(load_of(sure.narrow(0, 2, 1).expand({6, 6}), 1), 5, 1e-12);  // E / k - 1
  CHECK_NEAR(load_of((sure[0] + sure[1]).expand({6, 6}), 2), 2, 1e-12);
  Routing quiet = balanced(4, 2);  // evaluation: no noise, no 0 / 0
  CHECK(value(load_loss(quiet)) == 0 && !routing_totals(quiet).load.defined());
}

// --- gradients ---

// (E / T) p_j (f_j - sum p f): a crowded expert's logit is pushed down, each row sums to 0
static void test_switch_gradient(void**) {
  const at::Tensor z = leaf(some("z", {9, 4}) + at::tensor({2., 0., 0., 0.}));
  RouterInputs in;
  in.logits = z;
  const Routing r = route({.top_k = 2}, in);
  const at::Tensor p = at::softmax(z.detach(), 1), f = r.counts.to(at::kDouble) / 18;
  const at::Tensor want = 4.0 / 9 * p * (f - (p * f).sum(1, true)), got = gradient(switch_loss(r), z);
  check_close("switch", got, want);
  CHECK(r.counts[0].item<int64_t>() == r.counts.max().item<int64_t>());
  CHECK((got.select(1, 0) > 0).all().item<bool>());
  check_close("rows", got.sum(1), at::zeros({9}, at::kDouble));
}

static void test_z_gradient(void**) {
  const Case c;
  const Routing r = c.routing();
  const at::Tensor z = c.logits.detach(), lse = at::logsumexp(z, 1, true);
  check_close("z", gradient(z_loss(r), c.logits), 2 * lse * at::softmax(z, 1) / 12);
}

static void test_finite_differences(void**) {
  Case c;
  c.valid = at::arange(12) != 4;
  for (const RouterGate gate : {RouterGate::raw, RouterGate::renormalized}) {
    c.gate = gate;
    for (const Loss& loss : losses()) {
      const auto scalar = [&] { return loss.of(c.routing(), c.labels, {}); };
      CHECK(value(gradient(scalar(), c.logits).abs().sum()) > 1e-4);  // active
      check_close(loss.name, at::scalar_tensor(gradient_error(scalar, {c.logits, c.noise_scale})), at::zeros({}), 1e-7);
    }
  }
}

// Probabilities that underflowed to 0 in float32 leave values and gradients finite.
static void test_underflow(void**) {
  const at::Tensor z = leaf(at::tensor({200.f, 0.f, -200.f, -300.f, 300.f, 0.f}).view({2, 3}));
  RouterInputs in;
  in.logits = z;
  const Routing r = route({.top_k = 2}, in);
  CHECK(r.probabilities.min().item<double>() == 0);
  for (const Loss& loss : losses()) {
    const at::Tensor got = loss.of(r, at::tensor({0, 1}, at::kLong), {});
    CHECK(std::isfinite(value(got)));
    if (got.requires_grad()) CHECK(gradient(got, z).isfinite().all().item<bool>());
  }
}

// --- what holds for every loss ---

static void test_repeated_batch(void**) {
  const Case c;
  const Routing r = c.routing();
  const at::Tensor rows = at::arange(12).repeat({3}), labels = c.labels.index_select(0, rows);
  for (const Loss& loss : losses()) {
    const at::Tensor once = loss.of(r, c.labels, {}), thrice = loss.of(select_rows(r, rows), labels, {});
    check_close(loss.name, thrice, once);
    check_close(loss.name, gradient(thrice, c.logits), gradient(once, c.logits));
  }
}

static void test_padding(void**) {
  Case c;
  const at::Tensor rows = at::tensor({0, 1, 2, 5, 7, 8, 9, 11}, at::kLong);
  c.valid = at::zeros({12}, at::kBool).index_fill(0, rows, true);
  c.logits = leaf(c.logits.masked_fill(c.valid.logical_not().unsqueeze(1), std::numeric_limits<double>::quiet_NaN()));
  const Routing padded = c.routing(), dense = select_rows(padded, rows);
  for (const Loss& loss : losses()) {
    const at::Tensor got = loss.of(padded, c.labels, {}), want = loss.of(dense, c.labels.index_select(0, rows), {});
    check_close(loss.name, got, want);
    const at::Tensor grad = gradient(got, c.logits);
    check_close(loss.name, grad, gradient(want, c.logits));
    CHECK(grad.masked_select(c.valid.logical_not().unsqueeze(1)).eq(0).all().item<bool>());
  }
}

static void test_zero_tokens(void**) {
  Case c;
  c.valid = at::zeros({12}, at::kBool);
  const Routing padded = c.routing();
  const Routing empty = select_rows(padded, at::empty({0}, at::kLong));
  for (const Loss& loss : losses()) {
    const at::Tensor got = loss.of(padded, c.labels, {});
    CHECK(value(got) == 0 && gradient(got, c.logits).eq(0).all().item<bool>());
    CHECK(value(loss.of(empty, at::empty({0}, at::kLong), {})) == 0);
  }
}

// Micro-batches of 5, 0, 1 and 6 tokens with the window's totals: values and gradients add up to the large batch's.
static void test_accumulation(void**) {
  const Case c;
  const Routing all = c.routing();
  std::vector<Routing> parts;
  std::vector<at::Tensor> labels;
  RoutingTotals window;
  for (const auto& [begin, size] : std::vector<std::pair<int64_t, int64_t>>{{0, 5}, {5, 0}, {5, 1}, {6, 6}}) {
    parts.push_back(select_rows(all, at::arange(begin, begin + size)));
    labels.push_back(c.labels.narrow(0, begin, size));
    window += routing_totals(parts.back(), labels.back(), 3);
  }
  CHECK(window.tokens == 12 && window.labelled == 10 && window.counts.equal(all.counts));
  for (const Loss& loss : losses()) {
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (size_t i = 0; i < parts.size(); ++i) sum = sum + loss.of(parts[i], labels[i], window);
    const at::Tensor want = loss.of(all, c.labels, {});
    check_close(loss.name, sum, want);
    check_close(loss.name, gradient(sum, c.logits), gradient(want, c.logits));
    check_close(loss.name, gradient(sum, c.noise_scale), gradient(want, c.noise_scale));
  }
}

// A drop by capacity hides no imbalance: the losses see the choices.
static void test_drop_hides_nothing(void**) {
  RouterInputs in;
  in.logits = some("z", {12, 5}) + at::tensor({3., 0., 0., 0., 0.});
  const Routing free = route({.top_k = 2}, in), full = route({.top_k = 2, .capacity_factor = 0.5}, in);
  CHECK(full.dropped > 0);
  CHECK(value(switch_loss(free)) == value(switch_loss(full)));
  CHECK(value(importance_loss(free)) == value(importance_loss(full)));
}

static void test_class_losses_by_loops(void**) {
  const Case c;
  const Routing r = c.routing();
  double joint[3][5] = {}, of_class[3] = {}, of_expert[5] = {}, cross = 0;
  for (int64_t t = 0; t < 12; ++t) {
    const int64_t y = c.labels[t].item<int64_t>();
    if (y < 0) continue;
    const at::Tensor p = r.probabilities[t], q = at::softmax(c.logits[t], 0);
    for (int64_t e = 0; e < 5; ++e) joint[y][e] += p[e].item<double>() / 10;
    cross -= std::log(q[y].item<double>()) / 10;
  }
  double information = 0;
  for (int y = 0; y < 3; ++y) {
    for (int e = 0; e < 5; ++e) of_class[y] += joint[y][e], of_expert[e] += joint[y][e];
  }
  for (int y = 0; y < 3; ++y) {
    for (int e = 0; e < 5; ++e) information += joint[y][e] * std::log(joint[y][e] / of_class[y] / of_expert[e]);
  }
  CHECK_NEAR(value(class_mutual_information_loss(r, c.labels, 3)), -information, 1e-12);
  CHECK_NEAR(value(class_routing_loss(r, c.labels)), cross, 1e-12);
}

static void test_wrong_labels(void**) {
  const Routing r = balanced(4, 2);
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "targets: expected less than 4, got 4",
              class_routing_loss(r, at::full({4}, 4, at::kLong)));
  CHECK_ERROR(MOE_ERR_SHAPE, "labels: expected int64 [4], got Long [3]",
              class_mutual_information_loss(r, at::zeros({3}, at::kLong), 2));
  CHECK_ERROR(MOE_ERR_SHAPE, "got Float", class_mutual_information_loss(r, at::zeros({4}), 2));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_at_balance),
      cmocka_unit_test(test_at_collapse),
      cmocka_unit_test(test_decided),
      cmocka_unit_test(test_z_values),
      cmocka_unit_test(test_switch_below_one),
      cmocka_unit_test(test_load_by_loops),
      cmocka_unit_test(test_load_values),
      cmocka_unit_test(test_switch_gradient),
      cmocka_unit_test(test_z_gradient),
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_underflow),
      cmocka_unit_test(test_repeated_batch),
      cmocka_unit_test(test_padding),
      cmocka_unit_test(test_zero_tokens),
      cmocka_unit_test(test_accumulation),
      cmocka_unit_test(test_drop_hides_nothing),
      cmocka_unit_test(test_class_losses_by_loops),
      cmocka_unit_test(test_wrong_labels),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
