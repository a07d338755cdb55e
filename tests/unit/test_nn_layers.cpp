// The shared layers: batch normalisation by its formula, frozen and recomputed; attention against the plain formula
// with and without mask; initialisation by name.
#include "nn/attention.h"
#include "nn/tiled_attention.h"
#include "nn/layers.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "tensor/checkpoint_fn.h"
#include "tensor/scope.h"

using namespace moe::nn;

static double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

static at::Tensor image(at::IntArrayRef shape) {
  return hash_fill::uniform("image", shape).contiguous(at::MemoryFormat::ChannelsLast);
}

static void test_batch_norm(void**) {
  BatchNorm2d norm(4);
  norm.to(at::kDouble);
  hash_fill::fill(norm, "norm");
  const at::Tensor before_mean = norm.running_mean.clone(), before_var = norm.running_var.clone();
  const at::Tensor x = image({3, 4, 5, 7}), rows = x.transpose(0, 1).flatten(1);  // [C, values]
  const auto channel = [](const at::Tensor& v) { return v.view({1, -1, 1, 1}); };
  const at::Tensor mean = rows.mean(1), var = rows.var(1, /*unbiased=*/false);
  const at::Tensor want =
      (x - channel(mean)) / channel(at::sqrt(var + 1e-5)) * channel(norm.weight) + channel(norm.bias);
  CHECK_NEAR(distance(norm.forward(x), want), 0, 1e-12);
  CHECK_NEAR(distance(norm.running_mean, 0.9 * before_mean + 0.1 * mean), 0, 1e-12);
  CHECK_NEAR(distance(norm.running_var, 0.9 * before_var + 0.1 * rows.var(1, /*unbiased=*/true)), 0, 1e-12);
  norm.eval();
  const at::Tensor fixed =
      (x - channel(norm.running_mean)) / channel(at::sqrt(norm.running_var + 1e-5)) * channel(norm.weight) +
      channel(norm.bias);
  CHECK_NEAR(distance(norm.forward(x), fixed), 0, 1e-12);
  norm.train();
  CHECK_ERROR(MOE_ERR_SHAPE, "more than one value", norm.forward(at::ones({1, 4, 1, 1}, at::kDouble)));
}

static void test_frozen_batch_norm(void**) {
  BatchNorm2d norm(4, /*frozen=*/true);
  hash_fill::fill(norm, "norm");
  CHECK(norm.parameters().empty());
  CHECK(norm.named_buffers().size() == 4);
  const at::Tensor x = image({2, 4, 3, 3}).to(at::kFloat).requires_grad_(), mean = norm.running_mean.clone();
  const at::Tensor y = norm.forward(x);
  norm.eval();
  CHECK(y.equal(norm.forward(x)));
  CHECK(norm.running_mean.equal(mean));
  y.sum().backward();
  const at::Tensor slope = norm.weight / at::sqrt(norm.running_var + 1e-5);
  CHECK_NEAR(distance(x.grad(), slope.view({1, 4, 1, 1}).expand({2, 4, 3, 3})), 0, 1e-6);
}

// A recomputed block updates its statistics once, and its gradient is the same bits.
static void test_batch_norm_recomputed(void**) {
  ConvNorm plain(3, 8, {.kernel = 3}, Activation::silu), again(3, 8, {.kernel = 3}, Activation::silu);
  init_parameters(plain, 1);
  init_parameters(again, 1);
  const at::Tensor x = image({2, 3, 6, 5}).to(at::kFloat).requires_grad_(), y = x.detach().clone().requires_grad_();
  plain.forward(x).square().sum().backward();
  moe::checkpointed([&](const auto& in) { return std::vector<at::Tensor>{again.forward(in[0])}; }, {y})[0]
      .square()
      .sum()
      .backward();
  CHECK(x.grad().equal(y.grad()));
  for (const auto& item : plain.named_parameters())
    CHECK(item.value().grad().equal(again.named_parameters()[item.key()].grad()));
  for (const auto& item : plain.named_buffers()) CHECK(item.value().equal(again.named_buffers()[item.key()]));
}

static void test_autocast_types(void**) {
  ConvNorm conv(8, 8, {.kernel = 3}, Activation::relu);
  LayerNorm norm(8);
  Linear linear(8, 16);
  for (torch::nn::Module* module : {static_cast<torch::nn::Module*>(&conv), static_cast<torch::nn::Module*>(&norm),
                                    static_cast<torch::nn::Module*>(&linear)}) {
    init_parameters(*module, 2);
  }
  const at::Tensor x = image({2, 8, 6, 5}).to(at::kFloat);
  at::Tensor y, z;
  {
    moe::AutocastScope scope(at::kBFloat16);
    y = conv.forward(x);
    z = norm.forward(linear.forward(norm.forward(y.permute({0, 2, 3, 1}))).narrow(-1, 0, 8));
  }
  CHECK(y.scalar_type() == at::kBFloat16 && z.scalar_type() == at::kBFloat16);
  CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  z.sum().backward();
  for (const auto& item : conv.named_parameters()) CHECK(item.value().grad().scalar_type() == at::kFloat);
}

// softmax(q k^T / sqrt(d)) v with -inf where blocked, written out.
static at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& blocked) {
  at::Tensor scores = at::matmul(q, k.transpose(-2, -1)) / std::sqrt(static_cast<double>(q.size(-1)));
  if (blocked.defined()) scores = scores.masked_fill(blocked, -INFINITY);
  return at::matmul(scores.softmax(-1), v).transpose(1, 2).flatten(2);
}

static void test_attention(void**) {
  const at::Tensor blocked = at::ones({7, 9}, at::kBool).triu(3);
  for (const at::Tensor& mask : {at::Tensor(), blocked}) {
    for (const auto& [type, tolerance] : {std::pair{at::kDouble, 1e-12}, {at::kFloat, 1e-5}, {at::kBFloat16, 2e-2}}) {
      std::vector<at::Tensor> exact, tested;
      for (const char* name : {"q", "k", "v"}) {
        const int64_t length = name[0] == 'q' ? 7 : 9;
        exact.push_back((hash_fill::uniform(name, {2, 3, length, 8}) - 0.5).to(type).to(at::kDouble).requires_grad_());
        tested.push_back(exact.back().detach().to(type).requires_grad_());
      }
      const at::Tensor want = plain_attention(exact[0], exact[1], exact[2], mask);
      want.square().sum().backward();
      for (const auto route : {attention, tiled_attention}) {
        for (at::Tensor& tensor : tested) tensor.mutable_grad().reset();
        const at::Tensor got = route(tested[0], tested[1], tested[2], mask);
        CHECK(got.sizes() == at::IntArrayRef({2, 7, 24}));
        CHECK_NEAR(distance(got.to(at::kDouble), want), 0, tolerance);
        got.square().sum().backward();
        for (size_t i = 0; i < 3; ++i)
          CHECK_NEAR(distance(tested[i].grad().to(at::kDouble), exact[i].grad()), 0, 4 * tolerance);
      }
    }
  }
}

static void test_self_attention(void**) {
  MultiheadSelfAttention module(12, 3);
  module.to(at::kDouble);
  hash_fill::fill(module, "self_attn");
  const at::Tensor x = hash_fill::uniform("x", {2, 5, 12}), position = hash_fill::uniform("position", {1, 5, 12});
  const auto parameters = module.named_parameters();
  const auto project = [&](const at::Tensor& input, int64_t part) {
    const at::Tensor y =
        at::linear(input, module.in_proj_weight.narrow(0, 12 * part, 12), module.in_proj_bias.narrow(0, 12 * part, 12));
    return y.view({2, 5, 3, 4}).transpose(1, 2);
  };
  const at::Tensor mixed = plain_attention(project(x + position, 0), project(x + position, 1), project(x, 2), {});
  const at::Tensor want = at::linear(mixed, parameters["out_proj.weight"], parameters["out_proj.bias"]);
  CHECK_NEAR(distance(module.forward(x + position, x), want), 0, 1e-12);
  CHECK_ERROR(MOE_ERR_CONFIG, "heads to divide the width 12, got 5", MultiheadSelfAttention(12, 5));
}

static void test_mlp(void**) {
  Mlp mlp(4, 6, 2, 3);
  init_parameters(mlp, 9);
  const auto p = mlp.named_parameters();
  CHECK(p["layers.1.weight"].sizes() == at::IntArrayRef({6, 6}) && p["layers.2.bias"].sizes() == at::IntArrayRef({2}));
  const at::Tensor x = hash_fill::uniform("x", {3, 4}).to(at::kFloat);
  at::Tensor want = x;
  for (const char* i : {"0", "1", "2"}) {
    const std::string layer = std::string("layers.") + i;
    want = at::linear(want, p[layer + ".weight"], p[layer + ".bias"]);
    if (*i != '2') want = want.relu();
  }
  CHECK(mlp.forward(x).equal(want));
  CHECK(mlp.last().weight.size(0) == 2);
}

static void test_activation_names(void**) {
  CHECK(activation_by_name("silu") == Activation::silu);
  CHECK(activation_by_name("none") == Activation::none);
  CHECK_ERROR(MOE_ERR_CONFIG, "expected none, relu, gelu or silu, got \"swish\"", activation_by_name("swish"));
}

// A parameter's values depend on the seed and its full name alone.
static void test_initialisation(void**) {
  Linear a(16, 32), b(16, 32), c(16, 32), d(16, 32);
  CHECK(a.weight.isnan().all().item<bool>());
  init_parameters(a, 4, "x");
  init_parameters(b, 4, "x");
  init_parameters(c, 4, "y");
  init_parameters(d, 5, "x");
  CHECK(a.weight.equal(b.weight) && !a.weight.equal(c.weight) && !a.weight.equal(d.weight));
  CHECK(a.weight.abs().max().item<double>() <= 0.25 && a.weight.abs().max().item<double>() > 0.23);

  const ParameterInit init(1, "layer");
  const at::Tensor weight = at::empty({300, 200, 2, 2});
  init.xavier_uniform("weight", weight);
  CHECK_NEAR(weight.std().item<double>(), std::sqrt(2.0 / (800 + 1200)), 1e-3);
  init.kaiming_uniform_fan_out("weight", weight);
  CHECK_NEAR(weight.std().item<double>(), std::sqrt(2.0 / 1200), 1e-3);
  init.normal("weight", weight, 0.02);
  CHECK_NEAR(weight.std().item<double>(), 0.02, 1e-3);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_batch_norm),
      cmocka_unit_test(test_frozen_batch_norm),
      cmocka_unit_test(test_batch_norm_recomputed),
      cmocka_unit_test(test_autocast_types),
      cmocka_unit_test(test_attention),
      cmocka_unit_test(test_self_attention),
      cmocka_unit_test(test_mlp),
      cmocka_unit_test(test_activation_names),
      cmocka_unit_test(test_initialisation),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
