// Samplers: from noise to pictures by a list of noise levels, as pure functions of a denoiser. DDPM (Ho et al. 2020),
// DDIM (Song et al. 2021), DPM-Solver++ 2M (Lu et al. 2022), Heun of EDM (Karras et al. 2022), Euler of rectified flow
// (Liu et al. 2022). The state is float64. They know no network, no labels and no random stream: both come as
// functions.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "models/diffusion/objective.h"

namespace moe::diffusion {

enum class SamplerKind { ddpm, ddim, dpmpp_2m, heun, euler };
SamplerKind parse_sampler(const std::string& name);  // MOE_ERR_CONFIG names the nearest

// What is done to a predicted x0. clip: to -1..1. dynamic: divided by the `quantile` of its own absolute values,
// clamped to 1..`largest`, and clipped there first (Saharia et al., Imagen, 2022).
enum class Threshold { none, clip, dynamic };
Threshold parse_threshold(const std::string& name);

struct SamplerOptions {
  SamplerKind kind = SamplerKind::ddim;
  int64_t steps = 50;
  Spacing spacing = Spacing::trailing;
  bool karras = false;  // dpmpp_2m, heun: levels by Karras et al. instead of spacing; always so for an EDM network
  double sigma_min = 0.002, sigma_max = 80, rho = 7;  // EDM; within the schedule's range for other networks
  double eta = 0;                                     // ddim: share of ddpm's noise that is drawn anew
  bool large_variance = false;                        // ddpm: beta instead of the posterior's variance
  Threshold threshold = Threshold::none;
  double quantile = 0.995, largest = 1;  // of dynamic thresholds
  bool keep_noise = false;  // ddim: eps as predicted, also after a threshold changed x0 (diffusers), else derived anew
  double churn = 0, churn_min = 0, churn_max = 1e30, churn_noise = 1;  // heun: S_churn, S_tmin, S_tmax, S_noise
  double shift = 1;  // euler: noise shares moved towards 1 (Esser et al., Stable Diffusion 3, 2024)
};

// The levels that are visited, from noise to x0 = (1, 0), which ends the list. MOE_ERR_CONFIG where this sampler cannot
// run what the network predicts, or for a number of steps that is out of range.
std::vector<Level> sampler_levels(const SamplerOptions& options, const Objective& objective);

using Denoiser = std::function<at::Tensor(const at::Tensor& x, const Level& level)>;  // -> x0, all [B, C, H, W] float64
using StepNoise = std::function<at::Tensor(int64_t step)>;                            // standard normal, like x

at::Tensor apply_threshold(const SamplerOptions& options, const at::Tensor& x0);

// x: noise of standard deviation 1, [B, C, H, W] -> x0. `noise` is asked once a step at most, by the samplers that
// draw.
at::Tensor run_sampler(const SamplerOptions& options, const std::vector<Level>& levels, const at::Tensor& x,
                       const Denoiser& denoise, const StepNoise& noise);

// Classifier-free guidance (Ho and Salimans 2022): unconditional + scale * (conditional - unconditional).
at::Tensor guide(const at::Tensor& unconditional, const at::Tensor& conditional, double scale);

}  // namespace moe::diffusion
