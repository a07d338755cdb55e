// Distances between sets of features, against scipy and loops, and at sets whose answer is known.
#include <torch/torch.h>

#include "eval/generation.h"
#include "fixtures/diffusion/generation.h"
#include "support/test.h"
#include "tensor/random.h"

using namespace moe;
namespace want = golden::generation;

static at::Tensor table(int64_t rows, double scale, double by_row, double by_column, double shift, double slope) {
  const at::Tensor i = at::arange(rows, at::kDouble).unsqueeze(1), j = at::arange(4, at::kDouble).unsqueeze(0);
  return scale * (by_row * i + by_column * j + shift).sin() + slope * j;
}

static at::Tensor real() {
  return table(24, 1, 1.3, 0.7, 0, 0.1);
}

static at::Tensor generated() {
  return table(20, 0.8, 1.1, 0.9, 0.4, 0.15);
}

// Both tables have rank two: square roots of eigenvalues that are zero but for rounding leave errors of 1e-8.
static void test_frechet_distance(void**) {
  CHECK_NEAR(frechet_distance(feature_moments(real()), feature_moments(generated())), want::fid, 1e-7);
  CHECK_NEAR(frechet_distance(feature_moments(real()), feature_moments(real())), 0, 1e-7);
  CHECK_NEAR(frechet_distance(feature_moments(real()), feature_moments(real() + 2)), 16,
             1e-7);  // four means moved by 2
  // Axis-parallel normals: sum over axes of (m1 - m2)² + (s1 - s2)².
  const FeatureMoments a{at::tensor({0.0, 1.0}), at::diag(at::tensor({4.0, 9.0}))};
  const FeatureMoments b{at::tensor({1.0, 1.0}), at::diag(at::tensor({1.0, 16.0}))};
  CHECK_NEAR(frechet_distance({a.mean.to(at::kDouble), a.covariance.to(at::kDouble)},
                              {b.mean.to(at::kDouble), b.covariance.to(at::kDouble)}),
             1 + 1 + 1, 1e-7);
}

static void test_singular_covariances(void**) {
  const at::Tensor few = normal_tensor(Rng(1, "few"), {5, 16}), other = normal_tensor(Rng(2, "other"), {5, 16});
  const double distance = frechet_distance(feature_moments(few), feature_moments(other));
  CHECK(std::isfinite(distance) && distance > 0);
  CHECK_NEAR(frechet_distance(feature_moments(few), feature_moments(few)), 0, 1e-6);
}

static void test_kernel_distance(void**) {
  const at::Tensor a = real().narrow(0, 0, 20);
  CHECK_NEAR(kernel_distance(a, generated(), 1, 1000, Rng(1, "kid")), want::kid, 1e-9);
  // Unbiased: around zero for two halves of one distribution, also in small subsets.
  const at::Tensor x = normal_tensor(Rng(3, "x"), {600, 8}), y = normal_tensor(Rng(4, "y"), {600, 8});
  const double same = kernel_distance(x, y, 100, 50, Rng(1, "kid")),
               moved = kernel_distance(x, y + 1, 100, 50, Rng(1, "kid"));
  std::printf("kernel distance: %.4f of one distribution, %.4f of another\n", same, moved);
  CHECK(std::abs(same) < 0.05 && moved > 1);
  CHECK(kernel_distance(x, y, 10, 50, Rng(1, "kid")) == kernel_distance(x, y, 10, 50, Rng(1, "kid")));
}

static void test_manifold_scores(void**) {
  const ManifoldScores three = manifold_scores(real(), generated(), 3), five = manifold_scores(real(), generated(), 5);
  CHECK_NEAR(three.precision, want::precision_3, 1e-12);
  CHECK_NEAR(three.recall, want::recall_3, 1e-12);
  CHECK_NEAR(three.density, want::density_3, 1e-12);
  CHECK_NEAR(three.coverage, want::coverage_3, 1e-12);
  CHECK_NEAR(five.precision, want::precision_5, 1e-12);
  CHECK_NEAR(five.recall, want::recall_5, 1e-12);
  CHECK_NEAR(five.density, want::density_5, 1e-12);
  CHECK_NEAR(five.coverage, want::coverage_5, 1e-12);
  const ManifoldScores far = manifold_scores(real(), generated() + 100, 3);
  CHECK(far.precision == 0 && far.recall == 0 && far.density == 0 && far.coverage == 0);
  // One picture again and again: precise, and it covers nearly nothing.
  const at::Tensor collapsed = real().narrow(0, 3, 1).repeat({20, 1}) + 1e-6 * at::arange(20, at::kDouble).unsqueeze(1);
  const ManifoldScores one = manifold_scores(real(), collapsed, 3);
  CHECK(one.precision == 1 && one.recall <= 0.05 && one.coverage < 0.3);
}

static void test_inception_score(void**) {
  CHECK_NEAR(inception_score(at::eye(5).repeat({4, 1})), 5, 1e-9);  // certain and spread over five classes
  CHECK_NEAR(inception_score(at::full({7, 5}, 0.2)), 1, 1e-9);      // undecided
  CHECK_NEAR(inception_score(at::eye(5).narrow(0, 0, 1).repeat({9, 1})), 1, 1e-9);  // certain of one class alone
}

static void test_nearest_neighbours(void**) {
  const at::Tensor training = at::tensor({0.0, 0.0, 3.0, 4.0, 10.0, 0.0}, at::kDouble).view({3, 2});
  const Neighbours found = nearest_neighbours(at::tensor({3.0, 3.0, 9.0, 0.0}, at::kDouble).view({2, 2}), training);
  CHECK(at::equal(found.row, at::tensor({1, 2}, at::kLong)));
  CHECK(at::allclose(found.distance, at::tensor({1.0, 1.0}, at::kDouble)));
}

static void test_errors(void**) {
  CHECK_ERROR(MOE_ERR_DATA, "features: expected at least 2, got 1", feature_moments(real().narrow(0, 0, 1)));
  CHECK_ERROR(MOE_ERR_SHAPE, "features of one width, got 4 and 3",
              frechet_distance(feature_moments(real()), feature_moments(real().narrow(1, 0, 3))));
  CHECK_ERROR(MOE_ERR_DATA, "more features on either side than the 3 neighbours, got 24 and 3",
              manifold_scores(real(), generated().narrow(0, 0, 3), 3));
  CHECK_ERROR(MOE_ERR_DATA, "at least 2 features",
              kernel_distance(real(), generated().narrow(0, 0, 1), 1, 9, Rng(1, "k")));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_frechet_distance),
                              cmocka_unit_test(test_singular_covariances),
                              cmocka_unit_test(test_kernel_distance),
                              cmocka_unit_test(test_manifold_scores),
                              cmocka_unit_test(test_inception_score),
                              cmocka_unit_test(test_nearest_neighbours),
                              cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests_name("generation", tests, nullptr, nullptr);
}
