// Small layers of the diffusion networks: norm, separable convolution, embeddings of time and class, changes of size.
// Maps are [B, C, H, W] in channels-last memory. No routing.
#pragma once

#include <memory>

#include "moe/conv_blocks.h"
#include "nn/layers.h"

namespace moe::diffusion {

// GroupNorm with the usual number of groups (moe/conv_blocks.h).
class GroupNorm : public nn::Module {
 public:
  explicit GroupNorm(int64_t channels);
  at::Tensor forward(const at::Tensor& x) const;
  void init_own(const nn::ParameterInit& init) override;  // 1 and 0

  at::Tensor weight, bias;  // [C]
};

// 3 x 3 that keeps the size: depthwise then 1 x 1, both without bias, or one dense convolution with bias (MoEFSDiC's
// DSConv and its replacement).
class SpatialConv : public nn::Module {
 public:
  SpatialConv(int64_t in, int64_t out, bool separable);
  at::Tensor forward(const at::Tensor& x, int64_t dilation = 1) const;
  ConvWeights weights() const { return {weight_, depthwise_, bias_}; }
  void init_own(const nn::ParameterInit& init) override;  // U(+-1/sqrt(fan_in))

 private:
  at::Tensor depthwise_;  // [in, 1, 3, 3]
  at::Tensor weight_;     // [out, in, 1, 1] or [out, in, 3, 3]
  at::Tensor bias_;       // [out]
};

// [cos(t f) | sin(t f)] with f_i = 10000^(-i / half), half = width / 2. t [B] -> [B, width] float32.
at::Tensor sinusoid(const at::Tensor& t, int64_t width);

// sinusoid, Linear to 4 * width, GELU, Linear to width; [B] -> [B, width].
class TimeEmbedding : public nn::Module {
 public:
  explicit TimeEmbedding(int64_t width);
  at::Tensor forward(const at::Tensor& t) const;

 private:
  int64_t width_;
  std::shared_ptr<nn::Linear> first_, second_;
};

// A row for each class, and one more where `with_null`: that of no class.
class ClassEmbedding : public nn::Module {
 public:
  ClassEmbedding(int64_t classes, int64_t width, bool with_null);
  at::Tensor forward(const at::Tensor& labels) const;     // int64 [B], `classes` for none -> [B, width]
  void init_own(const nn::ParameterInit& init) override;  // N(0, 1), as torch.nn.Embedding

  at::Tensor weight;
};

// What a sample's time and class say to the blocks.
struct Condition {
  at::Tensor time, label;  // [B, D]; label undefined in an unconditional network
  at::Tensor mixed;        // SiLU(time + label)
  at::Tensor classes;      // [B] int64, -1 for none; undefined in an unconditional network
};

// x [B, C, H, W] -> [B, C]
at::Tensor pooled(const at::Tensor& x);
// [pooled features | time | class], the input of the routers. -> [B, C + 2 D]; + D where unconditional
at::Tensor routing_features(const at::Tensor& x, const Condition& condition);

}  // namespace moe::diffusion
