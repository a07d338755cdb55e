// PResNet-vd, the backbone of RT-DETR: a ResNet with a three-convolution stem and average pooling before the strided
// shortcuts (He et al., Bag of Tricks, 2019, variant D). Parameter names are those of the official rtdetrv2_pytorch
// project below "backbone.". It does not load pretrained weights.
#pragma once

#include "nn/layers.h"

namespace moe::rtdetr {

struct BackboneOptions {
  int64_t depth = 18;                       // 18, 34 (basic blocks), 50, 101 (bottlenecks)
  double width = 1.0;                       // factor on every channel count, rounded to a multiple of 8
  std::vector<int64_t> stages = {1, 2, 3};  // returned stages of 0..3 (strides 4, 8, 16, 32), rising
  bool freeze_norm = false;                 // every BatchNorm fixed to its running statistics
  int64_t freeze_at = -1;                   // -1: nothing; 0: the stem takes no gradient; n: and the first n stages
  bool checkpoint = false;                  // recompute residual blocks in the backward pass
};

class ResidualBlock;

class Backbone : public nn::Module {
 public:
  explicit Backbone(const BackboneOptions& options);  // MOE_ERR_CONFIG for an unknown depth, width or stage
  // images [B, 3, H, W] in 0..1 -> one map [B, channels[i], H / strides[i], W / strides[i]] (rounded up) a returned
  // stage
  std::vector<at::Tensor> forward(const at::Tensor& images);
  void init_own(const nn::ParameterInit& init) override;

  const std::vector<int64_t>& channels() const { return channels_; }
  const std::vector<int64_t>& strides() const { return strides_; }

 private:
  void add_stem();
  void freeze(int64_t freeze_at);

  BackboneOptions options_;
  std::vector<int64_t> channels_, strides_;
  std::vector<std::shared_ptr<nn::ConvNorm>> stem_;
  std::vector<std::vector<std::shared_ptr<ResidualBlock>>> blocks_;  // by stage
};

}  // namespace moe::rtdetr
