// Noise schedules, their steps and the objectives, against diffusers and against their own definitions.
#include <ATen/ATen.h>

#include <limits>

#include "fixtures/diffusion/schedulers.h"
#include "models/diffusion/objective.h"
#include "support/test.h"

using namespace moe;
using namespace moe::diffusion;
namespace want = golden::diffusers;

static const std::vector<double> start = {-1.5, -0.5, 0, 0.5, 1.5};

static double noise(int64_t step, int64_t j) {
  return std::sin(1.7 * static_cast<double>(j) + 0.9 * static_cast<double>(step) + 0.3);
}

static void check_marks(const ScheduleOptions& options, const std::vector<double>& golden) {
  const NoiseSchedule schedule(options);
  for (size_t i = 0; i < golden.size(); ++i) {
    const auto t = static_cast<int64_t>(want::marks[i]);
    CHECK_NEAR(schedule.alphas_cumprod()[static_cast<size_t>(t)], golden[i], 1e-6);
    const Level level = schedule.level(t);
    CHECK_NEAR(level.signal * level.signal + level.noise * level.noise, 1, 1e-12);
  }
}

static void test_schedules_of_diffusers(void**) {
  check_marks({}, want::linear);
  check_marks({.kind = ScheduleKind::cosine}, want::cosine);
  check_marks({.zero_terminal_snr = true}, want::zero_snr);
}

static void test_published_values(void**) {
  const std::vector<double> linear = NoiseSchedule({}).alphas_cumprod();
  CHECK_NEAR(linear[1], 0.999780092, 1e-9);
  CHECK_NEAR(linear[999], 4.03582977e-5, 1e-13);
  const NoiseSchedule cosine({.kind = ScheduleKind::cosine});
  CHECK_NEAR(cosine.alphas_cumprod()[999], 2.42876691e-9, 1e-17);
  const NoiseSchedule zero({.zero_terminal_snr = true});
  CHECK(zero.alphas_cumprod()[999] == 0);
  CHECK_NEAR(zero.alphas_cumprod()[0], linear[0], 1e-12);
}

static void test_time_of_sigma(void**) {
  for (const bool zero : {false, true}) {
    const NoiseSchedule schedule({.zero_terminal_snr = zero});
    for (const int64_t t : {0, 1, 17, 500, 998, 999}) {
      CHECK(schedule.time_of(schedule.level(t).sigma()) == static_cast<double>(t));
    }
    for (const double t : {0.25, 3.5, 900.75}) CHECK_NEAR(schedule.time_of(schedule.sigma_at(t)), t, 1e-9);
    CHECK(schedule.time_of(1e-9) == 0);
    CHECK(schedule.time_of(std::numeric_limits<double>::infinity()) == 999);
  }
}

static void check_steps(Spacing spacing, int64_t samples, const std::vector<double>& golden) {
  const std::vector<int64_t> steps = spaced_steps(spacing, 1000, samples);
  CHECK(steps.size() == golden.size());
  for (size_t i = 0; i < golden.size(); ++i) CHECK(static_cast<double>(steps[i]) == golden[i]);
}

static void test_spacing(void**) {
  check_steps(Spacing::leading, 7, want::leading_7);
  check_steps(Spacing::leading, 50, want::leading_50);
  check_steps(Spacing::trailing, 7, want::trailing_7);
  check_steps(Spacing::trailing, 10, want::trailing_10);
  check_steps(Spacing::linspace, 7, want::linspace_7);
  check_steps(Spacing::linspace, 50, want::linspace_50);
  check_steps(Spacing::linspace_open, 7, want::linspace_open_7);
  check_steps(Spacing::linspace_open, 50, want::linspace_open_50);
  CHECK(spaced_steps(Spacing::trailing, 1000, 1) == std::vector<int64_t>{999});
  CHECK(spaced_steps(Spacing::leading, 1000, 1000).front() == 999);
  CHECK(spaced_steps(Spacing::leading, 1000, 1000).back() == 0);
}

// x0 and target of every objective from the same noised sample: each must give back what was put in.
static void check_round_trip(const ObjectiveOptions& options, const Level& level) {
  const Objective objective(options);
  const Level own = objective.own(level);
  CHECK_NEAR(own.sigma(), level.sigma(), 1e-12);
  const Coefficients c = objective.at(own);
  const double x0 = 0.7, eps = -1.3, x = own.signal * x0 + own.noise * eps;
  const double target = c.of_x0 * x0 + c.of_noise * eps;
  CHECK_NEAR(c.skip * x + c.out * target, x0, 1e-9);
}

static void test_objectives_give_back_x0(void**) {
  for (const Prediction prediction :
       {Prediction::eps, Prediction::v, Prediction::x0, Prediction::edm, Prediction::flow}) {
    ObjectiveOptions options;
    options.prediction = prediction;
    for (const int64_t t : {0, 3, 250, 700, 999}) check_round_trip(options, NoiseSchedule({}).level(t));
  }
}

static void test_velocity_of_diffusers(void**) {
  const Level level = NoiseSchedule({}).level(400);
  const Coefficients v = Objective({}).at(level);
  CHECK(v.time == 400);
  for (size_t j = 0; j < start.size(); ++j) {
    const double eps = noise(0, static_cast<int64_t>(j));
    CHECK_NEAR(level.signal * start[j] + level.noise * eps, want::noised_400[j], 1e-9);
    CHECK_NEAR(v.of_x0 * start[j] + v.of_noise * eps, want::velocity_400[j], 1e-9);
  }
}

static void test_edm_preconditioning(void**) {
  const Coefficients c = Objective({.prediction = Prediction::edm}).at({1, 1.7});
  for (size_t j = 0; j < start.size(); ++j) {
    CHECK_NEAR(c.input * start[j], want::edm_input[j], 1e-6);
    CHECK_NEAR(c.skip * start[j] + c.out * noise(1, static_cast<int64_t>(j)), want::edm_output[j], 1e-6);
  }
  CHECK_NEAR(c.time, 1000 * std::log(1.7) / 4, 1e-9);
  const std::vector<double> sigmas = karras_sigmas(12, 0.002, 80);
  for (size_t i = 0; i < sigmas.size(); ++i) CHECK_NEAR(sigmas[i] / want::edm_sigmas[i], 1, 1e-6);
}

static void test_min_snr_weights(void**) {
  const NoiseSchedule schedule({});
  for (size_t i = 0; i < want::marks.size(); ++i) {
    const Level level = schedule.level(static_cast<int64_t>(want::marks[i]));
    const double snr = want::snr[i], least = std::min(snr, 5.0);
    const auto weight = [&](Prediction prediction) {
      return Objective({.prediction = prediction, .min_snr = 5}).at(level).weight;
    };
    CHECK_NEAR(weight(Prediction::eps), least / snr, 1e-5);
    CHECK_NEAR(weight(Prediction::v), least / (snr + 1), 1e-5);
    CHECK_NEAR(weight(Prediction::x0), least, 1e-5);
    CHECK(Objective({}).at(level).weight == 1);
  }
}

static void test_training_levels(void**) {
  constexpr int64_t draws = 20000;
  double t_mean = 0, log_mean = 0, log_square = 0, flow_mean = 0;
  const Objective v({}), edm({.prediction = Prediction::edm}), flow({.prediction = Prediction::flow});
  for (uint64_t i = 0; i < draws; ++i) {
    const Rng rng(5, "draw", i);
    t_mean += v.schedule().time_of(v.draw(rng).sigma()) / draws;
    const double log_sigma = std::log(edm.draw(rng).noise);
    log_mean += log_sigma / draws;
    log_square += log_sigma * log_sigma / draws;
    flow_mean += flow.draw(rng).noise / draws;
  }
  CHECK_NEAR(t_mean / 499.5, 1, 0.02);
  CHECK_NEAR(log_mean, -1.2, 0.03);
  CHECK_NEAR(std::sqrt(log_square - log_mean * log_mean), 1.2, 0.03);
  CHECK_NEAR(flow_mean, 0.5, 0.02);
  CHECK(v.draw(Rng(5, "draw", 3)).noise == v.draw(Rng(5, "draw", 3)).noise);
}

static void test_errors(void**) {
  CHECK_ERROR(MOE_ERR_CONFIG, "schedule: expected linear, cosine, got \"cosin\", did you mean \"cosine\"?",
              parse_schedule("cosin"));
  CHECK_ERROR(MOE_ERR_CONFIG, "objective: expected eps, v, x0, edm, flow, got \"velocity\"",
              parse_prediction("velocity"));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected 1 to 1000 steps, got 0", spaced_steps(Spacing::leading, 1000, 0));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected 1 to 1000 steps, got 1001", spaced_steps(Spacing::leading, 1000, 1001));
  CHECK_ERROR(MOE_ERR_CONFIG, "beta_start <= beta_end", NoiseSchedule({.beta_start = 0.1}));
  ObjectiveOptions eps{.prediction = Prediction::eps};
  eps.schedule.zero_terminal_snr = true;
  CHECK_ERROR(MOE_ERR_CONFIG, "expected v or x0 with a schedule of zero terminal SNR, got eps", Objective{eps});
  CHECK_ERROR(MOE_ERR_INTERNAL, "level of its own process", Objective({}).at({1, 1}));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_schedules_of_diffusers),  cmocka_unit_test(test_published_values),
      cmocka_unit_test(test_time_of_sigma),           cmocka_unit_test(test_spacing),
      cmocka_unit_test(test_objectives_give_back_x0), cmocka_unit_test(test_velocity_of_diffusers),
      cmocka_unit_test(test_edm_preconditioning),     cmocka_unit_test(test_min_snr_weights),
      cmocka_unit_test(test_training_levels),         cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests_name("diffusion schedule", tests, nullptr, nullptr);
}
