// Learning-rate factor as a pure function of the optimizer step: nothing to save, nothing to restore.
// constant; step and multi-step (times gamma); cosine (Loshchilov & Hutter 2017); one-cycle (Smith 2018, cosine form of
// torch.optim.lr_scheduler.OneCycleLR with div_factor 25). A linear warm-up multiplies each: at update n (from 0) by
// start + (1 - start) * (n + 1) / warmup_steps, as in lyuwenyu/RT-DETR. Cosine takes the steps after the warm-up; the
// others count from the first step.
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"

namespace moe {

class Schedule {
 public:
  Schedule(const Config& config, int64_t steps_per_epoch, int64_t total_steps);
  // For the update number `step`, from 0. MOE_ERR_STATE when the schedule needs the length of the training (step,
  // multi_step: steps_per_epoch; cosine, one_cycle: total_steps) and got 0.
  double factor(int64_t step) const;

 private:
  enum class Kind { constant, step, multi_step, cosine, one_cycle };
  double course(int64_t step) const;  // without the warm-up
  double one_cycle(int64_t step) const;

  Kind kind_;
  int64_t warmup_steps_, total_steps_;
  double warmup_start_, final_factor_, gamma_, rise_share_;
  std::vector<int64_t> milestones_;  // in steps
  int64_t period_ = 0;
};

}  // namespace moe
