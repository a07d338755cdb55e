// Exponential moving average of weights and BatchNorm statistics with the warm-up of lyuwenyu/RT-DETR's ModelEMA:
// decay(n) = decay * (1 - exp(-n / warmup)). Integer buffers are copied.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "train/chunks.h"

namespace moe {

class Ema {
 public:
  // `live` are the network's parameters and buffers by name; the averages start as copies.
  Ema(double decay, double warmup, std::vector<std::pair<std::string, at::Tensor>> live);

  void update() noexcept;  // one optimizer step has been applied; allocates nothing
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  double decay_at(int64_t update) const;
  const std::vector<std::pair<std::string, at::Tensor>>& averages() const { return averages_; }

  // While it lives, the network holds the averages, and averages() its own weights, which come back at the end. Its
  // constructor throws MOE_ERR_STATE while another one lives; update() must not be called meanwhile.
  class Swap {
   public:
    explicit Swap(Ema* ema);  // nullptr: nothing happens
    ~Swap();
    Swap(const Swap&) = delete;
    Swap& operator=(const Swap&) = delete;

   private:
    Ema* ema_;
  };

 private:
  void exchange() noexcept;
  double decay_, warmup_;
  int64_t updates_ = 0;
  bool swapped_ = false;
  std::vector<std::pair<std::string, at::Tensor>> live_, averages_;
  std::vector<Chunk> chunks_;
};

}  // namespace moe
