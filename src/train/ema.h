// Exponential moving average of weights and BatchNorm statistics, with one of two decays: the warm-up of
// lyuwenyu/RT-DETR's ModelEMA, decay(n) = decay * (1 - exp(-n / warmup)), or the half-life of NVlabs/edm, 0.5^(samples
// of the step / min(half_life, 5 % of the samples seen)). Integer buffers are copied.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "train/chunks.h"

namespace moe {

struct EmaOptions {
  double decay = 0, warmup = 2000;  // warmup: steps
  double half_life = 0;             // samples; 0: decay and warmup decide
};

class Ema {
 public:
  // `live` are the network's parameters and buffers by name; the averages start as copies.
  Ema(const EmaOptions& options, std::vector<std::pair<std::string, at::Tensor>> live);

  // One optimizer step has been applied. samples: of it; seen: of the whole training, its own included; both matter to
  // the half-life alone. Allocates nothing.
  void update(int64_t samples, int64_t seen) noexcept;
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  double decay_at(int64_t update, int64_t samples, int64_t seen) const;
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
  EmaOptions options_;
  int64_t updates_ = 0;
  bool swapped_ = false;
  std::vector<std::pair<std::string, at::Tensor>> live_, averages_;
  std::vector<Chunk> chunks_;
};

}  // namespace moe
