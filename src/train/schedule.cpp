#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace moe {

constexpr double kOneCycleStart = 1.0 / 25;  // div_factor of torch.optim.lr_scheduler.OneCycleLR

Schedule::Schedule(const Config& config, int64_t steps_per_epoch, int64_t total_steps) : total_steps_(total_steps) {
  const std::string kind = config.text("schedule.kind");
  kind_ = kind == "step"         ? Kind::step
          : kind == "multi_step" ? Kind::multi_step
          : kind == "cosine"     ? Kind::cosine
          : kind == "one_cycle"  ? Kind::one_cycle
                                 : Kind::constant;
  warmup_steps_ = config.integer("schedule.warmup_steps");
  warmup_start_ = config.number("schedule.warmup_start");
  final_factor_ = config.number("schedule.final_factor");
  gamma_ = config.number("schedule.gamma");
  rise_share_ = config.number("schedule.rise_share");
  const double steps = static_cast<double>(steps_per_epoch);
  period_ = std::llround(config.number("schedule.step_epochs") * steps);
  if (steps_per_epoch > 0) period_ = std::max<int64_t>(period_, 1);
  for (double epoch : config.numbers("schedule.milestones")) milestones_.push_back(std::llround(epoch * steps));
  std::sort(milestones_.begin(), milestones_.end());
}

// From `start` at share 0 to `end` at share 1 along half a cosine.
static double cosine_between(double start, double end, double share) {
  return end + (start - end) * (1 + std::cos(std::numbers::pi * std::clamp(share, 0.0, 1.0))) / 2;
}

double Schedule::one_cycle(int64_t step) const {
  const double last = static_cast<double>(total_steps_ - 1);
  const double peak = rise_share_ * static_cast<double>(total_steps_) - 1;  // as in torch: the first step counts
  const double at = static_cast<double>(step);
  if (at < peak) return cosine_between(kOneCycleStart, 1, at / peak);
  return cosine_between(1, final_factor_, (at - peak) / (last - peak));
}

double Schedule::course(int64_t step) const {
  switch (kind_) {
    case Kind::constant:
      return 1;
    case Kind::step:
      return std::pow(gamma_, static_cast<double>(step / period_));
    case Kind::multi_step: {
      const auto passed = std::upper_bound(milestones_.begin(), milestones_.end(), step) - milestones_.begin();
      return std::pow(gamma_, static_cast<double>(passed));
    }
    case Kind::cosine: {
      const int64_t length = std::max<int64_t>(total_steps_ - warmup_steps_, 1);
      const double share =
          static_cast<double>(std::max<int64_t>(step - warmup_steps_, 0)) / static_cast<double>(length);
      return cosine_between(1, final_factor_, share);
    }
    case Kind::one_cycle:
      return one_cycle(step);
  }
  return 1;
}

double Schedule::factor(int64_t step) const {
  const bool by_epoch = kind_ == Kind::step || kind_ == Kind::multi_step;
  const bool by_length = kind_ == Kind::cosine || kind_ == Kind::one_cycle;
  check(!(by_epoch && period_ <= 0) && !(by_length && total_steps_ <= 0), MOE_ERR_STATE,
        "schedule.kind: expected a training of known length for this schedule, got none: set its length before the "
        "first step");
  double warmup = 1;
  if (step < warmup_steps_) {
    const double share = static_cast<double>(step + 1) / static_cast<double>(warmup_steps_);
    warmup = warmup_start_ + (1 - warmup_start_) * share;
  }
  return warmup * course(step);
}

}  // namespace moe
