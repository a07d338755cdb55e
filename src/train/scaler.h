// Dynamic loss scaling for fp16 (Micikevicius et al. 2018; the rules of torch.amp.GradScaler): start 65536, times 2 after 2000
// good steps, times 0.5 after an overflow, whose step is skipped.
#pragma once

#include <cstdint>

namespace moe {

class LossScaler {
 public:
  explicit LossScaler(bool enabled, double initial = 65536, int64_t growth_interval = 2000);
  bool enabled() const { return enabled_; }
  double scale() const { return enabled_ ? scale_ : 1.0; }
  void update(bool overflow) noexcept;
  int64_t good_steps() const { return good_steps_; }
  void restore(double scale, int64_t good_steps);  // MOE_ERR_DATA when not finite and positive

 private:
  bool enabled_;
  double scale_;
  int64_t growth_interval_;
  int64_t good_steps_ = 0;
};

}  // namespace moe
