#include "eval/denoising.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace moe {

static at::Tensor flat(const at::Tensor& pictures) {  // 0..1 -> [B, D] float64 in -1..1
  return pictures.to(at::kDouble).mul(2).sub(1).reshape({pictures.size(0), -1});
}

// Products of a batch in float32: their rounding is far below the noise of the sample, and they take half the time.
void PictureStatistics::add(const at::Tensor& pictures) {
  const at::Tensor x = flat(pictures);
  const int64_t size = x.size(1);
  count_ += x.size(0);
  pixel_sum_ += x.sum().item<double>() / static_cast<double>(size);
  if (size > covariance_limit) return;
  if (!sum_.defined()) {
    sum_ = at::zeros({size}, at::kDouble);
    products_ = at::zeros({size, size}, at::kDouble);
  }
  const at::Tensor single = x.to(at::kFloat);
  sum_ += x.sum(0);
  products_ += at::mm(single.t(), single);
}

void PictureStatistics::finish() {
  check(count_ >= 2, MOE_ERR_DATA, "evaluation: expected at least 2 training pictures, got ", count_);
  complete_ = true;
  const double count = static_cast<double>(count_);
  pixel_mean_ = pixel_sum_ / count;
  if (!sum_.defined()) return;
  mean_ = sum_ / count;
  const at::Tensor covariance = products_ / count - at::outer(mean_, mean_);
  vectors_ = std::get<1>(at::linalg_eigh(covariance));
  sum_ = products_ = at::Tensor();
}

at::Tensor PictureStatistics::spread(const at::Tensor& pictures) const {
  return at::mm(flat(pictures) - mean_, vectors_).square().sum(0);
}

double wiener_error(const at::Tensor& variances, double a) {
  const at::Tensor signal = variances * a;
  return (signal / (signal + (1 - a))).mean().item<double>();
}

std::vector<StepBucket> step_buckets(int64_t steps) {
  const std::vector<int64_t> edges = {0, steps / 10, steps / 4, steps / 2, steps * 3 / 4, steps};
  std::vector<StepBucket> out;
  for (size_t i = 0; i + 1 < edges.size(); ++i) out.push_back({edges[i], edges[i + 1]});
  return out;
}

namespace {

class DenoisingEvaluator : public Evaluator {
 public:
  DenoisingEvaluator(std::shared_ptr<PictureStatistics> statistics, std::vector<double> alphas_cumprod,
                     int64_t most_pictures)
      : statistics_(std::move(statistics)),
        alphas_cumprod_(std::move(alphas_cumprod)),
        most_pictures_(most_pictures),
        buckets_(step_buckets(static_cast<int64_t>(alphas_cumprod_.size()))),
        errors_(buckets_.size()) {}

  bool wants_training_data() const override {
    return !statistics_->complete() && statistics_->count() < most_pictures_;
  }
  void add_training(const Batch& batch) override { statistics_->add(batch.get("images")); }

  void add(const Batch& targets, const Batch& predictions) override {
    if (!statistics_->complete()) statistics_->finish();
    const at::Tensor& images = targets.get("images");
    const at::Tensor sums = predictions.get("eps_mse").to(at::kDouble).sum(0);
    for (size_t i = 0; i < errors_.size(); ++i) errors_[i] += sums[static_cast<int64_t>(i)].item<double>();
    count_ += images.size(0);
    squares_ += (images.to(at::kDouble) * 2 - 1 - statistics_->mean()).square().flatten(1).mean(1).sum().item<double>();
    if (!statistics_->has_directions()) return;
    const at::Tensor own = statistics_->spread(images);
    spread_ = spread_.defined() ? spread_ + own : own;
  }

  std::vector<Metric> finish() override {
    std::vector<Metric> out = {{"skill", -1}};
    const double count = static_cast<double>(count_);
    std::vector<double> own, gaussian, wiener;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      own.push_back(count_ > 0 ? errors_[i] / count : -1);
      gaussian.push_back(count_ > 0 ? baseline(i, at::full({1}, squares_ / count, at::kDouble)) : -1);
      wiener.push_back(spread_.defined() ? baseline(i, spread_ / count) : -1);
    }
    const double error = add_metrics(out, "eps_mse", own), best_pixel = add_metrics(out, "eps_mse_gaussian", gaussian);
    const double best_linear = add_metrics(out, "eps_mse_wiener", wiener);
    if (count_ > 0) out[0].value = 1 - error / (spread_.defined() ? best_linear : best_pixel);
    return out;
  }

 private:
  double baseline(size_t bucket, const at::Tensor& variances) const {
    double sum = 0;
    const auto [first, last] = buckets_[bucket];
    for (int64_t t = first; t < last; ++t) sum += wiener_error(variances, alphas_cumprod_[static_cast<size_t>(t)]);
    return sum / static_cast<double>(last - first);
  }

  // Adds the mean over all steps, then every bucket; returns the mean.
  double add_metrics(std::vector<Metric>& out, const std::string& name, const std::vector<double>& values) const {
    double mean = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      mean += values[i] * static_cast<double>(buckets_[i].last - buckets_[i].first) /
              static_cast<double>(alphas_cumprod_.size());
    }
    if (values[0] == -1) mean = -1;
    out.push_back({name, mean});
    for (size_t i = 0; i < values.size(); ++i) {
      out.push_back({text(name, "/", buckets_[i].first, "-", buckets_[i].last - 1), values[i]});
    }
    return mean;
  }

  std::shared_ptr<PictureStatistics> statistics_;
  std::vector<double> alphas_cumprod_;
  int64_t most_pictures_;
  std::vector<StepBucket> buckets_;
  std::vector<double> errors_;  // sums over pictures, by bucket
  double squares_ = 0;          // sum over pictures of the mean squared distance from the training mean
  at::Tensor spread_;           // [D]
  int64_t count_ = 0;
};

}  // namespace

std::unique_ptr<Evaluator> make_denoising_evaluator(std::shared_ptr<PictureStatistics> statistics,
                                                    std::vector<double> alphas_cumprod, int64_t most_pictures) {
  return std::make_unique<DenoisingEvaluator>(std::move(statistics), std::move(alphas_cumprod), most_pictures);
}

}  // namespace moe
