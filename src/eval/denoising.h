// How well a network tells the noise in pictures, and what two linear denoisers reach on the same pictures: one knows
// the variance of a pixel, one the variance along every principal direction of the training data (PCA-Wiener). A
// network that does not beat the second has learned nothing that is not linear. No pictures are generated here.
#pragma once

#include <memory>

#include "eval/evaluator.h"

namespace moe {

// Mean of flattened training pictures in -1..1, and the eigenvectors of their covariance.
class PictureStatistics {
 public:
  // Pictures with more numbers than this keep a pixel's mean only: a covariance would not fit.
  static constexpr int64_t covariance_limit = 4096;

  void add(const at::Tensor& pictures);  // [B, C, H, W] float32 in 0..1
  int64_t count() const { return count_; }
  bool complete() const { return complete_; }
  void finish();  // no more pictures; MOE_ERR_DATA unless there were two

  bool has_directions() const { return vectors_.defined(); }
  double mean() const { return pixel_mean_; }  // of a pixel
  // Squared distances of pictures [B, C, H, W] from the training mean along the eigenvectors, summed over the batch,
  // [D] float64.
  at::Tensor spread(const at::Tensor& pictures) const;

 private:
  int64_t count_ = 0;
  bool complete_ = false;
  at::Tensor sum_, products_;  // [D], [D, D] float64
  double pixel_sum_ = 0, pixel_mean_ = 0;
  at::Tensor mean_, vectors_;  // [D], [D, D]
};

// Expected error of the noise, at signal² = a, that the best linear denoiser leaves along directions of these variances
// [D] float64: their mean of a v / (a v + 1 - a). The variances are those of the very pictures that are denoised, so no
// denoiser fitted to training pictures does better along the same directions.
double wiener_error(const at::Tensor& variances, double a);

// The steps of one bucket of the schedule: first .. last - 1.
struct StepBucket {
  int64_t first, last;
};
// Tenths and quarters of a schedule: [0, T/10), [T/10, T/4), [T/4, T/2), [T/2, 3T/4), [3T/4, T).
std::vector<StepBucket> step_buckets(int64_t steps);

// Fields read: of the batch images [B, C, H, W] in 0..1, of the prediction eps_mse [B, buckets]. Metrics: skill (1 -
// eps_mse / eps_mse_wiener, or of eps_mse_gaussian for pictures over the limit), eps_mse (mean over all steps alike),
// eps_mse/FIRST-LAST by bucket, and both baselines likewise. alphas_cumprod: a_t of every step. The statistics are
// filled from the training data by the first evaluator and shared by the next ones.
std::unique_ptr<Evaluator> make_denoising_evaluator(std::shared_ptr<PictureStatistics> statistics,
                                                    std::vector<double> alphas_cumprod, int64_t most_pictures);

}  // namespace moe
