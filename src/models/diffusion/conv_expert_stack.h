// E convolution experts of one shape as stacked parameters: GroupNorm, GELU, 3 x 3 to `inner` channels, GroupNorm,
// (1 + scale) x + shift, GELU, 3 x 3 back. Each expert has its own dilation. The router, the residual and the gate
// belong to the block.
#pragma once

#include "moe/conv_experts.h"
#include "nn/init.h"

namespace moe::diffusion {

struct ExpertShape {
  int64_t experts, channels, inner;
  bool separable = true;
  std::vector<int64_t> dilation;  // [experts]
};

class ConvExpertStack : public nn::Module {
 public:
  explicit ConvExpertStack(const ExpertShape& shape);

  const ExpertShape& shape() const { return shape_; }
  // h [B, C, H, W]; scale, shift [B, inner]; experts int64 [B, k], gates [B, k] -> [B, C, H, W]
  at::Tensor routed(const at::Tensor& h, const at::Tensor& experts, const at::Tensor& gates, const at::Tensor& scale,
                    const at::Tensor& shift) const;
  // Every sample through expert 0, without moving it: for a stack of one.
  at::Tensor all(const at::Tensor& h, const at::Tensor& scale, const at::Tensor& shift) const;
  void init_own(const nn::ParameterInit& init) override;  // convolutions U(+-1/sqrt(fan_in)), norms 1 and 0

  struct Stage {
    at::Tensor norm_weight, norm_bias;  // [E, C] of the stage's input
    at::Tensor depthwise, weight;       // [E, C, 1, 3, 3] and [E, O, C, 1, 1], or undefined and [E, O, C, 3, 3]
  };

 private:
  Stage add_stage(const std::string& name, int64_t in, int64_t out);

  ExpertShape shape_;
  Stage first_, second_;
};

}  // namespace moe::diffusion
