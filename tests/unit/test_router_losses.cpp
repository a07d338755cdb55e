// Weighted router losses: each key is its loss and no other, micro-batches with the window's totals add up to one large
// batch, without them each counts for its share of the tokens; two ranks with summed totals are one rank.
#include "moe/router_losses.h"

#include <ATen/ATen.h>
#include <torch/torch.h>

#include <cmath>

#include "nn/moe_ffn.h"
#include "support/test.h"
#include "tensor/random.h"

using namespace moe;

static constexpr int64_t kExperts = 5, kClasses = 3;

static RouterLossWeights all_weights() {
  RouterLossWeights w;
  w.balance = 1, w.gshard = 2, w.importance = 3, w.load = 4, w.router_z = 5, w.token_entropy = 6;
  w.marginal_entropy = 7, w.mutual_information = 8, w.limoe = 9, w.class_mutual_information = 10, w.class_guided = 11;
  return w;
}

struct Micro {
  at::Tensor logits, noise, valid, labels;
};

static Micro tokens(int64_t count, uint64_t seed = 1) {
  const Rng rng(seed, "tokens");
  const at::Tensor shift = at::tensor({1., 0.5, 0., 0., -0.5}, at::kDouble);
  return {normal_tensor(rng.child("logits"), {count, kExperts}).to(at::kDouble) + shift,
          uniform_tensor(rng.child("scale"), {count, kExperts}).to(at::kDouble) + 0.1,
          uniform_tensor(rng.child("valid"), {count}) < 0.9, at::arange(count) % (kClasses + 1) - 1};
}

static Micro rows(const Micro& all, int64_t begin, int64_t end) {
  const auto cut = [&](const at::Tensor& x) { return x.slice(0, begin, end); };
  return {cut(all.logits), cut(all.noise), cut(all.valid), cut(all.labels)};
}

// The noise of a micro-batch is drawn by row: fixed here, so that a cut batch has that of its rows.
static Routing routed(const Micro& m, const at::Tensor& logits) {
  RouterInputs in;
  in.logits = logits;
  in.valid = m.valid;
  Routing out = route({}, in);
  out.noise_scale = m.noise;
  out.noisy = out.clean + m.noise * (m.noise - 0.6);
  return out;
}

static RoutedTokens with_classes(const Micro& m) {
  RoutedTokens out;
  out.labels = m.labels;
  out.classes = kClasses;
  out.targets = m.labels;
  return out;
}

static std::map<std::string, double> values(const std::vector<std::pair<std::string, at::Tensor>>& losses) {
  std::map<std::string, double> out;
  for (const auto& [name, value] : losses) out[name] += value.item<double>();
  return out;
}

static void test_each_key_is_its_loss(void**) {
  const Micro m = tokens(60);
  const Routing r = routed(m, m.logits);
  const std::map<std::string, double> got = values(router_losses(all_weights(), r, with_classes(m)));
  const std::map<std::string, at::Tensor> wanted = {
      {"balance", switch_loss(r)},
      {"gshard", 2 * gshard_loss(r)},
      {"importance", 3 * importance_loss(r)},
      {"load", 4 * load_loss(r)},
      {"router_z", 5 * z_loss(r)},
      {"token_entropy", 6 * token_entropy_loss(r)},
      {"marginal_entropy", 7 * marginal_entropy_loss(r)},
      {"mutual_information", 8 * mutual_information_loss(r)},
      {"limoe", 9 * limoe_loss(r, std::log(5.0))},
      {"class_mutual_information", 10 * class_mutual_information_loss(r, m.labels, kClasses)},
      {"class_guided", 11 * class_routing_loss(r, m.labels)}};
  CHECK(got.size() == wanted.size());
  for (const auto& [name, value] : wanted) CHECK_NEAR(got.at(name), value.item<double>(), 1e-12);
  RouterLossWeights few = all_weights();
  few.limoe_experts = 2;
  few.balance = 0;
  const auto other = values(router_losses(few, r, {}));
  CHECK(other.size() == wanted.size() - 3 && !other.contains("balance") && !other.contains("class_guided"));
  CHECK_NEAR(other.at("limoe"), (9 * limoe_loss(r, std::log(2.0))).item<double>(), 1e-12);
}

// Values and gradients of uneven micro-batches, one without a valid token, against those of the whole.
static void test_window_is_exact(void**) {
  Micro whole = tokens(60);
  whole.valid.slice(0, 40, 45).fill_(false);
  const std::vector<std::pair<int64_t, int64_t>> cuts = {{0, 7}, {7, 40}, {40, 45}, {45, 60}};
  at::Tensor z = whole.logits.clone().requires_grad_(), parts = whole.logits.clone().requires_grad_();
  at::Tensor sum = at::zeros({}, at::kDouble);
  const auto one = router_losses(all_weights(), routed(whole, z), with_classes(whole));
  for (const auto& [name, value] : one) sum = sum + value;
  sum.backward();
  RoutingTotals window;
  for (const auto& [begin, end] : cuts) {
    const Micro m = rows(whole, begin, end);
    window += routing_totals(routed(m, m.logits), m.labels, kClasses);
  }
  CHECK(window.tokens == whole.valid.sum().item<int64_t>());
  std::map<std::string, double> added;
  for (const auto& [begin, end] : cuts) {
    const Micro m = rows(whole, begin, end);
    RoutedTokens own = with_classes(m);
    own.window = window;
    at::Tensor total = at::zeros({}, at::kDouble);
    for (const auto& [name, value] : router_losses(all_weights(), routed(m, parts.slice(0, begin, end)), own)) {
      added[name] += value.item<double>();
      total = total + value;
    }
    total.backward();
  }
  for (const auto& [name, value] : values(one)) CHECK_NEAR(added.at(name), value, 1e-10);
  CHECK((parts.grad() - z.grad()).abs().max().item<double>() < 1e-10);
}

// Without totals each micro-batch is balanced for itself; sums over tokens are still those of the window.
static void test_micro_batches_count_by_their_tokens(void**) {
  const Micro whole = tokens(60);
  const auto one = values(router_losses(all_weights(), routed(whole, whole.logits), with_classes(whole)));
  std::map<std::string, double> added;
  double balance = 0;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 10}, {10, 60}}) {
    const Micro m = rows(whole, begin, end);
    const Routing r = routed(m, m.logits);
    RoutedTokens own = with_classes(m);
    own.window.tokens = whole.valid.sum().item<int64_t>();
    for (const auto& [name, value] : values(router_losses(all_weights(), r, own))) added[name] += value;
    balance += switch_loss(r).item<double>() * static_cast<double>(r.tokens) / static_cast<double>(own.window.tokens);
  }
  CHECK_NEAR(added.at("router_z"), one.at("router_z"), 1e-12);
  CHECK_NEAR(added.at("token_entropy"), one.at("token_entropy"), 1e-12);
  CHECK_NEAR(added.at("balance"), balance, 1e-12);
  CHECK(std::abs(added.at("balance") - one.at("balance")) > 1e-3);
}

static std::shared_ptr<nn::MoeFfn> replica() {
  nn::MoeFfnOptions options;
  options.dim = 6;
  options.ffn = 8;
  options.experts = kExperts;
  const auto layer = std::make_shared<nn::MoeFfn>(options);
  nn::init_parameters(*layer, 3, "layer");
  layer->to(at::kDouble);
  return layer;
}

// The task loss is a sum over tokens divided by the 50 tokens of all ranks, as sessions do with their normalizers.
static void add_gradients(nn::MoeFfn& layer, const at::Tensor& x, const RoutingTotals& window, int64_t ranks) {
  const nn::MoeFfn::Output out = layer.forward(x, {});
  at::Tensor loss = out.y.square().sum() / 50.0;
  RouterLossWeights weights = all_weights();
  weights.load = weights.class_mutual_information = weights.class_guided = 0;
  RoutedTokens tokens;
  tokens.window = window;
  for (const auto& [name, value] : router_losses(weights, out.routing, tokens)) loss = loss + value;
  (loss * static_cast<double>(ranks)).backward();
}

// Each rank has a copy of the layer and a part of the tokens; ranks exchange totals before, and gradients after, which
// are averaged. A loss that is a part of a sum is therefore multiplied by the number of ranks.
static void test_two_ranks_are_one(void**) {
  const at::Tensor x = normal_tensor(Rng(5, "x"), {50, 6}).to(at::kDouble);
  const std::vector<at::Tensor> shares = {x.slice(0, 0, 18), x.slice(0, 18)};
  const auto alone = replica();
  add_gradients(*alone, x, {}, 1);
  const std::vector<std::shared_ptr<nn::MoeFfn>> ranks = {replica(), replica()};
  RoutingTotals window;
  for (size_t r = 0; r < 2; ++r) window += routing_totals(ranks[r]->forward(shares[r], {}).routing);
  for (size_t r = 0; r < 2; ++r) add_gradients(*ranks[r], shares[r], window, 2);
  for (const auto& item : alone->named_parameters()) {
    at::Tensor average = at::zeros_like(item.value());
    for (const auto& rank : ranks) average += rank->named_parameters()[item.key()].grad() / 2;
    CHECK((average - item.value().grad()).abs().max().item<double>() < 1e-10);
    CHECK(item.value().grad().abs().max().item<double>() > 0);
  }
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_each_key_is_its_loss),
      cmocka_unit_test(test_window_is_exact),
      cmocka_unit_test(test_micro_batches_count_by_their_tokens),
      cmocka_unit_test(test_two_ranks_are_one),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
