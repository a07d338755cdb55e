#include "models/rtdetr/network.h"

#include <ATen/ATen.h>

namespace moe::rtdetr {

static std::shared_ptr<HybridEncoder> make_encoder(EncoderOptions options, const Backbone& backbone) {
  options.in_channels = backbone.channels();
  return std::make_shared<HybridEncoder>(options);
}

Network::Network(const Options& options)
    : backbone_(register_module("backbone", std::make_shared<Backbone>(options.backbone))),
      encoder_(register_module("encoder", make_encoder(options.encoder, *backbone_))),
      decoder_(register_module("decoder", std::make_shared<MixtureDecoder>(options))) {
  nn::init_parameters(*this, options.seed);
}

NetworkOutput Network::forward(const at::Tensor& images, const Targets* targets, const Rng& rng) {
  const at::Tensor pixels = images.contiguous(at::MemoryFormat::ChannelsLast);
  return decoder_->forward(encoder_->forward(backbone_->forward(pixels)), targets, rng);
}

}  // namespace moe::rtdetr
