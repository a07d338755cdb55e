// A small convolutional classifier of pictures: a stem, a halving and a residual block a level, the mean over the map
// as features, one linear layer to the classes. It is there to judge samples by, not to compete.
#pragma once

#include <memory>
#include <vector>

#include "nn/layers.h"

namespace moe::classifier {

struct NetworkOptions {
  int64_t image_channels = 3;
  int64_t channels = 32;                      // of the stem
  std::vector<int64_t> multipliers = {2, 4};  // channels of each level over those of the stem
  int64_t classes = 10;
};

struct Judgement {
  at::Tensor features;  // [B, D]
  at::Tensor logits;    // [B, classes]
};

class Network : public nn::Module {
 public:
  explicit Network(const NetworkOptions& options);
  Judgement forward(const at::Tensor& pictures) const;  // [B, C, H, W] in 0..1

 private:
  std::shared_ptr<nn::ConvNorm> stem_;
  std::vector<std::shared_ptr<nn::ConvNorm>> halve_, block_;
  std::shared_ptr<nn::Linear> head_;
};

}  // namespace moe::classifier
