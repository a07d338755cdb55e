#include "models/diffusion/objective.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace moe::diffusion {

Prediction parse_prediction(const std::string& name) {
  static const std::vector<std::string> names = {"eps", "v", "x0", "edm", "flow"};
  const auto found = std::find(names.begin(), names.end(), name);
  check(found != names.end(), MOE_ERR_CONFIG, "objective: expected ", join(names, ", "), ", got ", quote(name),
        did_you_mean(name, names));
  return static_cast<Prediction>(found - names.begin());
}

Objective::Objective(const ObjectiveOptions& options) : options_(options), schedule_(options.schedule) {
  check(options.prediction != Prediction::eps || !options.schedule.zero_terminal_snr, MOE_ERR_CONFIG,
        "objective: expected v or x0 with a schedule of zero terminal SNR, got eps");
  check(options.data_deviation > 0 && options.sigma_std >= 0, MOE_ERR_CONFIG,
        "objective: expected data_deviation > 0 and sigma_std >= 0, got ", options.data_deviation, " and ",
        options.sigma_std);
}

Level Objective::draw(Rng rng) const {
  switch (options_.prediction) {
    case Prediction::edm:
      return {1, std::exp(options_.sigma_mean + options_.sigma_std * rng.normal())};
    case Prediction::flow: {
      const double noise = options_.logit_normal ? 1 / (1 + std::exp(-rng.normal())) : rng.uniform();
      return {1 - noise, noise};
    }
    default:
      return schedule_.level(rng.below(schedule_.steps()));
  }
}

Level Objective::own(const Level& level) const {
  double scale = std::hypot(level.signal, level.noise);
  if (options_.prediction == Prediction::edm) scale = level.signal;
  if (options_.prediction == Prediction::flow) scale = level.signal + level.noise;
  return {level.signal / scale, level.noise / scale};
}

// Hang et al. weigh the error of x0 by min(SNR, gamma); the errors of eps and v are SNR and SNR + 1 times that error.
static double min_snr_weight(Prediction prediction, const Level& level, double gamma) {
  const double snr = std::pow(level.signal / level.noise, 2), least = std::min(snr, gamma);
  if (prediction == Prediction::eps) return snr > 0 ? least / snr : 1;
  return prediction == Prediction::v ? least / (snr + 1) : least;
}

Coefficients Objective::variance_preserving(const Level& own) const {
  const double a = own.signal, s = own.noise;
  Coefficients out{1 / a, -s / a, 0, 1, 1, schedule_.time_of(own.sigma()), 1};  // eps
  if (options_.prediction == Prediction::v) out = {a, -s, -s, a, 1, out.time, 1};
  if (options_.prediction == Prediction::x0) out = {0, 1, 1, 0, 1, out.time, 1};
  if (options_.min_snr > 0) out.weight = min_snr_weight(options_.prediction, own, options_.min_snr);
  return out;
}

Coefficients Objective::at(const Level& own) const {
  const double data = options_.data_deviation, sigma = own.noise, both = std::hypot(sigma, data);
  const double length = options_.prediction == Prediction::edm    ? own.signal
                        : options_.prediction == Prediction::flow ? own.signal + own.noise
                                                                  : std::hypot(own.signal, own.noise);
  check(std::abs(length - 1) < 1e-9, MOE_ERR_INTERNAL, "objective: expected a level of its own process, got signal ",
        own.signal, ", noise ", own.noise);
  switch (options_.prediction) {
    case Prediction::edm:  // of_x0 = (1 - skip) / out and of_noise = -skip sigma / out, without the cancellation
      return {data * data / (both * both),
              sigma * data / both,
              sigma / (both * data),
              -data / both,
              1 / both,
              250 * std::log(sigma),
              1};
    case Prediction::flow:
      return {1, -own.noise, -1, 1, 1, 1000 * own.noise, 1};
    default:
      return variance_preserving(own);
  }
}

at::Tensor per_sample(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kDouble).to(like.scalar_type()).view({-1, 1, 1, 1});
}

}  // namespace moe::diffusion
