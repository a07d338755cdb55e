#include "eval/generation.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace moe {

FeatureMoments feature_moments(const at::Tensor& features) {
  check(features.dim() == 2 && features.size(0) >= 2, MOE_ERR_DATA, "features: expected at least 2, got ",
        features.size(0));
  const at::Tensor x = features.to(at::kDouble);
  const at::Tensor mean = x.mean(0), centred = x - mean;
  return {mean, at::mm(centred.t(), centred) / static_cast<double>(x.size(0) - 1)};
}

// Rounding leaves small negative eigenvalues of a matrix that has none.
static at::Tensor square_root(const at::Tensor& matrix) {
  const auto [values, vectors] = at::linalg_eigh(matrix);
  return at::mm(vectors * values.clamp_min(0).sqrt(), vectors.t());
}

double frechet_distance(const FeatureMoments& a, const FeatureMoments& b) {
  check(a.mean.sizes() == b.mean.sizes(), MOE_ERR_SHAPE, "frechet distance: expected features of one width, got ",
        a.mean.size(0), " and ", b.mean.size(0));
  const at::Tensor root = square_root(a.covariance);
  const at::Tensor product = at::mm(at::mm(root, b.covariance), root);
  const double shared = at::linalg_eigvalsh((product + product.t()) * 0.5).clamp_min(0).sqrt().sum().item<double>();
  const double means = (a.mean - b.mean).square().sum().item<double>();
  return means + a.covariance.trace().item<double>() + b.covariance.trace().item<double>() - 2 * shared;
}

static at::Tensor cubic_kernel(const at::Tensor& a, const at::Tensor& b) {
  return (at::mm(a, b.t()) / static_cast<double>(a.size(1)) + 1).pow(3);
}

static double discrepancy(const at::Tensor& a, const at::Tensor& b) {
  const double n = static_cast<double>(a.size(0));
  const auto within = [n](const at::Tensor& x) {
    const at::Tensor kernel = cubic_kernel(x, x);
    return (kernel.sum() - kernel.trace()).item<double>() / (n * (n - 1));
  };
  return within(a) + within(b) - 2 * cubic_kernel(a, b).mean().item<double>();
}

static at::Tensor drawn(const at::Tensor& features, int64_t count, Rng rng) {
  std::vector<int64_t> rows = permutation(rng, features.size(0));
  rows.resize(static_cast<size_t>(count));
  return features.index_select(0, at::tensor(rows, at::kLong)).to(at::kDouble);
}

double kernel_distance(const at::Tensor& a, const at::Tensor& b, int64_t subsets, int64_t size, Rng rng) {
  const int64_t count = std::min({size, a.size(0), b.size(0)});
  check(count >= 2 && subsets >= 1, MOE_ERR_DATA, "kernel distance: expected at least 2 features on either side, got ",
        a.size(0), " and ", b.size(0));
  double sum = 0;
  for (int64_t i = 0; i < subsets; ++i) {
    const Rng own = rng.child("subset", static_cast<uint64_t>(i));
    sum += discrepancy(drawn(a, count, own.child("a")), drawn(b, count, own.child("b")));
  }
  return sum / static_cast<double>(subsets);
}

// Squared distances, exact where rows are equal: differences, not the expanded square.
static at::Tensor distances(const at::Tensor& a, const at::Tensor& b) {
  return at::cdist(a.to(at::kDouble), b.to(at::kDouble), 2, /*compute_mode=*/2);
}

// Distance of every row to its k-th neighbour, itself not counted.
static at::Tensor radii(const at::Tensor& features, int64_t k) {
  return std::get<0>(at::kthvalue(distances(features, features), k + 1, 1));
}

ManifoldScores manifold_scores(const at::Tensor& real, const at::Tensor& generated, int64_t k) {
  check(k >= 1 && real.size(0) > k && generated.size(0) > k, MOE_ERR_DATA,
        "precision and recall: expected more features on either side than the ", k, " neighbours, got ", real.size(0),
        " and ", generated.size(0));
  const at::Tensor between = distances(real, generated);  // [real, generated]
  const at::Tensor real_balls = radii(real, k).unsqueeze(1), generated_balls = radii(generated, k).unsqueeze(0);
  const at::Tensor inside = between < real_balls;
  ManifoldScores out;
  out.precision = inside.any(0).to(at::kDouble).mean().item<double>();
  out.recall = (between < generated_balls).any(1).to(at::kDouble).mean().item<double>();
  out.density = inside.to(at::kDouble).sum(0).mean().item<double>() / static_cast<double>(k);
  out.coverage = inside.any(1).to(at::kDouble).mean().item<double>();
  return out;
}

double inception_score(const at::Tensor& probabilities) {
  const at::Tensor p = probabilities.to(at::kDouble), mean = p.mean(0, /*keepdim=*/true);
  const at::Tensor terms =
      at::where(p > 0, p * (p.clamp_min(1e-300).log() - mean.clamp_min(1e-300).log()), at::zeros_like(p));
  return terms.sum(1).mean().exp().item<double>();
}

Neighbours nearest_neighbours(const at::Tensor& generated, const at::Tensor& training) {
  check(training.size(0) >= 1, MOE_ERR_DATA, "nearest neighbours: expected at least 1 training picture, got none");
  const auto [distance, row] = distances(generated, training).min(1);
  return {row, distance};
}

}  // namespace moe
