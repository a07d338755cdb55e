#include "train/scaler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace moe {

constexpr double kGrowth = 2, kBackoff = 0.5;

LossScaler::LossScaler(bool enabled, double initial, int64_t growth_interval)
    : enabled_(enabled), scale_(initial), growth_interval_(growth_interval) {}

// The loss is scaled in fp32, so the scale stays a normal fp32 number: torch stops growing at infinity, and halving for
// ever would end at zero.
void LossScaler::update(bool overflow) noexcept {
  if (!enabled_) return;
  if (overflow) {
    scale_ = std::max<double>(scale_ * kBackoff, std::numeric_limits<float>::min());
    good_steps_ = 0;
    return;
  }
  if (++good_steps_ < growth_interval_) return;
  good_steps_ = 0;
  if (scale_ * kGrowth <= std::numeric_limits<float>::max()) scale_ *= kGrowth;
}

void LossScaler::restore(double scale, int64_t good_steps) {
  check(std::isfinite(scale) && scale > 0, MOE_ERR_DATA, "loss scale: expected a finite number > 0, got ", scale);
  check(good_steps >= 0, MOE_ERR_DATA, "loss scale: expected a count of good steps >= 0, got ", good_steps);
  scale_ = scale;
  good_steps_ = good_steps;
}

}  // namespace moe
