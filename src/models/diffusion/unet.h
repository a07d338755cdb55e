// The standard UNet: stem, a block and a halving a level, a block and the frequency module at the bottom, and back up
// with a doubling, the level's skip connection and a block each. It predicts one picture from a noised one.
#pragma once

#include "models/diffusion/frequency.h"
#include "models/diffusion/network.h"
#include "models/diffusion/unet_block.h"

namespace moe::diffusion {

// Time and class of a batch -> what the blocks see.
class ConditionEmbedding : public nn::Module {
 public:
  ConditionEmbedding(int64_t classes, int64_t width, bool with_null);
  Condition forward(const at::Tensor& time, const at::Tensor& labels) const;

 private:
  std::shared_ptr<TimeEmbedding> time_;
  std::shared_ptr<ClassEmbedding> label_;  // none where there are no classes
  int64_t classes_;
};

class Unet : public Network {
 public:
  explicit Unet(const NetworkOptions& options);

  NetworkOutput forward(const at::Tensor& x, const at::Tensor& time, const at::Tensor& labels,
                        const std::optional<Rng>& noise) const override;
  std::vector<MixtureLayer> mixture_layers() const override;
  void init_own(const nn::ParameterInit& init) override;  // the head starts at 0: the first loss is the target's square

 private:
  void add_level(int64_t level);

  NetworkOptions options_;
  std::shared_ptr<ConditionEmbedding> embedding_;
  std::shared_ptr<nn::Conv2d> stem_;
  std::vector<std::shared_ptr<UnetBlock>> down_, up_;        // by level, finest first
  std::vector<std::shared_ptr<nn::Conv2d>> halve_, double_;  // double_[l]: from level l + 1 to the width of l
  std::shared_ptr<UnetBlock> middle_;
  std::shared_ptr<FrequencyModule> frequency_;
  std::shared_ptr<GroupNorm> head_norm_;
  std::shared_ptr<nn::Conv2d> head_;
};

}  // namespace moe::diffusion
