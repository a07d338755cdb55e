#include "models/classifier/network.h"

#include <ATen/ATen.h>

#include "base/text.h"

namespace moe::classifier {

static std::shared_ptr<nn::ConvNorm> conv3(int64_t in, int64_t out, int64_t stride) {
  return std::make_shared<nn::ConvNorm>(in, out, nn::ConvOptions{.kernel = 3, .stride = stride}, nn::Activation::relu);
}

Network::Network(const NetworkOptions& options) {
  stem_ = register_module("stem", conv3(options.image_channels, options.channels, 1));
  int64_t width = options.channels;
  for (const int64_t multiplier : options.multipliers) {
    const int64_t next = options.channels * multiplier;
    halve_.push_back(register_module(text("halve", halve_.size()), conv3(width, next, 2)));
    block_.push_back(register_module(text("block", block_.size()), conv3(next, next, 1)));
    width = next;
  }
  head_ = register_module("head", std::make_shared<nn::Linear>(width, options.classes));
}

Judgement Network::forward(const at::Tensor& pictures) const {
  at::Tensor x = stem_->forward((pictures * 2 - 1).contiguous(at::MemoryFormat::ChannelsLast));
  for (size_t level = 0; level < halve_.size(); ++level) {
    x = halve_[level]->forward(x);
    x = x + block_[level]->forward(x);
  }
  const at::Tensor features = x.to(at::kFloat).mean({2, 3});
  return {features, head_->forward(features)};
}

}  // namespace moe::classifier
