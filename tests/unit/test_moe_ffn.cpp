// A mixture layer whole: router and experts against a loop over tokens in double, padding, noise, no tokens, settings.
#include <cmath>

#include "nn/moe_ffn.h"
#include "support/hash_fill.h"
#include "support/test.h"

using namespace moe;
using nn::MoeFfn;

static nn::MoeFfnOptions options_with(FfnActivation activation) {
  nn::MoeFfnOptions options;
  options.dim = 8;
  options.ffn = 16;
  options.experts = 4;
  options.activation = activation;
  return options;
}

static std::shared_ptr<MoeFfn> make(const nn::MoeFfnOptions& options) {
  const auto layer = std::make_shared<MoeFfn>(options);
  const at::NoGradGuard no_grad;
  for (const auto& item : layer->named_parameters()) {
    item.value().copy_(hash_fill::uniform(item.key(), item.value().sizes().vec()));
  }
  layer->to(at::kDouble);
  return layer;
}

static at::Tensor tokens(int64_t count) {
  return hash_fill::uniform("tokens", {count, 8}).to(at::kDouble);
}

static at::Tensor act(FfnActivation activation, const at::Tensor& h) {
  if (activation == FfnActivation::relu) return at::relu(h);
  const auto halves = h.chunk(2, 0);
  return at::silu(halves[0]) * halves[1];
}

// One token: the two best logits, softmax over these, their experts' outputs.
static at::Tensor expected(const std::shared_ptr<MoeFfn>& layer, FfnActivation activation, const at::Tensor& x) {
  const auto p = layer->named_parameters();
  const at::Tensor logits = p["router"].mv(x);
  const auto [best, index] = logits.topk(2);
  const at::Tensor gates = best.softmax(0);
  at::Tensor y = at::zeros_like(x);
  for (int64_t j = 0; j < 2; ++j) {
    const int64_t e = index[j].item<int64_t>();
    const at::Tensor h = act(activation, p["w1"][e].mv(x) + p["bias1"][e]);
    y = y + gates[j] * (p["w2"][e].mv(h) + p["bias2"][e]);
  }
  return y;
}

static void test_against_a_loop(void**) {
  for (const FfnActivation activation : {FfnActivation::relu, FfnActivation::swiglu}) {
    const auto layer = make(options_with(activation));
    const at::Tensor x = tokens(30);
    const at::Tensor y = layer->forward(x, {}, std::nullopt).y;
    for (int64_t t = 0; t < 30; ++t) {
      CHECK((y[t] - expected(layer, activation, x[t])).abs().max().item<double>() < 1e-9);
    }
  }
}

static void test_padding_and_no_tokens(void**) {
  const auto layer = make(options_with(FfnActivation::relu));
  at::Tensor x = tokens(6), valid = at::ones({6}, at::kBool);
  valid[2] = false;
  const at::Tensor y = layer->forward(x, valid, std::nullopt).y.clone();
  CHECK((y[2] == 0).all().item<bool>());
  x[2].fill_(100);
  CHECK(at::equal(layer->forward(x, valid, std::nullopt).y, y));
  const MoeFfn::Output none = layer->forward(tokens(0), {}, std::nullopt);
  CHECK(none.y.sizes() == at::IntArrayRef({0, 8}) && none.routing.tokens == 0);
}

static void test_noise_is_a_stream(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.logit_noise = 5;
  const auto layer = make(options);
  const auto chosen = [&](const std::optional<Rng>& noise) {
    return layer->forward(tokens(50), {}, noise).routing.chosen;
  };
  CHECK(at::equal(chosen(Rng(1, "a")), chosen(Rng(1, "a"))));
  CHECK(!at::equal(chosen(Rng(1, "a")), chosen(Rng(2, "a"))));
  CHECK(at::equal(chosen(std::nullopt), chosen(std::nullopt)));
  CHECK(!at::equal(chosen(std::nullopt), chosen(Rng(1, "a"))));
}

static void test_settings_are_refused_by_name(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.layer = "decoder layer 3";
  options.router.top_k = 5;
  CHECK_ERROR(MOE_ERR_CONFIG, "decoder layer 3", std::make_shared<MoeFfn>(options));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_against_a_loop),
      cmocka_unit_test(test_padding_and_no_tokens),
      cmocka_unit_test(test_noise_is_a_stream),
      cmocka_unit_test(test_settings_are_refused_by_name),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
