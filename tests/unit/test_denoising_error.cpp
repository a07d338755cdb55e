// The linear baselines of denoising: closed forms against simulation, and what the evaluator makes of them.
#include <torch/torch.h>

#include "eval/denoising.h"
#include "support/test.h"
#include "tensor/random.h"

using namespace moe;

static std::vector<double> linear_schedule() {
  std::vector<double> out;
  double product = 1;
  for (int t = 0; t < 1000; ++t) out.push_back(product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999));
  return out;
}

// Correlated pictures [n, 2, 4, 4] in 0..1.
static at::Tensor pictures(uint64_t seed, int64_t count) {
  const at::Tensor mixing = normal_tensor(Rng(1, "mixing"), {32, 32}) * at::linspace(0.02, 1, 32).unsqueeze(0);
  const at::Tensor x = at::mm(normal_tensor(Rng(seed, "x"), {count, 32}), mixing.t()) * 0.08 + 0.5;
  return x.clamp(0, 1).view({count, 2, 4, 4});
}

static void test_wiener_error(void**) {
  const at::Tensor v = at::tensor({0.0, 0.01, 0.25, 3.0}, at::kDouble);
  CHECK_NEAR(wiener_error(v, 0.5), (0.01 / 1.01 + 0.25 / 1.25 + 3.0 / 4.0) / 4, 1e-12);
  CHECK_NEAR(wiener_error(at::zeros({3}, at::kDouble), 0.7), 0, 1e-12);
}

// The linear denoiser itself on noised pictures: along the training directions, with each direction's best gain.
static void test_baseline_by_simulation(void**) {
  PictureStatistics statistics;
  statistics.add(pictures(2, 3000));
  statistics.finish();
  const at::Tensor val = pictures(3, 400), x0 = (val * 2 - 1).to(at::kDouble).flatten(1);
  const at::Tensor training = (pictures(2, 3000) * 2 - 1).to(at::kDouble).flatten(1);
  const at::Tensor mean = training.mean(0), centred = training - mean;
  const at::Tensor directions = std::get<1>(at::linalg_eigh(at::mm(centred.t(), centred) / 3000.0));
  const at::Tensor variances = statistics.spread(val) / 400.0;
  for (const double a : {0.9, 0.3}) {
    double error = 0;
    constexpr int repeats = 40;
    for (uint64_t r = 0; r < repeats; ++r) {
      const at::Tensor eps = normal_tensor(Rng(r, "eps"), x0.sizes()).to(at::kDouble);
      const at::Tensor x = x0 * std::sqrt(a) + eps * std::sqrt(1 - a);
      const at::Tensor gain = std::sqrt(1 - a) / (variances * a + (1 - a));
      const at::Tensor guess = at::mm(at::mm(x - mean * std::sqrt(a), directions) * gain, directions.t());
      error += (guess - eps).square().mean().item<double>() / repeats;
    }
    CHECK_NEAR(wiener_error(variances, a) / error, 1, 0.02);
  }
}

static void test_buckets(void**) {
  const std::vector<StepBucket> buckets = step_buckets(1000);
  CHECK(buckets.size() == 5 && buckets[0].last == 100 && buckets[1].last == 250 && buckets[4].first == 750);
  int64_t steps = 0;
  for (const StepBucket& b : step_buckets(77)) steps += b.last - b.first;
  CHECK(steps == 77);
}

static Batch prediction(int64_t samples, double error) {
  Batch out;
  out.set("eps_mse", at::full({samples, 5}, error, at::kDouble));
  return out;
}

static Batch images(const at::Tensor& x) {
  Batch out;
  out.set("images", x);
  return out;
}

static double metric(const std::vector<Metric>& metrics, const std::string& name) {
  for (const Metric& m : metrics) {
    if (m.name == name) return m.value;
  }
  fail(MOE_ERR_NOT_FOUND, "no metric ", name);
}

static void test_evaluator(void**) {
  const auto statistics = std::make_shared<PictureStatistics>();
  auto first = make_denoising_evaluator(statistics, linear_schedule(), 200);
  for (const Metric& m : first->finish()) CHECK(m.value == -1);
  int64_t shown = 0;
  while (first->wants_training_data())
    first->add_training(images(pictures(5 + static_cast<uint64_t>(shown), 64))), shown += 64;
  CHECK(shown == 256);
  first->add(images(pictures(3, 10)), prediction(10, 0.2));
  first->add(images(pictures(4, 30)), prediction(30, 0.1));
  const std::vector<Metric> metrics = first->finish();
  CHECK(metrics[0].name == "skill" && metrics.size() == 19);
  CHECK_NEAR(metric(metrics, "eps_mse"), 0.125, 1e-12);
  CHECK_NEAR(metric(metrics, "eps_mse/100-249"), 0.125, 1e-12);
  CHECK_NEAR(metrics[0].value, 1 - 0.125 / metric(metrics, "eps_mse_wiener"), 1e-12);
  CHECK(metric(metrics, "eps_mse_wiener/0-99") < metric(metrics, "eps_mse_gaussian/0-99"));
  const auto second = make_denoising_evaluator(statistics, linear_schedule(), 200);
  CHECK(!second->wants_training_data());
}

// Too many numbers for a covariance: the variance of a pixel is the baseline.
static void test_large_pictures(void**) {
  const auto statistics = std::make_shared<PictureStatistics>();
  const auto evaluator = make_denoising_evaluator(statistics, linear_schedule(), 4);
  evaluator->add_training(images(uniform_tensor(Rng(1, "large"), {4, 3, 40, 40})));
  evaluator->add(images(uniform_tensor(Rng(2, "large"), {3, 3, 40, 40})), prediction(3, 0.1));
  const std::vector<Metric> metrics = evaluator->finish();
  CHECK(metric(metrics, "eps_mse_wiener") == -1);
  CHECK_NEAR(metrics[0].value, 1 - 0.1 / metric(metrics, "eps_mse_gaussian"), 1e-12);
  const auto empty = make_denoising_evaluator(std::make_shared<PictureStatistics>(), linear_schedule(), 4);
  CHECK_ERROR(MOE_ERR_DATA, "expected at least 2 training pictures, got 0",
              empty->add(images(pictures(1, 2)), prediction(2, 0.1)));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_wiener_error), cmocka_unit_test(test_baseline_by_simulation),
                              cmocka_unit_test(test_buckets), cmocka_unit_test(test_evaluator),
                              cmocka_unit_test(test_large_pictures)};
  return cmocka_run_group_tests_name("denoising error", tests, nullptr, nullptr);
}
