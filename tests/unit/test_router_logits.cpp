// What routers make logits of: cosine, learned noise, input jitter, and the dense weights of Soft MoE.
#include <limits>

#include "moe/router.h"
#include "support/finite_difference.h"
#include "support/hash_fill.h"
#include "support/test.h"

using namespace moe;

namespace {

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

}  // namespace

static void test_jitter(void**) {
  const at::Tensor x = at::ones({50, 40}, at::kBFloat16), y = jitter(x, 0.1, Rng(1, "jitter"));
  CHECK(y.scalar_type() == at::kFloat);
  CHECK(y.min().item<double>() >= 0.9f && y.max().item<double>() < 1.1f + 1e-6);
  CHECK_NEAR(y.mean().item<double>(), 1, 0.01);
  CHECK(y.equal(jitter(x, 0.1, Rng(1, "jitter"))));
}

static void test_cosine(void**) {
  const at::Tensor x = leaf(some("x", {4, 6})), w = leaf(some("w", {5, 6})), e = leaf(some("e", {3, 5}));
  const at::Tensor scale = leaf(at::scalar_tensor(std::log(2.0), at::kDouble));
  const at::Tensor z = cosine_logits(x, w, e, scale);
  const at::Tensor projected = x.matmul(w.t());
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t i = 0; i < 3; ++i) {
      const at::Tensor cosine = (projected[t] * e[i]).sum() / projected[t].norm() / e[i].norm();
      CHECK_NEAR(z[t][i].item<double>(), 2 * cosine.item<double>(), 1e-10);
    }
  }
  CHECK(distance(cosine_logits(x * 100, w, e * 0.1, scale), z) < 1e-9);
  CHECK(distance(cosine_logits(x, w, e, scale + 10), z * 50) < 1e-9);  // ln 100 at most
  const at::Tensor direction = some("dz", {4, 3});
  CHECK(gradient_error([&] { return (cosine_logits(x, w, e, scale) * direction).sum(); }, {x, w, e, scale}) < 1e-7);
  const at::Tensor zero = leaf(at::zeros({1, 6}));
  cosine_logits(zero, w.to(at::kFloat), e.to(at::kFloat), scale).sum().backward();
  CHECK(zero.grad().isfinite().all().item<bool>());
}

static void test_learned_noise_scale(void**) {
  const at::Tensor x = leaf(some("x", {4, 6})), w = leaf(some("w", {3, 6}));
  CHECK(distance(learned_noise_scale(x, w), at::log1p(at::exp(x.matmul(w.t())))) < 1e-12);
  CHECK(gradient_error([&] { return learned_noise_scale(x, w).square().sum(); }, {x, w}) < 1e-7);
}

static void test_soft(void**) {
  const at::Tensor x = leaf(some("x", {2, 5, 6})), slots = leaf(some("slots", {6, 3, 2}));
  const at::Tensor scale = leaf(at::scalar_tensor(1.5, at::kDouble));
  const at::Tensor valid = at::tensor({1, 1, 0, 1, 0, 0, 0, 0, 0, 0}).view({2, 5}).to(at::kBool);
  const at::Tensor z = soft_logits(x, slots, scale);
  const at::Tensor cosine =
      (x[0][3] * slots.select(2, 1).select(1, 2)).sum() / x[0][3].norm() / slots.select(2, 1).select(1, 2).norm();
  CHECK_NEAR(z[0][3][2][1].item<double>(), 1.5 * cosine.item<double>(), 1e-9);
  const SoftRouting r = soft_route(z, valid, "l");
  const at::Tensor kept = z[0].index_select(0, at::tensor({0, 1, 3}, at::kLong)).exp();
  CHECK(distance(r.dispatch[0].index_select(0, at::tensor({0, 1, 3}, at::kLong)), kept / kept.sum(0, true)) < 1e-12);
  CHECK(distance(r.combine[0][1], z[0][1].exp() / z[0][1].exp().sum()) < 1e-12);
  CHECK(r.dispatch[0][2].eq(0).all().item<bool>() && r.combine[0][2].eq(0).all().item<bool>());
  CHECK(r.dispatch[1].eq(0).all().item<bool>() && r.combine[1].eq(0).all().item<bool>());  // no valid token
  const auto scalar = [&] {
    const SoftRouting now = soft_route(soft_logits(x, slots, scale), valid, "l");
    return (now.dispatch * some("da", z.sizes())).sum() + (now.combine * some("db", z.sizes())).sum();
  };
  CHECK(gradient_error(scalar, {x, slots, scale}) < 1e-7);
}

static void test_soft_not_finite(void**) {
  const at::Tensor z = at::zeros({1, 3, 2, 1});
  z[0][2][1][0] = std::numeric_limits<double>::quiet_NaN();
  CHECK_ERROR(MOE_ERR_NUMERIC, "router of l: expected finite logits", soft_route(z, {}, "l"));
  const SoftRouting r = soft_route(z, at::tensor({1, 1, 0}).view({1, 3}).to(at::kBool), "l");
  CHECK_NEAR(r.dispatch.sum().item<double>(), 2, 1e-6);
  CHECK(soft_route(at::zeros({2, 0, 3, 1}), {}, "l").combine.numel() == 0);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_jitter), cmocka_unit_test(test_cosine),          cmocka_unit_test(test_learned_noise_scale),
      cmocka_unit_test(test_soft),   cmocka_unit_test(test_soft_not_finite),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
