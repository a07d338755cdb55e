// The whole network of RT-DETRv2 or of its mixture: backbone, hybrid encoder, decoder. Parameter names are those of the
// official project (lyuwenyu/RT-DETR, rtdetrv2_pytorch); a mixture adds decoder.experts.{e}, decoder.value_proj.{i} and
// decoder.gate.
#pragma once

#include "models/rtdetr/backbone.h"
#include "models/rtdetr/encoder.h"
#include "models/rtdetr/mixture_decoder.h"
#include "models/rtdetr/options.h"

namespace moe::rtdetr {

class Network : public nn::Module {
 public:
  explicit Network(const Options& options);  // every parameter drawn from options.seed

  // images [B, 3, H, W] in 0..1. In training with targets, at inference without.
  NetworkOutput forward(const at::Tensor& images, const Targets* targets, const Rng& rng);

  const MixtureDecoder& decoder() const { return *decoder_; }
  const std::vector<int64_t>& strides() const { return backbone_->strides(); }  // of the maps, finest first

 private:
  std::shared_ptr<Backbone> backbone_;
  std::shared_ptr<HybridEncoder> encoder_;
  std::shared_ptr<MixtureDecoder> decoder_;
};

}  // namespace moe::rtdetr
