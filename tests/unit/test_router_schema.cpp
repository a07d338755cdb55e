// Settings of routers and of their losses: defaults, every choice, errors at the key, class priors.
#include "moe/router_schema.h"

#include <ATen/ATen.h>

#include "moe/router_losses.h"
#include "support/test.h"

using namespace moe;

static Schema lookup(const std::string&) {
  using enum KeyType;
  Schema all = {{"task", text, "", "", "Name."}};
  for (const Schema& part : {router_keys("Experts of a token.", ""), class_prior_keys(""),
                             router_loss_keys("summed over the routers", "0.01")}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

using Settings = std::vector<std::pair<std::string, std::string>>;

static Config config_with(const Settings& settings) {
  Config out = Config::parse("task: test\n", "test.yml", lookup);
  for (const auto& [key, value] : settings) out.set(key, value);
  return out;
}

static RouterSettings read(const Settings& settings, int64_t experts = 8) {
  return read_router(config_with(settings), experts);
}

static void test_defaults(void**) {
  const RouterSettings r = read({});
  CHECK(r.top_k == 2 && r.logits == RouterLogits::linear && r.score == RouterScore::softmax);
  CHECK(r.choice == RouterChoice::top_k && r.gate == RouterGate::renormalized && r.drop == DropPolicy::probs);
  CHECK(r.temperature == 1 && r.logit_noise == 0 && r.jitter == 0 && r.gate_scale == 1 && r.capacity_factor == 0);
  CHECK(r.groups == 1 && r.top_groups == 1 && r.bias_rate == 0 && !r.log_prior.defined());
}

static void test_every_setting(void**) {
  const RouterSettings r = read({{"model.experts.logits", "cosine"},
                                 {"model.experts.score", "sigmoid"},
                                 {"model.experts.gate", "raw"},
                                 {"model.experts.top_k", "3"},
                                 {"model.experts.temperature", "0.5"},
                                 {"model.experts.noise", "0.25"},
                                 {"model.experts.jitter", "0.01"},
                                 {"model.experts.router_groups", "4"},
                                 {"model.experts.top_groups", "2"},
                                 {"model.experts.gate_scale", "2.5"},
                                 {"model.experts.capacity", "1.25"},
                                 {"model.experts.drop", "batch_priority"},
                                 {"model.experts.bias_rate", "1e-3"}});
  CHECK(r.logits == RouterLogits::cosine && r.score == RouterScore::sigmoid && r.gate == RouterGate::raw);
  CHECK(r.top_k == 3 && r.temperature == 0.5 && r.logit_noise == 0.25 && r.jitter == 0.01 && r.bias_rate == 1e-3);
  CHECK(r.groups == 4 && r.top_groups == 2 && r.gate_scale == 2.5 && r.capacity_factor == 1.25);
  CHECK(r.drop == DropPolicy::batch_priority);
  CHECK(read({{"model.experts.logits", "noisy"}}).logits == RouterLogits::noisy);
  CHECK(read({{"model.experts.choice", "hash"}}).choice == RouterChoice::hash);
}

static void test_errors_stand_at_the_key(void**) {
  const auto refused = [](const char* part, const Settings& settings) {
    CHECK_ERROR(MOE_ERR_CONFIG, part, read(settings));
  };
  refused("model.experts.top_k: expected 1 to 8 (the experts), got 9", {{"model.experts.top_k", "9"}});
  refused("model.experts.gate: expected raw with top_k 1", {{"model.experts.top_k", "1"}});
  refused("model.experts.gate: expected raw with expert_choice", {{"model.experts.choice", "expert_choice"}});
  refused("model.experts.capacity: expected 0 with expert_choice",
          {{"model.experts.choice", "expert_choice"}, {"model.experts.gate", "raw"}, {"model.experts.capacity", "1"}});
  refused("model.experts.router_groups: expected a divisor of the 8 experts, got 3",
          {{"model.experts.router_groups", "3"}});
  refused("model.experts.top_groups: expected 1 to 2, got 3",
          {{"model.experts.router_groups", "2"}, {"model.experts.top_groups", "3"}});
  refused("model.experts.bias_rate: expected 0 with model.experts.choice = balanced, got 0.1",
          {{"model.experts.choice", "balanced"}, {"model.experts.bias_rate", "0.1"}});
  CHECK_ERROR(MOE_ERR_CONFIG, "model.experts.score", config_with({{"model.experts.score", "softmx"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "model.experts.jitter", config_with({{"model.experts.jitter", "1"}}));
}

static void test_class_prior(void**) {
  const std::vector<std::string> classes = {"cat", "dog", "cow"};
  const auto prior = [&](const Settings& settings) { return read_class_prior(config_with(settings), classes, 4); };
  CHECK(!prior({}).defined());
  const at::Tensor rows = prior({{"model.experts.prior.dog", "[3, 1, 0, 0]"}}).exp();
  CHECK(at::allclose(rows[0], at::full({4}, 0.25)) && at::allclose(rows[2], at::full({4}, 0.25)));
  CHECK(at::allclose(rows[1], at::tensor({0.75, 0.25, 0., 0.}, at::kFloat), 0, 2e-6));
  CHECK(rows.log().isfinite().all().item<bool>());
  CHECK_ERROR(MOE_ERR_CONFIG, "did you mean \"dog\"", prior({{"model.experts.prior.dgo", "[1, 1, 1, 1]"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "model.experts.prior.dog: expected a number for each of the 4 experts, got 3",
              prior({{"model.experts.prior.dog", "[1, 1, 1]"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected a number above 0", prior({{"model.experts.prior.dog", "[0, 0, 0, 0]"}}));
}

static void test_losses(void**) {
  const auto losses = [](const Settings& settings, const Settings& router = {}) {
    Settings all = settings;
    all.insert(all.end(), router.begin(), router.end());
    const Config config = config_with(all);
    return read_router_losses(config, read_router(config, 8));
  };
  const RouterLossWeights plain = losses({});
  CHECK(plain.balance == 0.01 && plain.wants_totals() && plain.over_window && !plain.by_class());
  CHECK(!losses({{"loss.balance", "0"}}).any());
  const RouterLossWeights z = losses({{"loss.balance", "0"}, {"loss.router_z", "0.1"}, {"loss.token_entropy", "1"}});
  CHECK(z.any() && !z.wants_totals() && z.router_z == 0.1 && z.token_entropy == 1);
  for (const char* name : {"gshard", "importance", "marginal_entropy", "mutual_information", "limoe",
                           "class_mutual_information", "class_guided"}) {
    const RouterLossWeights one = losses({{"loss.balance", "0"}, {std::string("loss.") + name, "1"}});
    CHECK(one.any() && one.wants_totals());
    CHECK(one.by_class() == (std::string(name).find("class") == 0));
  }
  CHECK(!losses({{"loss.balance_over", "micro_batch"}}).over_window);
  CHECK_ERROR(MOE_ERR_CONFIG, "loss.load: expected 0 without noise", losses({{"loss.load", "1"}}));
  CHECK(losses({{"loss.load", "1"}}, {{"model.experts.logits", "noisy"}}).load == 1);
  CHECK_ERROR(
      MOE_ERR_CONFIG, "loss.gshard: expected 0 with model.experts.choice = expert_choice",
      losses({{"loss.gshard", "1"}}, {{"model.experts.choice", "expert_choice"}, {"model.experts.gate", "raw"}}));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_every_setting),
      cmocka_unit_test(test_errors_stand_at_the_key),
      cmocka_unit_test(test_class_prior),
      cmocka_unit_test(test_losses),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
