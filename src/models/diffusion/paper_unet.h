// The published network (Passwerob/MoEFSDiC, HEAD 3dc32ae) with the two changes without which it cannot run or train:
// a topology whose sizes meet (the same parameters), and GroupNorm for BatchNorm in experts that may see one image.
// Kept for comparison: time and class reach the features through routers and the channel gate alone.
#pragma once

#include "models/diffusion/unet.h"

namespace moe::diffusion {

// y = sum over the chosen experts of gate * expert(proj(x)); expert(h) = GELU(norm(conv(GELU(norm(conv h)))) + h).
// Without experts the fusion of parallel dilations stands in their place.
class PaperBlock : public nn::Module {
 public:
  PaperBlock(const NetworkOptions& options, int64_t in, int64_t out);
  BlockOutput forward(const at::Tensor& x, const Condition& condition, const std::optional<Rng>& noise) const;
  const nn::Router* router() const { return choice_ ? &*choice_ : nullptr; }
  void init_own(const nn::ParameterInit& init) override;

 private:
  struct Stage {
    at::Tensor weight, depthwise, bias, norm_weight, norm_bias;  // stacked by expert
  };
  Stage add_stage(const std::string& name, int64_t channels);
  at::Tensor mixed(const at::Tensor& h, const Routing& routing) const;
  Routing route_images(const at::Tensor& h, const Condition& condition, const std::optional<Rng>& noise) const;

  NetworkOptions options_;
  std::shared_ptr<SpatialConv> project_;
  std::shared_ptr<nn::Mlp> router_;  // makes the logits
  std::optional<nn::Router> choice_;
  std::vector<Stage> stages_;
  std::shared_ptr<FusionBranch> fusion_;
};

class PaperUnet : public Network {
 public:
  explicit PaperUnet(const NetworkOptions& options);

  NetworkOutput forward(const at::Tensor& x, const at::Tensor& time, const at::Tensor& labels,
                        const std::optional<Rng>& noise) const override;
  std::vector<MixtureLayer> mixture_layers() const override;
  void init_own(const nn::ParameterInit& init) override;

 private:
  void add_decoder(const std::vector<int64_t>& skips);

  NetworkOptions options_;
  std::shared_ptr<ConditionEmbedding> embedding_;
  std::shared_ptr<nn::Conv2d> stem_, bottleneck_, head_;
  std::vector<std::shared_ptr<PaperBlock>> down_, up_;
  std::vector<std::shared_ptr<nn::Conv2d>> halve_;
  std::vector<at::Tensor> double_weight_, double_bias_;  // transposed convolutions [C, C, 4, 4], stride 2
  std::shared_ptr<PaperBlock> middle_;                   // without the frequency module
  std::shared_ptr<FrequencyModule> frequency_;
  std::shared_ptr<GroupNorm> head_norm_;
};

}  // namespace moe::diffusion
