// Noise levels of the forward process x = signal * x0 + noise * eps, and the discrete variance-preserving schedules (Ho
// et al. 2020; cosine: Nichol and Dhariwal 2021; zero terminal SNR: Lin et al. 2024). All in float64: 1 - a_t of the
// first steps loses four digits in float32. It knows no network, no loss and no sampler.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moe::diffusion {

// One noise level. Variance preserving: signal² + noise² = 1; EDM: signal = 1; rectified flow: signal + noise = 1.
struct Level {
  double signal = 1, noise = 0;

  double sigma() const { return noise / signal; }  // infinite without signal
};

enum class ScheduleKind { linear, cosine };
ScheduleKind parse_schedule(const std::string& name);  // MOE_ERR_CONFIG names the choices

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::linear;
  int64_t steps = 1000;  // T
  double beta_start = 1e-4, beta_end = 0.02;
  // The square roots of a_t are shifted and scaled so that the last one is 0 and the first one stays: the last step is
  // noise alone, which nothing can be told from by its noise. For predictions of v or x0.
  bool zero_terminal_snr = false;
};

class NoiseSchedule {
 public:
  explicit NoiseSchedule(const ScheduleOptions& options);  // MOE_ERR_CONFIG

  int64_t steps() const { return static_cast<int64_t>(alphas_cumprod_.size()); }
  const std::vector<double>& alphas_cumprod() const { return alphas_cumprod_; }  // a_t, falling
  Level level(int64_t t) const;                                                  // t in 0 .. steps - 1
  // The step, not rounded, whose ln sigma is this one, linear between steps; clamped to 0 .. steps - 1.
  double time_of(double sigma) const;
  double sigma_at(double t) const;  // the inverse

 private:
  std::vector<double> alphas_cumprod_;  // [T]
  std::vector<double> log_sigma_;       // [T] rising
};

// Which of the T steps a sampler of N visits. leading: multiples of T / N, rounded down, from the largest; trailing:
// T, T - T/N, ... minus 1; linspace: both ends included; linspace_open: the same with N + 1, without the last.
enum class Spacing { leading, trailing, linspace, linspace_open };
Spacing parse_spacing(const std::string& name);

// [N] falling. Halves round to even, as in numpy. MOE_ERR_CONFIG unless 1 <= samples <= steps.
std::vector<int64_t> spaced_steps(Spacing spacing, int64_t steps, int64_t samples);

// Karras et al. 2022, equation 5: [N] noise levels, falling, closer together where they are small.
std::vector<double> karras_sigmas(int64_t samples, double lowest, double highest, double rho = 7);

}  // namespace moe::diffusion
