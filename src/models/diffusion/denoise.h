// A network and its objective together: noised pictures in, predictions of x0 or of the noise out. Training losses,
// denoising errors and the samplers' denoiser are here; the loop of a sampler is not. Pictures are in -1..1.
#pragma once

#include "models/diffusion/network.h"
#include "models/task.h"

namespace moe::diffusion {

// The raw prediction F at x [B, C, H, W], whose sample i is at levels[i] of the objective's own process.
NetworkOutput raw_prediction(const Network& network, const Objective& objective, const at::Tensor& x,
                             const std::vector<Level>& levels, const at::Tensor& labels,
                             const std::optional<Rng>& noise);

// Noised training samples of a micro-batch. Everything random comes from `rng`, by the sample's place.
struct TrainingDraw {
  std::vector<Level> levels;
  at::Tensor noise;   // [B, C, H, W] standard normal
  at::Tensor labels;  // int64 [B]; `classes` where the class is hidden
};
TrainingDraw draw_training(const Objective& objective, const at::Tensor& x0, const at::Tensor& labels, int64_t classes,
                           double label_dropout, const Rng& rng);

// The losses of one micro-batch: denoising (weighted squared error of F, mean over pixels) and those of the routers.
struct LossResult {
  std::vector<LossTerm> terms;
  std::vector<Routing> routings;
};
LossResult losses(const Options& options, const Network& network, const Objective& objective, const at::Tensor& x0,
                  const TrainingDraw& draw, const ForwardContext& context);

// What its routers will choose, for losses of the whole window; without gradient.
std::vector<RoutingTotals> totals(const Options& options, const Network& network, const Objective& objective,
                                  const at::Tensor& x0, const TrainingDraw& draw, const ForwardContext& context);

// labels int64 [B], `classes` for none -> of each of the routing's tokens, [T], -1 for none. A pixel has the class of
// its picture.
at::Tensor classes_of_tokens(const at::Tensor& labels, int64_t classes, const Routing& routing);

// Squared error of the predicted noise in x = signal * x0 + noise * eps at the same level of a variance-preserving
// process for all samples, mean over pixels: [B] float64. Levels of other processes have the same signal-to-noise
// ratio.
struct DenoisingResult {
  at::Tensor error;
  std::vector<Routing> routings;
};
DenoisingResult denoising_error(const Network& network, const Objective& objective, const at::Tensor& x0,
                                const std::vector<Level>& levels, const at::Tensor& noise, const at::Tensor& labels);

}  // namespace moe::diffusion
