// Learning-rate factor as a pure function of the optimizer step: nothing to save, nothing to restore.
// constant; step and multi-step (times gamma); cosine (Loshchilov & Hutter 2017); one-cycle (Smith 2018, cosine form of
// torch.optim.lr_scheduler.OneCycleLR). Each with a linear warm-up in steps.
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"

namespace moe {

class Schedule {
 public:
  Schedule(const Config& config, int64_t steps_per_epoch, int64_t total_steps);
  double factor(int64_t step) const;  // for the update number `step`, from 0

 private:
  enum class Kind { constant, step, multi_step, cosine, one_cycle };
  Kind kind_;
  int64_t warmup_steps_, total_steps_;
  double warmup_start_, final_factor_, gamma_, rise_share_;
  std::vector<int64_t> milestones_;  // in steps
  int64_t period_ = 0;
};

}  // namespace moe
