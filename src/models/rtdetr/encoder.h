// The hybrid encoder of RT-DETR (Zhao et al. 2024): a transformer layer on the coarsest map (AIFI), then top-down and
// bottom-up fusion of all maps (CCFF). Parameter names are those of the official rtdetrv2_pytorch project below
// "encoder.". It does not fuse RepVGG branches for deployment.
#pragma once

#include "nn/attention.h"
#include "nn/layers.h"

namespace moe::rtdetr {

struct EncoderOptions {
  std::vector<int64_t> in_channels;  // of the backbone's maps, finest first
  int64_t hidden = 256;              // channels of every output map, divisible by 4 and by heads
  int64_t ffn = 1024;                // hidden units of the transformer layers
  int64_t heads = 8;
  int64_t layers = 1;       // transformer layers on the coarsest map
  double expansion = 0.5;   // inner width of the CSPRep blocks over `hidden`
  int64_t bottlenecks = 3;  // RepVGG blocks in a CSPRep block
  bool checkpoint = false;  // recompute transformer layers and CSPRep blocks in the backward pass
};

// Two-dimensional sine-cosine position embedding [1, H * W, dim], rows first: (sin y w, cos y w, sin x w, cos x w) with
// w_j = 10000^(-j / (dim / 4)). The official code transposes it for non-square maps; this is the form that transformers
// uses.
at::Tensor position_embedding(int64_t height, int64_t width, int64_t dim, at::ScalarType type);

class TransformerLayer;
class CspRep;

class HybridEncoder : public nn::Module {
 public:
  explicit HybridEncoder(const EncoderOptions& options);  // MOE_ERR_CONFIG for widths that do not divide
  // maps [B, in_channels[i], H_i, W_i], each half the size of the one before (rounded up) -> the same sizes with
  // `hidden` channels
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& maps);
  int64_t hidden() const { return options_.hidden; }

 private:
  at::Tensor attend(const at::Tensor& map);  // AIFI: [B, hidden, H, W] -> same

  EncoderOptions options_;
  std::vector<std::shared_ptr<nn::ConvNorm>> input_proj_, lateral_, downsample_;
  std::vector<std::shared_ptr<TransformerLayer>> layers_;
  std::vector<std::shared_ptr<CspRep>> fpn_, pan_;
};

}  // namespace moe::rtdetr
