// A mixture layer whole: router and experts against a loop over tokens in double for every kind of router, shared
// experts, capacity, padding, noise, no tokens, settings, the bias.
#include <cmath>

#include "moe/balance.h"
#include "nn/moe_ffn.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "tensor/random.h"

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
    const at::Tensor y = layer->forward(x, {}).y;
    for (int64_t t = 0; t < 30; ++t) {
      CHECK((y[t] - expected(layer, activation, x[t])).abs().max().item<double>() < 1e-9);
    }
  }
}

// --- Every kind of router: what it must choose, by a loop that knows its formula alone ---

struct Chosen {
  int64_t expert;
  at::Tensor gate;
};
using Choices = std::vector<std::vector<Chosen>>;  // by token

static at::Tensor expert_output(MoeFfn& layer, int64_t e, const at::Tensor& x) {
  const auto p = layer.named_parameters();
  return p["w2"][e].mv(at::relu(p["w1"][e].mv(x) + p["bias1"][e])) + p["bias2"][e];
}

static void check_mix(MoeFfn& layer, const at::Tensor& x, const MoeFfn::Output& out, const Choices& choices) {
  for (int64_t t = 0; t < x.size(0); ++t) {
    at::Tensor y = at::zeros_like(x[t]);
    for (const Chosen& c : choices[static_cast<size_t>(t)]) y = y + c.gate * expert_output(layer, c.expert, x[t]);
    CHECK((out.y[t] - y).abs().max().item<double>() < 1e-9);
  }
}

// The k best of `worth` with gates of `scores`, divided by their sum.
static Choices best_of(const at::Tensor& worth, const at::Tensor& scores, int64_t k) {
  Choices out;
  for (int64_t t = 0; t < worth.size(0); ++t) {
    const at::Tensor index = std::get<1>(worth[t].topk(k));
    const at::Tensor gates = scores[t].index_select(0, index) / scores[t].index_select(0, index).sum();
    out.emplace_back();
    for (int64_t j = 0; j < k; ++j) out.back().push_back({index[j].item<int64_t>(), gates[j]});
  }
  return out;
}

static void test_noisy_logits(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.logits = RouterLogits::noisy;
  const auto layer = make(options);
  const auto p = layer->named_parameters();
  const at::Tensor x = tokens(30), z = x.mm(p["router"].t());
  const Rng noise(3, "noise");
  check_mix(*layer, x, layer->forward(x, {}), best_of(z, z.softmax(1), 2));
  const at::Tensor deviation = (x.mm(p["router_noise"].t()).exp() + 1).log();
  const at::Tensor h = z + normal_tensor(noise, z.sizes()).to(at::kDouble) * deviation;
  const MoeFfn::Output out = layer->forward(x, {{}, noise, {}});
  check_mix(*layer, x, out, best_of(h, h.softmax(1), 2));
  (out.y.square().sum() + load_loss(out.routing)).backward();
  CHECK(p["router_noise"].grad().abs().max().item<double>() > 0);
}

static void test_cosine_logits(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.logits = RouterLogits::cosine;
  const auto layer = make(options);
  const auto p = layer->named_parameters();
  const at::Tensor x = tokens(30);
  at::Tensor z = at::empty({30, 4}, at::kDouble);
  for (int64_t t = 0; t < 30; ++t) {
    const at::Tensor v = p["router_projection"].mv(x[t]);
    for (int64_t e = 0; e < 4; ++e) {
      const at::Tensor w = p["router"][e];
      z[t][e] = p["router_scale"].exp().detach() * v.dot(w).detach() / (v.norm() * w.norm()).detach();
    }
  }
  const MoeFfn::Output out = layer->forward(x, {});
  check_mix(*layer, x, out, best_of(z, z.softmax(1), 2));
  out.y.square().sum().backward();
  for (const char* name : {"router", "router_projection", "router_scale"}) {
    CHECK(p[name].grad().abs().max().item<double>() > 0);
  }
}

// The bias takes part in the choice and not in the gates.
static void test_sigmoid_with_a_bias(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.score = RouterScore::sigmoid;
  options.router.bias_rate = 0.25;
  const auto layer = make(options);
  const at::Tensor x = tokens(30), s = x.mm(layer->named_parameters()["router"].t()).sigmoid();
  check_mix(*layer, x, layer->forward(x, {}), best_of(s, s, 2));
  layer->router().commit({0, 9, 1, 2});  // mean 3
  const at::Tensor bias = at::tensor({0.25, -0.25, 0.25, 0.25}, at::kDouble);
  CHECK(at::equal(layer->named_buffers()["router_bias"], bias));
  check_mix(*layer, x, layer->forward(x, {}), best_of(s + bias, s, 2));
  layer->forward(x, {});
  CHECK(at::equal(layer->named_buffers()["router_bias"], bias));  // no forward pass moves it
  CHECK(!make(options_with(FfnActivation::relu))->named_buffers().contains("router_bias"));
}

static void test_expert_choice(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.choice = RouterChoice::expert_choice;
  options.router.gate = RouterGate::raw;
  const auto layer = make(options);
  const at::Tensor x = tokens(30), p = x.mm(layer->named_parameters()["router"].t()).softmax(1);
  Choices choices(30);
  for (int64_t e = 0; e < 4; ++e) {
    const at::Tensor best = std::get<1>(p.select(1, e).topk(2 * 30 / 4));
    for (int64_t i = 0; i < best.numel(); ++i) {
      const int64_t t = best[i].item<int64_t>();
      choices[static_cast<size_t>(t)].push_back({e, p[t][e]});
    }
  }
  const MoeFfn::Output out = layer->forward(x, {});
  CHECK((out.routing.counts == 15).all().item<bool>());
  check_mix(*layer, x, out, choices);
}

// First choices in the order of the tokens, then second ones, until an expert has its share; gates stay as they were.
static void test_capacity(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.capacity_factor = 0.8;
  options.router.drop = DropPolicy::position;
  const auto layer = make(options);
  const at::Tensor x = tokens(30), z = x.mm(layer->named_parameters()["router"].t());
  const Choices wanted = best_of(z, z.softmax(1), 2);
  Choices kept(30);
  std::vector<int64_t> load(4);
  int64_t dropped = 0;
  for (size_t j = 0; j < 2; ++j) {
    for (size_t t = 0; t < 30; ++t) {
      const Chosen& c = wanted[t][j];
      if (load[static_cast<size_t>(c.expert)]++ < 12) {  // 0.8 * 2 * 30 / 4
        kept[t].push_back(c);
      } else {
        ++dropped;
      }
    }
  }
  const MoeFfn::Output out = layer->forward(x, {});
  CHECK(dropped > 0 && out.routing.dropped == dropped);
  check_mix(*layer, x, out, kept);
}

// The router sees the features through noise, the experts do not.
static void test_jitter(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.jitter = 0.3;
  const auto layer = make(options);
  const Rng noise(3, "noise");
  const at::Tensor x = tokens(30), w = layer->named_parameters()["router"].t();
  const at::Tensor factor = 0.7 + 0.6 * uniform_tensor(noise.child("jitter"), x.sizes()).to(at::kDouble);
  const at::Tensor shaken = (x * factor).mm(w), z = x.mm(w);
  CHECK((shaken - z).abs().max().item<double>() > 0.01);
  check_mix(*layer, x, layer->forward(x, {{}, noise, {}}), best_of(shaken, shaken.softmax(1), 2));
  check_mix(*layer, x, layer->forward(x, {}), best_of(z, z.softmax(1), 2));
}

static void test_class_prior(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.log_prior = at::tensor({0.7, 0.1, 0.1, 0.1, 0.05, 0.05, 0.2, 0.7}).view({2, 4}).log();
  options.router.prior_weight = 1.5;
  const auto layer = make(options);
  CHECK(layer->router().uses_labels());
  const at::Tensor x = tokens(30), labels = at::arange(30) % 3 - 1;
  at::Tensor z = x.mm(layer->named_parameters()["router"].t()).detach();
  for (int64_t t = 0; t < 30; ++t) {
    const int64_t y = labels[t].item<int64_t>();
    if (y >= 0) z[t] += 1.5 * options.router.log_prior[y].to(at::kDouble);
  }
  check_mix(*layer, x, layer->forward(x, {{}, {}, labels}), best_of(z, z.softmax(1), 2));
}

// Two experts of 16 units that every token takes are one of 32.
static void test_shared_experts(void**) {
  for (const FfnActivation activation : {FfnActivation::relu, FfnActivation::swiglu}) {
    nn::MoeFfnOptions options = options_with(activation);
    options.shared = 2;
    const auto layer = make(options);
    const auto p = layer->named_parameters();
    const at::Tensor x = tokens(30), valid = at::arange(30) < 28;
    const at::Tensor y = layer->forward(x, {valid, {}, {}}).y;
    for (int64_t t = 0; t < 28; ++t) {
      const at::Tensor h = act(activation, p["shared_w1"][0].mv(x[t]) + p["bias_shared1"][0]);
      const at::Tensor shared = p["shared_w2"][0].mv(h) + p["bias_shared2"][0];
      CHECK(h.size(0) == 32);
      CHECK((y[t] - expected(layer, activation, x[t]) - shared).abs().max().item<double>() < 1e-9);
    }
    CHECK((y.slice(0, 28) == 0).all().item<bool>());
  }
}

// Everything that a layer can have, drawn by name: no parameter is left at not-a-number.
static void test_every_parameter_starts(void**) {
  for (const RouterLogits logits : {RouterLogits::linear, RouterLogits::noisy, RouterLogits::cosine}) {
    nn::MoeFfnOptions options = options_with(FfnActivation::relu);
    options.router.logits = logits;
    options.router.bias_rate = 1e-3;
    options.shared = 1;
    MoeFfn layer(options);
    nn::init_parameters(layer, 1, "layer");
    for (const auto& item : layer.named_parameters()) CHECK(item.value().isfinite().all().item<bool>());
    CHECK((layer.named_buffers()["router_bias"] == 0).all().item<bool>());
  }
}

static void test_padding_and_no_tokens(void**) {
  const auto layer = make(options_with(FfnActivation::relu));
  at::Tensor x = tokens(6), valid = at::ones({6}, at::kBool);
  valid[2] = false;
  const at::Tensor y = layer->forward(x, {valid, {}, {}}).y.clone();
  CHECK((y[2] == 0).all().item<bool>());
  x[2].fill_(100);
  CHECK(at::equal(layer->forward(x, {valid, {}, {}}).y, y));
  const MoeFfn::Output none = layer->forward(tokens(0), {});
  CHECK(none.y.sizes() == at::IntArrayRef({0, 8}) && none.routing.tokens == 0);
}

static void test_noise_is_a_stream(void**) {
  nn::MoeFfnOptions options = options_with(FfnActivation::relu);
  options.router.logit_noise = 5;
  const auto layer = make(options);
  const auto chosen = [&](const std::optional<Rng>& noise) {
    return layer->forward(tokens(50), {{}, noise, {}}).routing.chosen;
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
      cmocka_unit_test(test_noisy_logits),
      cmocka_unit_test(test_cosine_logits),
      cmocka_unit_test(test_sigmoid_with_a_bias),
      cmocka_unit_test(test_expert_choice),
      cmocka_unit_test(test_capacity),
      cmocka_unit_test(test_jitter),
      cmocka_unit_test(test_class_prior),
      cmocka_unit_test(test_shared_experts),
      cmocka_unit_test(test_every_parameter_starts),
      cmocka_unit_test(test_padding_and_no_tokens),
      cmocka_unit_test(test_noise_is_a_stream),
      cmocka_unit_test(test_settings_are_refused_by_name),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
