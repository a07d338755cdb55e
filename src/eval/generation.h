// Distances between two sets of pictures by their features: FID (Heusel et al. 2017), KID (Binkowski et al. 2018),
// precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), Inception score (Salimans
// et al. 2016). Pure functions of features [N, D]: which network gives them decides what the numbers may be compared
// with.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "base/rng.h"

namespace moe {

// Mean [D] and covariance [D, D] (divisor N - 1), float64.
struct FeatureMoments {
  at::Tensor mean, covariance;
};
FeatureMoments feature_moments(const at::Tensor& features);  // MOE_ERR_DATA: fewer than 2

// |m1 - m2|² + Tr(S1) + Tr(S2) - 2 Tr((S1 S2)^(1/2)) by symmetric eigenvalues: no complex numbers, no added identity.
// With fewer features than dimensions the covariances are singular and the number is too high.
double frechet_distance(const FeatureMoments& a, const FeatureMoments& b);

// Unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)³, mean over `subsets` of `size` drawn from
// either side (both at most as large as the smaller side).
double kernel_distance(const at::Tensor& a, const at::Tensor& b, int64_t subsets, int64_t size, Rng rng);

// A ball around each real one to its k-th neighbour among the real ones, and the same around generated ones. precision:
// share of generated ones inside a real ball; recall: the reverse; density: real balls that hold a generated one, over
// k; coverage: share of real balls that hold any. MOE_ERR_DATA unless both sides have more than k.
struct ManifoldScores {
  double precision = 0, recall = 0, density = 0, coverage = 0;
};
ManifoldScores manifold_scores(const at::Tensor& real, const at::Tensor& generated, int64_t k);

// exp of the mean divergence of p(y | x) from its mean over the set. probabilities [N, K].
double inception_score(const at::Tensor& probabilities);

// For each generated picture [N, D] the closest training one [M, D]: its row and the Euclidean distance.
struct Neighbours {
  at::Tensor row, distance;  // int64 [N], float64 [N]
};
Neighbours nearest_neighbours(const at::Tensor& generated, const at::Tensor& training);

}  // namespace moe
