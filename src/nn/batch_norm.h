// Batch normalisation together with what follows it in a residual network: a sum and an activation, as one function
// that keeps its inputs alone and reads each of them as few times as it can. Images are [B, C, H, W] in channels-last
// memory.
#pragma once

#include <vector>

#include "nn/activation.h"
#include "nn/init.h"

namespace moe::nn {

// Batch normalisation with running statistics (momentum 0.1). Statistics are left alone while a checkpointed block is
// recomputed. Frozen: all four vectors are buffers and the running statistics are used in training as well.
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(int64_t channels, bool frozen = false, double eps = 1e-5);
  at::Tensor forward(const at::Tensor& x);  // [B, C, H, W]
  void init_own(const ParameterInit& init) override;
  bool frozen() const { return frozen_; }
  double eps() const { return eps_; }
  bool uses_batch() const { return is_training() && !frozen_; }

  at::Tensor weight, bias, running_mean, running_var;  // [C]

 private:
  bool frozen_;
  double eps_;
};

struct NormTerm {
  at::Tensor x;  // [B, C, H, W]
  BatchNorm2d* norm;
};

// act(norm(x) [+ norm'(x')] [+ residual]) of one or two terms; a residual only beside one. All of one shape and type,
// float32, float64 or bfloat16, with statistics in float32 (float64).
at::Tensor norm_sum(const std::vector<NormTerm>& terms, const at::Tensor& residual, Activation activation);

}  // namespace moe::nn
