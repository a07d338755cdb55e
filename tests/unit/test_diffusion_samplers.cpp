// Samplers against diffusers' schedulers on one closed-form denoiser, and their order of convergence against the exact
// solution for Gaussian data.
#include <ATen/ATen.h>

#include "fixtures/diffusion/schedulers.h"
#include "models/diffusion/sampler.h"
#include "support/test.h"

using namespace moe;
using namespace moe::diffusion;
namespace want = golden::diffusers;

static at::Tensor start() {
  return at::tensor({-1.5, -0.5, 0.0, 0.5, 1.5}, at::kDouble).view({1, 1, 1, 5});
}

static at::Tensor step_noise(int64_t step) {
  return (at::arange(5, at::kDouble) * 1.7 + 0.9 * static_cast<double>(step) + 0.3).sin().view({1, 1, 1, 5});
}

// The stand-in of schedulers.py. Without signal z is unbounded: x0 is then 0.3 and the sine a constant of x / noise.
static Denoiser smooth(double gain = 1) {
  return [gain](const at::Tensor& x, const Level& level) {
    const double sigma = level.signal > 0 ? level.sigma() : 1e12, square = sigma * sigma;
    const at::Tensor z = x / std::max(level.signal, 1e-12);
    const at::Tensor x0 = (0.25 * z + 0.3 * square) / (0.25 + square);
    return gain * (x0 + 0.2 * sigma / (1 + sigma) * (2 * z / (1 + sigma)).sin());
  };
}

static void check_values(const at::Tensor& got, const std::vector<double>& golden, double tolerance = 1e-5) {
  const at::Tensor dense = got.contiguous();
  for (size_t j = 0; j < golden.size(); ++j) CHECK_NEAR(dense.const_data_ptr<double>()[j], golden[j], tolerance);
}

// stop: after this many steps
static at::Tensor run(const SamplerOptions& options, Prediction prediction, const Denoiser& denoise, size_t stop = 0) {
  const Objective objective({.prediction = prediction});
  std::vector<Level> levels = sampler_levels(options, objective);
  if (stop > 0) levels.resize(stop + 1);
  return run_sampler(options, levels, start(), denoise, step_noise);
}

static void test_ddim(void**) {
  SamplerOptions o{.steps = 10, .spacing = Spacing::leading};
  check_values(run(o, Prediction::eps, smooth()), want::ddim_10_leading);
  o.spacing = Spacing::trailing;
  check_values(run(o, Prediction::v, smooth()), want::ddim_10_trailing);
  o.threshold = Threshold::clip;
  check_values(run(o, Prediction::eps, smooth(2), 7), want::ddim_10_clip_noise);
  o.keep_noise = true;
  check_values(run(o, Prediction::eps, smooth(2), 7), want::ddim_10_clip);
  o.threshold = Threshold::dynamic;
  o.quantile = 0.9;
  o.largest = 1.4;
  check_values(run(o, Prediction::eps, smooth(2), 7), want::ddim_10_dynamic);
  check_values(run({.steps = 50, .spacing = Spacing::leading, .eta = 0.7}, Prediction::eps, smooth()),
               want::ddim_50_eta);
}

static void test_ddpm(void**) {
  SamplerOptions o{.kind = SamplerKind::ddpm, .steps = 50, .spacing = Spacing::leading};
  check_values(run(o, Prediction::eps, smooth()), want::ddpm_50);
  o.large_variance = true;
  check_values(run(o, Prediction::eps, smooth()), want::ddpm_50_large);
}

static void test_dpmpp(void**) {
  SamplerOptions o{.kind = SamplerKind::dpmpp_2m, .steps = 10, .spacing = Spacing::linspace_open};
  check_values(run(o, Prediction::eps, smooth()), want::dpmpp_10);
  check_values(run({.kind = SamplerKind::dpmpp_2m, .steps = 20}, Prediction::eps, smooth()), want::dpmpp_20_trailing);
  o.karras = true;
  check_values(run(o, Prediction::eps, smooth()), want::dpmpp_10_karras);
  o.steps = 12;
  check_values(run(o, Prediction::edm, smooth()), want::edm_dpmpp_12);
}

static void test_heun(void**) {
  SamplerOptions o{.kind = SamplerKind::heun, .steps = 10, .spacing = Spacing::linspace};
  check_values(run(o, Prediction::eps, smooth()), want::heun_10, 1e-4);  // diffusers' sigmas are float32
  o.spacing = Spacing::trailing;
  check_values(run(o, Prediction::eps, smooth()), want::heun_10_trailing);
}

static void test_flow(void**) {
  SamplerOptions o{.kind = SamplerKind::euler, .steps = 10};
  check_values(run(o, Prediction::flow, smooth()), want::flow_10);
  o.shift = 3;
  check_values(run(o, Prediction::flow, smooth()), want::flow_10_shift);
}

// Data N(0.3, 0.5²): the denoiser and the solution of the flow from x are closed forms; quantiles are kept.
static at::Tensor gaussian(const at::Tensor& x, const Level& level) {
  const double variance = 0.25 * level.signal * level.signal + level.noise * level.noise;
  return 0.3 + (x - 0.3 * level.signal) * (0.25 * level.signal / variance);
}

static double gaussian_error(const SamplerOptions& options, Prediction prediction) {
  const Objective objective({.prediction = prediction});
  const std::vector<Level> levels = sampler_levels(options, objective);
  const Level& first = levels.front();
  const double scale = first.signal == 1 ? first.noise : 1;
  const double deviation = std::hypot(0.5 * first.signal, first.noise);
  const at::Tensor exact = 0.3 + (start() * scale - 0.3 * first.signal) * (0.5 / deviation);
  const at::Tensor got = run_sampler(options, levels, start(), gaussian, step_noise);
  return (got - exact).abs().max().item<double>();
}

// error(n) / error(2 n) = 2^order
static double order(SamplerOptions options, Prediction prediction, int64_t steps) {
  options.steps = steps;
  const double coarse = gaussian_error(options, prediction);
  options.steps = 2 * steps;
  return std::log2(coarse / gaussian_error(options, prediction));
}

static void test_orders(void**) {
  const double ddim = order({}, Prediction::eps, 50);
  const double heun = order({.kind = SamplerKind::heun}, Prediction::edm, 40);
  const double dpmpp = order({.kind = SamplerKind::dpmpp_2m}, Prediction::edm, 80);
  const double euler = order({.kind = SamplerKind::euler}, Prediction::flow, 50);
  std::printf("orders: ddim %.2f, heun %.2f, dpmpp_2m %.2f, euler %.2f\n", ddim, heun, dpmpp, euler);
  CHECK(ddim > 0.8 && ddim < 1.3);
  CHECK(heun > 1.8);
  CHECK(dpmpp > 1.6);
  CHECK(euler > 0.8 && euler < 1.3);
}

static void test_published_ddim(void**) {
  const std::vector<double> leading_10 = {-.263038, .111091, .298155, .485219, .859348};
  const std::vector<double> trailing_10 = {-.255637, .114318, .299295, .484272, .854227};
  check_values(run({.steps = 10, .spacing = Spacing::leading}, Prediction::eps, gaussian), leading_10, 2e-6);
  check_values(run({.steps = 10}, Prediction::eps, gaussian), trailing_10, 2e-6);
}

// Stochastic samplers must leave the distribution of the data: mean and deviation over many starts.
static void test_stochastic_samplers_keep_the_distribution(void**) {
  const auto normal = [](int64_t i) {
    Rng rng(9, "noise", static_cast<uint64_t>(i + 1));
    at::Tensor out = at::empty({1, 1, 1, 20000}, at::kDouble);
    for (int64_t j = 0; j < out.numel(); ++j) out.mutable_data_ptr<double>()[j] = rng.normal();
    return out;
  };
  const SamplerOptions churned{.kind = SamplerKind::heun, .steps = 120, .churn = 24, .churn_max = 50};
  const SamplerOptions ancestral{.kind = SamplerKind::ddpm, .steps = 500};
  const SamplerOptions churned_vp{.kind = SamplerKind::heun, .steps = 120, .karras = true, .churn = 24};
  const std::vector<std::pair<SamplerOptions, Prediction>> cases = {
      {churned, Prediction::edm}, {ancestral, Prediction::eps}, {churned_vp, Prediction::eps}};
  for (const auto& [options, prediction] : cases) {
    const Objective objective({.prediction = prediction});
    const at::Tensor x = run_sampler(options, sampler_levels(options, objective), normal(-1), gaussian, normal);
    std::printf("mean %.4f, deviation %.4f\n", x.mean().item<double>(), x.std().item<double>());
    CHECK_NEAR(x.mean().item<double>(), 0.3, 0.02);
    CHECK_NEAR(x.std().item<double>(), 0.5, 0.02);
  }
}

static void test_zero_terminal_snr(void**) {
  ObjectiveOptions options{.prediction = Prediction::v};
  options.schedule.zero_terminal_snr = true;
  const Objective objective(options);
  const std::vector<Level> levels = sampler_levels({.steps = 100}, objective);
  CHECK(levels.front().signal == 0 && levels.front().noise == 1);
  const at::Tensor x = run_sampler({.steps = 100}, levels, start(), gaussian, step_noise);
  CHECK(x.isfinite().all().item<bool>());
  check_values(x, {-0.45, 0.05, 0.3, 0.55, 1.05}, 0.05);  // the exact quantiles
  CHECK_ERROR(MOE_ERR_CONFIG, "expected ddpm or ddim with a schedule of zero terminal SNR, got heun",
              sampler_levels({.kind = SamplerKind::heun}, objective));
}

static void test_guidance(void**) {
  const at::Tensor null = at::tensor({1.0, 2.0}), classes = at::tensor({3.0, -2.0});
  CHECK(at::equal(guide(null, classes, 1), classes));
  CHECK(at::equal(guide(null, classes, 0), null));
  CHECK(at::allclose(guide(null, classes, 2.5), at::tensor({6.0, -8.0})));
}

static void test_errors(void**) {
  const Objective v({}), edm({.prediction = Prediction::edm}), flow({.prediction = Prediction::flow});
  CHECK_ERROR(MOE_ERR_CONFIG, "sampler: expected ddpm, ddim, dpmpp_2m, heun, euler, got \"dim\", did you mean \"ddim\"",
              parse_sampler("dim"));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected at least 1 step, got 0", sampler_levels({.steps = 0}, v));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected 1 to 1000 steps, got 1001", sampler_levels({.steps = 1001}, v));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected euler for a network of objective flow, got ddim", sampler_levels({}, flow));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected heun or dpmpp_2m for a network of objective edm, got ddim",
              sampler_levels({}, edm));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected ddpm, ddim, dpmpp_2m or heun", sampler_levels({.kind = SamplerKind::euler}, v));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_ddim),
                              cmocka_unit_test(test_ddpm),
                              cmocka_unit_test(test_dpmpp),
                              cmocka_unit_test(test_heun),
                              cmocka_unit_test(test_flow),
                              cmocka_unit_test(test_orders),
                              cmocka_unit_test(test_published_ddim),
                              cmocka_unit_test(test_stochastic_samplers_keep_the_distribution),
                              cmocka_unit_test(test_zero_terminal_snr),
                              cmocka_unit_test(test_guidance),
                              cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests_name("diffusion samplers", tests, nullptr, nullptr);
}
