// The block of the standard UNet: y = skip(x) + a * (shared(h) + sum over the chosen experts of gate * expert(h)), with
// h = conv(GELU(norm(x))) and a, scales and shifts from time and class (AdaGN with a zero-initialised gate, Peebles and
// Xie 2023). An image is routed by its pooled features, time and class; in the token form every pixel by its features.
#pragma once

#include <optional>

#include "models/diffusion/conv_expert_stack.h"
#include "models/diffusion/layers.h"
#include "models/diffusion/options.h"
#include "nn/moe_ffn.h"

namespace moe::diffusion {

struct BlockOutput {
  at::Tensor y;
  std::optional<Routing> routing;
};

// Parallel dilations 1, 2, 4 (moe/conv_blocks.h).
class FusionBranch : public nn::Module {
 public:
  FusionBranch(int64_t channels, bool separable);
  at::Tensor forward(const at::Tensor& h) const { return dilated_fusion(h, weights()); }

 private:
  DilatedFusion weights() const;

  std::vector<std::shared_ptr<SpatialConv>> branches_;
  std::shared_ptr<nn::Conv2d> fuse_;
  std::shared_ptr<GroupNorm> norm_;
};

class UnetBlock : public nn::Module {
 public:
  // in -> out channels on maps of `side` pixels (the smaller one), which bounds dilations.
  UnetBlock(const NetworkOptions& options, int64_t in, int64_t out, int64_t side);

  // x [B, in, H, W]; noise: stream of the router's noise in training.
  BlockOutput forward(const at::Tensor& x, const Condition& condition, const std::optional<Rng>& noise) const;
  void init_own(const nn::ParameterInit& init) override;  // after its parts: modulation 0
  // Of its experts; nullptr: none.
  const nn::Router* router() const {
    return token_experts_ ? &token_experts_->router() : router_ ? &*router_ : nullptr;
  }

 private:
  void add_experts(int64_t side);
  void add_modulation();
  at::Tensor features(const at::Tensor& x) const;
  Routing route_images(const at::Tensor& h, const Condition& condition, const std::optional<Rng>& noise) const;
  at::Tensor token_branch(const at::Tensor& h, const std::vector<at::Tensor>& parts, const Condition& condition,
                          const std::optional<Rng>& noise, BlockOutput& out) const;
  at::Tensor branch(const at::Tensor& h, const std::vector<at::Tensor>& parts, const at::Tensor& experts,
                    const at::Tensor& gates) const;

  NetworkOptions options_;
  int64_t out_;
  std::vector<int64_t> parts_;  // columns of the modulation: gate, scale and shift of each modulated part
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<SpatialConv> conv_;
  std::shared_ptr<nn::Conv2d> skip_;  // where the number of channels changes
  std::shared_ptr<ConvExpertStack> shared_, experts_;
  std::shared_ptr<GroupNorm> own_norm_;      // of h where scale and shift act on it: fusion, token
  std::shared_ptr<SpatialConv> token_conv_;  // what the pixels see of their neighbours
  std::shared_ptr<nn::MoeFfn> token_experts_;
  std::shared_ptr<FusionBranch> fusion_;
  std::shared_ptr<nn::Linear> modulation_;
  std::optional<nn::Router> router_;  // of images, by out + 2 D features
};

}  // namespace moe::diffusion
