#include "models/diffusion/sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace moe::diffusion {

static const std::vector<std::string> sampler_names = {"ddpm", "ddim", "dpmpp_2m", "heun", "euler"};
static const std::vector<std::string> threshold_names = {"none", "clip", "dynamic"};

static size_t index_of(const char* what, const std::string& name, const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), name);
  check(found != names.end(), MOE_ERR_CONFIG, what, ": expected ", join(names, ", "), ", got ", quote(name),
        did_you_mean(name, names));
  return static_cast<size_t>(found - names.begin());
}

SamplerKind parse_sampler(const std::string& name) {
  return static_cast<SamplerKind>(index_of("sampler", name, sampler_names));
}

Threshold parse_threshold(const std::string& name) {
  return static_cast<Threshold>(index_of("threshold", name, threshold_names));
}

// --- Levels ---

static void check_pair(SamplerKind kind, Prediction prediction) {
  const bool discrete = kind == SamplerKind::ddpm || kind == SamplerKind::ddim;
  const std::string name = sampler_names[static_cast<size_t>(kind)];
  if (prediction == Prediction::flow) {
    check(kind == SamplerKind::euler, MOE_ERR_CONFIG, "sampler: expected euler for a network of objective flow, got ",
          name);
  } else if (prediction == Prediction::edm) {
    check(!discrete && kind != SamplerKind::euler, MOE_ERR_CONFIG,
          "sampler: expected heun or dpmpp_2m for a network of objective edm, got ", name);
  } else {
    check(kind != SamplerKind::euler, MOE_ERR_CONFIG,
          "sampler: expected ddpm, ddim, dpmpp_2m or heun for a network of objective eps, v or x0, got ", name);
  }
}

static std::vector<Level> flow_levels(const SamplerOptions& options) {
  std::vector<Level> out;
  for (int64_t i = 0; i < options.steps; ++i) {
    const double even = 1 - static_cast<double>(i) / static_cast<double>(options.steps);
    const double noise = options.shift * even / (1 + (options.shift - 1) * even);
    out.push_back({1 - noise, noise});
  }
  return out;
}

// The levels of Karras et al. between the ends of the schedule; they lie between its steps.
static std::vector<Level> karras_levels(const SamplerOptions& options, const NoiseSchedule& schedule) {
  const double lowest = schedule.level(0).sigma(), highest = schedule.level(schedule.steps() - 1).sigma();
  std::vector<Level> out;
  for (const double sigma : karras_sigmas(options.steps, lowest, highest, options.rho)) {
    const double length = std::hypot(1, sigma);
    out.push_back({1 / length, sigma / length});
  }
  return out;
}

static std::vector<Level> schedule_levels(const SamplerOptions& options, const NoiseSchedule& schedule) {
  const bool by_sigma = options.kind == SamplerKind::dpmpp_2m || options.kind == SamplerKind::heun;
  check(!by_sigma || schedule.alphas_cumprod().back() > 0, MOE_ERR_CONFIG,
        "sampler: expected ddpm or ddim with a schedule of zero terminal SNR, got ",
        sampler_names[static_cast<size_t>(options.kind)]);
  if (options.karras && by_sigma) return karras_levels(options, schedule);
  std::vector<Level> out;
  for (const int64_t t : spaced_steps(options.spacing, schedule.steps(), options.steps)) {
    out.push_back(schedule.level(t));
  }
  return out;
}

std::vector<Level> sampler_levels(const SamplerOptions& options, const Objective& objective) {
  check(options.steps >= 1, MOE_ERR_CONFIG, "sampler: expected at least 1 step, got ", options.steps);
  check_pair(options.kind, objective.prediction());
  std::vector<Level> out;
  if (objective.prediction() == Prediction::flow) {
    out = flow_levels(options);
  } else if (objective.prediction() == Prediction::edm) {
    for (const double sigma : karras_sigmas(options.steps, options.sigma_min, options.sigma_max, options.rho)) {
      out.push_back({1, sigma});
    }
  } else {
    out = schedule_levels(options, objective.schedule());
  }
  out.push_back({1, 0});
  return out;
}

// --- Steps ---

at::Tensor apply_threshold(const SamplerOptions& options, const at::Tensor& x0) {
  if (options.threshold == Threshold::none) return x0;
  if (options.threshold == Threshold::clip) return x0.clamp(-1, 1);
  at::Tensor bound = at::quantile(x0.flatten(1).abs(), options.quantile, 1).clamp(1, std::max(1.0, options.largest));
  bound = bound.view({-1, 1, 1, 1});
  return at::clamp(x0, -bound, bound) / bound;
}

namespace {

// What one step knows: where it is, where it goes.
struct Step {
  const SamplerOptions& options;
  const std::vector<Level>& levels;
  int64_t index;
  const Denoiser& denoise;
  const StepNoise& noise;

  const Level& from() const { return levels[static_cast<size_t>(index)]; }
  const Level& to() const { return levels[static_cast<size_t>(index) + 1]; }
  bool is_last() const { return index + 2 == static_cast<int64_t>(levels.size()); }
  at::Tensor x0(const at::Tensor& x) const { return apply_threshold(options, denoise(x, from())); }
};

at::Tensor noise_in(const at::Tensor& x, const at::Tensor& x0, const Level& level) {
  return (x - level.signal * x0) / level.noise;
}

at::Tensor ddpm_step(const Step& step, const at::Tensor& x) {
  const double a = step.from().signal * step.from().signal, a_to = step.to().signal * step.to().signal;
  const double alpha = a / a_to, beta = 1 - alpha;
  const at::Tensor mean =
      step.x0(x) * (std::sqrt(a_to) * beta / (1 - a)) + x * (std::sqrt(alpha) * (1 - a_to) / (1 - a));
  if (step.is_last()) return mean;
  const double posterior = std::max((1 - a_to) / (1 - a) * beta, 1e-20);
  return mean + step.noise(step.index) * std::sqrt(step.options.large_variance ? beta : posterior);
}

at::Tensor ddim_step(const Step& step, const at::Tensor& x) {
  const Level &from = step.from(), &to = step.to();
  const at::Tensor predicted = step.denoise(x, from), x0 = apply_threshold(step.options, predicted);
  const at::Tensor eps = noise_in(x, step.options.keep_noise ? predicted : x0, from);
  const double ratio = from.signal / to.signal;
  const double sigma = step.options.eta * to.noise / from.noise * std::sqrt(std::max(0.0, 1 - ratio * ratio));
  const at::Tensor mean = x0 * to.signal + eps * std::sqrt(std::max(0.0, to.noise * to.noise - sigma * sigma));
  return sigma > 0 && !step.is_last() ? mean + step.noise(step.index) * sigma : mean;
}

// `before`: x0 of the step before, undefined in the first. Second order by the midpoint rule in ln sigma; the last step
// goes to sigma 0, where its result is x0 itself.
at::Tensor dpmpp_step(const Step& step, const at::Tensor& x, at::Tensor& before) {
  const Level &from = step.from(), &to = step.to();
  const at::Tensor x0 = step.x0(x);
  const at::Tensor last = std::exchange(before, x0);
  if (step.is_last()) return x0;
  const double h = std::log(from.sigma()) - std::log(to.sigma()), gain = -std::expm1(-h);
  at::Tensor out = x * (to.noise / from.noise) + x0 * (to.signal * gain);
  if (!last.defined()) return out;
  const double h_before = std::log(step.levels[static_cast<size_t>(step.index) - 1].sigma()) - std::log(from.sigma());
  return out + (x0 - last) * (0.5 * to.signal * gain * h / h_before);
}

// In z = x / signal, whose noise has deviation sigma.
at::Tensor heun_step(const Step& step, const at::Tensor& x) {
  const SamplerOptions& o = step.options;
  const Level &from = step.from(), &to = step.to();
  const double steps = static_cast<double>(step.levels.size() - 1), sigma = from.sigma();
  const bool churned = o.churn > 0 && sigma >= o.churn_min && sigma <= o.churn_max;
  const double gamma = churned ? std::min(o.churn / steps, std::sqrt(2.0) - 1) : 0;
  const double higher = sigma * (1 + gamma);
  at::Tensor z = x / from.signal;
  if (gamma > 0) z = z + step.noise(step.index) * (o.churn_noise * std::sqrt(higher * higher - sigma * sigma));
  const auto slope = [&](const at::Tensor& at, double s, double signal) {
    return (at - apply_threshold(o, step.denoise(at * signal, {signal, s * signal}))) / s;
  };
  const double signal = gamma > 0 ? std::hypot(from.signal, from.noise) / std::hypot(1, higher) : from.signal;
  const at::Tensor first = slope(z, higher, from.signal == 1 ? 1 : signal);
  const at::Tensor euler = z + first * (to.sigma() - higher);
  if (step.is_last()) return euler;
  return (z + (first + slope(euler, to.sigma(), to.signal)) * (0.5 * (to.sigma() - higher))) * to.signal;
}

at::Tensor euler_step(const Step& step, const at::Tensor& x) {
  const at::Tensor velocity = (x - step.x0(x)) / step.from().noise;
  return x + velocity * (step.to().noise - step.from().noise);
}

}  // namespace

at::Tensor run_sampler(const SamplerOptions& options, const std::vector<Level>& levels, const at::Tensor& noise_image,
                       const Denoiser& denoise, const StepNoise& noise) {
  check(levels.size() >= 2, MOE_ERR_INTERNAL, "sampler: expected at least two levels, got ", levels.size());
  // Where a trace of signal is left, noise of deviation 1 stands for noise and signal (as in diffusers).
  const double start = levels.front().signal == 1 ? levels.front().noise : 1;
  at::Tensor x = noise_image.to(at::kDouble) * start, before;
  for (int64_t i = 0; i + 1 < static_cast<int64_t>(levels.size()); ++i) {
    const Step step{options, levels, i, denoise, noise};
    switch (options.kind) {
      case SamplerKind::ddpm:
        x = ddpm_step(step, x);
        break;
      case SamplerKind::ddim:
        x = ddim_step(step, x);
        break;
      case SamplerKind::dpmpp_2m:
        x = dpmpp_step(step, x, before);
        break;
      case SamplerKind::heun:
        x = heun_step(step, x);
        break;
      case SamplerKind::euler:
        x = euler_step(step, x);
        break;
    }
  }
  return x;
}

at::Tensor guide(const at::Tensor& unconditional, const at::Tensor& conditional, double scale) {
  return unconditional + (conditional - unconditional) * scale;
}

}  // namespace moe::diffusion
