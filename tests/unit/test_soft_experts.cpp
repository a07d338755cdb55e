// Soft MoE: slots, experts and the mix back against a loop in double, gradients by finite differences, padded tokens.
#include "moe/soft_experts.h"

#include <ATen/ATen.h>

#include "support/finite_difference.h"
#include "support/test.h"
#include "tensor/random.h"

using namespace moe;

static constexpr int64_t kImages = 2, kTokens = 5, kWidth = 4, kHidden = 3, kExperts = 3, kSlots = 2;

static at::Tensor some(const char* name, at::IntArrayRef shape) {
  return normal_tensor(Rng(1, name), shape).to(at::kDouble);
}

struct Layer {
  at::Tensor x = some("x", {kImages, kTokens, kWidth}), slots = some("slots", {kWidth, kExperts, kSlots});
  at::Tensor scale = at::full({}, 2.5, at::kDouble), valid;
  FfnWeights w = {some("w1", {kExperts, kHidden, kWidth}), some("b1", {kExperts, kHidden}),
                  some("w2", {kExperts, kWidth, kHidden}), some("b2", {kExperts, kWidth})};

  at::Tensor forward() const {
    return soft_experts(x, soft_route(soft_logits(x, slots, scale), valid, "layer"), w, FfnActivation::relu);
  }
};

// Token by token and slot by slot; sums over the valid tokens of the image.
static at::Tensor expected(const Layer& l) {
  at::Tensor y = at::zeros_like(l.x);
  const auto is_valid = [&](int64_t b, int64_t n) { return !l.valid.defined() || l.valid[b][n].item<bool>(); };
  for (int64_t b = 0; b < kImages; ++b) {
    at::Tensor z = at::empty({kTokens, kExperts, kSlots}, at::kDouble);
    for (int64_t n = 0; n < kTokens; ++n) {
      for (int64_t e = 0; e < kExperts; ++e) {
        for (int64_t s = 0; s < kSlots; ++s) {
          const at::Tensor phi = l.slots.select(1, e).select(1, s);
          z[n][e][s] = l.scale * l.x[b][n].dot(phi) / (l.x[b][n].norm() * phi.norm());
        }
      }
    }
    for (int64_t e = 0; e < kExperts; ++e) {
      for (int64_t s = 0; s < kSlots; ++s) {
        at::Tensor in = at::zeros({kWidth}, at::kDouble);
        double sum = 0;
        for (int64_t n = 0; n < kTokens; ++n) {
          if (!is_valid(b, n)) continue;
          const double weight = std::exp(z[n][e][s].item<double>());
          in += weight * l.x[b][n];
          sum += weight;
        }
        const at::Tensor out = l.w.w2[e].mv(at::relu(l.w.w1[e].mv(in / sum) + l.w.b1[e])) + l.w.b2[e];
        for (int64_t n = 0; n < kTokens; ++n) {
          if (is_valid(b, n)) y[b][n] += z[n].flatten().softmax(0)[e * kSlots + s] * out;
        }
      }
    }
  }
  return y;
}

static void test_against_a_loop(void**) {
  const Layer layer;
  CHECK((layer.forward() - expected(layer)).abs().max().item<double>() < 1e-9);
}

static void test_padding(void**) {
  Layer layer;
  layer.valid = at::ones({kImages, kTokens}, at::kBool);
  layer.valid[0][1] = layer.valid[1][4] = false;
  const at::Tensor y = layer.forward();
  CHECK((y - expected(layer)).abs().max().item<double>() < 1e-9);
  CHECK((y[0][1] == 0).all().item<bool>());
  layer.x[0][1] = 1000;
  CHECK(at::equal(layer.forward(), y));
  layer.valid[0].fill_(false);
  CHECK(layer.forward().isfinite().all().item<bool>() && (layer.forward()[0] == 0).all().item<bool>());
}

static void test_gradients(void**) {
  Layer layer;
  layer.valid = at::ones({kImages, kTokens}, at::kBool);
  layer.valid[1][2] = false;
  std::vector<at::Tensor> inputs = {layer.x, layer.slots, layer.scale, layer.w.w1, layer.w.b1, layer.w.w2, layer.w.b2};
  for (at::Tensor& input : inputs) input.requires_grad_();
  const at::Tensor weights = some("loss", {kImages, kTokens, kWidth});
  CHECK(gradient_error([&] { return (layer.forward() * weights).sum(); }, inputs) < 1e-7);
}

static void test_shapes(void**) {
  const Layer layer;
  const SoftRouting routing = soft_route(soft_logits(layer.x, layer.slots, layer.scale), {}, "layer");
  CHECK_ERROR(MOE_ERR_SHAPE, "soft experts: expected x [B, N, D]",
              soft_experts(layer.x.slice(1, 1), routing, layer.w, FfnActivation::relu));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_against_a_loop),
      cmocka_unit_test(test_padding),
      cmocka_unit_test(test_gradients),
      cmocka_unit_test(test_shapes),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
