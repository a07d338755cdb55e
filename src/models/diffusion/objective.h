// What a diffusion network predicts and how a training sample is noised. Every kind is one linear form: with network
// output F at the noised x, x0 = skip * x + out * F, and the target of F is of_x0 * x0 + of_noise * eps. Sources: eps
// Ho et al. 2020; v Salimans and Ho 2022; EDM Karras et al. 2022 (table 1); rectified flow Liu et al. 2022; min-SNR
// weights Hang et al. 2023. It knows no network and no sampler.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "base/rng.h"
#include "models/diffusion/schedule.h"

namespace moe::diffusion {

enum class Prediction { eps, v, x0, edm, flow };
Prediction parse_prediction(const std::string& name);  // MOE_ERR_CONFIG names the choices

struct ObjectiveOptions {
  Prediction prediction = Prediction::v;
  ScheduleOptions schedule;                   // of eps, v and x0
  double min_snr = 0;                         // gamma of min-SNR weights (5 in the paper); 0: every level weighs 1
  double data_deviation = 0.5;                // EDM's sigma_data: of pixels in -1..1
  double sigma_mean = -1.2, sigma_std = 1.2;  // EDM: of ln sigma in training
  bool logit_normal = false;                  // flow: noise share sigmoid(N(0, 1)) in training; else uniform
};

// Coefficients of one noise level.
struct Coefficients {
  double skip, out;        // x0 = skip * x + out * F
  double of_x0, of_noise;  // target of F
  double input;            // the network sees input * x
  double time;             // and this time: a step of the schedule, 1000 ln(sigma) / 4 (EDM), 1000 * noise (flow)
  double weight;           // of (F - target)²
};

class Objective {
 public:
  explicit Objective(const ObjectiveOptions& options);  // MOE_ERR_CONFIG

  Prediction prediction() const { return options_.prediction; }
  const NoiseSchedule& schedule() const { return schedule_; }
  Level draw(Rng rng) const;  // the noise level of one training sample
  // The level of the same signal-to-noise ratio in this objective's own process: x * (own.signal / level.signal).
  Level own(const Level& level) const;
  Coefficients at(const Level& own) const;  // MOE_ERR_INTERNAL for a level of another process

 private:
  Coefficients variance_preserving(const Level& own) const;

  ObjectiveOptions options_;
  NoiseSchedule schedule_;
};

// One value a sample as [B, 1, 1, 1] in the type of `like`, to multiply maps with.
at::Tensor per_sample(const std::vector<double>& values, const at::Tensor& like);

}  // namespace moe::diffusion
