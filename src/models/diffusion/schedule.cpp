#include "models/diffusion/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace moe::diffusion {

template <typename Value>
static Value parse_name(const char* what, const std::string& name,
                        const std::vector<std::pair<std::string, Value>>& table) {
  std::vector<std::string> names;
  for (const auto& [known, value] : table) {
    if (known == name) return value;
    names.push_back(known);
  }
  fail(MOE_ERR_CONFIG, what, ": expected ", join(names, ", "), ", got ", quote(name), did_you_mean(name, names));
}

ScheduleKind parse_schedule(const std::string& name) {
  return parse_name<ScheduleKind>("schedule", name,
                                  {{"linear", ScheduleKind::linear}, {"cosine", ScheduleKind::cosine}});
}

Spacing parse_spacing(const std::string& name) {
  using enum Spacing;
  return parse_name<Spacing>(
      "spacing", name,
      {{"leading", leading}, {"trailing", trailing}, {"linspace", linspace}, {"linspace_open", linspace_open}});
}

static double cosine_signal(double u) {
  return std::pow(std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2), 2);
}

static double beta(const ScheduleOptions& options, int64_t t) {
  const double steps = static_cast<double>(options.steps), at = static_cast<double>(t);
  if (options.kind == ScheduleKind::cosine) {
    return std::min(1 - cosine_signal((at + 1) / steps) / cosine_signal(at / steps), 0.999);
  }
  if (options.steps == 1) return options.beta_start;
  return options.beta_start + (options.beta_end - options.beta_start) * at / (steps - 1);
}

static void remove_terminal_signal(std::vector<double>& alphas_cumprod) {
  const double first = std::sqrt(alphas_cumprod.front()), last = std::sqrt(alphas_cumprod.back());
  for (double& a : alphas_cumprod) a = std::pow((std::sqrt(a) - last) * first / (first - last), 2);
  alphas_cumprod.back() = 0;
}

NoiseSchedule::NoiseSchedule(const ScheduleOptions& options) {
  check(options.steps >= 2, MOE_ERR_CONFIG, "schedule: expected at least 2 steps, got ", options.steps);
  const bool rising = options.beta_start > 0 && options.beta_start <= options.beta_end && options.beta_end < 1;
  check(rising, MOE_ERR_CONFIG, "schedule: expected 0 < beta_start <= beta_end < 1, got ", options.beta_start, " and ",
        options.beta_end);
  double product = 1;
  for (int64_t t = 0; t < options.steps; ++t) alphas_cumprod_.push_back(product *= 1 - beta(options, t));
  if (options.zero_terminal_snr) remove_terminal_signal(alphas_cumprod_);
  for (const double a : alphas_cumprod_) log_sigma_.push_back(0.5 * (std::log1p(-a) - std::log(a)));
}

Level NoiseSchedule::level(int64_t t) const {
  check(t >= 0 && t < steps(), MOE_ERR_INTERNAL, "schedule: expected a step in 0..", steps() - 1, ", got ", t);
  const double a = alphas_cumprod_[static_cast<size_t>(t)];
  return {std::sqrt(a), std::sqrt(1 - a)};
}

double NoiseSchedule::time_of(double sigma) const {
  const double wanted = std::log(sigma);
  const auto above = std::lower_bound(log_sigma_.begin(), log_sigma_.end(), wanted);
  if (above == log_sigma_.begin()) return 0;
  if (above == log_sigma_.end()) return static_cast<double>(steps() - 1);
  const double upper = static_cast<double>(above - log_sigma_.begin());
  if (std::isinf(*above)) return std::isinf(wanted) ? upper : upper - 1;  // the last step has no signal
  const double t = upper - (*above - wanted) / (*above - *(above - 1)), whole = std::nearbyint(t);
  return std::abs(t - whole) < 1e-9 ? whole : t;  // the logarithm's rounding
}

double NoiseSchedule::sigma_at(double t) const {
  const double at = std::clamp(t, 0.0, static_cast<double>(steps() - 1));
  const auto below = static_cast<size_t>(at);
  const double share = at - static_cast<double>(below);
  if (share == 0) return std::exp(log_sigma_[below]);
  return std::exp(log_sigma_[below] * (1 - share) + log_sigma_[below + 1] * share);
}

static std::vector<double> evenly(double from, double to, int64_t count) {
  std::vector<double> out;
  const double last = static_cast<double>(std::max<int64_t>(1, count - 1));
  for (int64_t i = 0; i < count; ++i) out.push_back(from + (to - from) * static_cast<double>(i) / last);
  return out;
}

static std::vector<double> spaced(Spacing spacing, int64_t steps, int64_t samples) {
  const double last = static_cast<double>(steps - 1);
  if (spacing == Spacing::linspace) return evenly(last, 0, samples);
  std::vector<double> out;
  if (spacing == Spacing::linspace_open) {
    out = evenly(last, 0, samples + 1);
    out.pop_back();
    return out;
  }
  const double stride = static_cast<double>(steps) / static_cast<double>(samples);
  for (int64_t i = 0; i < samples; ++i) {
    const double at = static_cast<double>(i);
    const double leading = std::floor(stride) * (static_cast<double>(samples - 1) - at);
    out.push_back(spacing == Spacing::leading ? leading : std::nearbyint(static_cast<double>(steps) - at * stride) - 1);
  }
  return out;
}

std::vector<int64_t> spaced_steps(Spacing spacing, int64_t steps, int64_t samples) {
  check(samples >= 1 && samples <= steps, MOE_ERR_CONFIG, "sampler: expected 1 to ", steps, " steps, got ", samples);
  std::vector<int64_t> out;
  for (const double t : spaced(spacing, steps, samples)) out.push_back(static_cast<int64_t>(std::nearbyint(t)));
  return out;
}

std::vector<double> karras_sigmas(int64_t samples, double lowest, double highest, double rho) {
  check(samples >= 1 && 0 < lowest && lowest <= highest, MOE_ERR_CONFIG,
        "sampler: expected at least 1 step and 0 < sigma_min <= sigma_max, got ", samples, " steps from ", lowest,
        " to ", highest);
  const double from = std::pow(highest, 1 / rho), to = std::pow(lowest, 1 / rho);
  std::vector<double> out = evenly(from, to, samples);
  for (double& sigma : out) sigma = std::pow(sigma, rho);
  return out;
}

}  // namespace moe::diffusion
