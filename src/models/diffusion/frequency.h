// The frequency module: what a map's spectrum is multiplied with, added to the map. Three modes; with all gains at zero
// each is the identity. channel_gate is the published module, whose Fourier transform and inverse cancel: one scalar a
// channel. bands: gains by distance from frequency zero, as functions of picture and time. filter: a learned complex
// gain a frequency (Rao et al., GFNet, 2021), for maps of one size. Transforms run in float32, which is all the CPU
// has.
#pragma once

#include "models/diffusion/layers.h"
#include "models/diffusion/options.h"

namespace moe::diffusion {

// [count, H, W / 2 + 1] float32 masks over rfft2 frequencies that add up to 1, from low to high: raised-cosine edges at
// the last count - 1 of 1/16, 1/8 and 1/4 cycles a pixel. 1 <= count <= 4.
at::Tensor band_masks(int64_t count, int64_t height, int64_t width);

// x + irfft2(rfft2(x) * sum_j gains_j masks_j). gains [B, C, K], masks [K, H, W / 2 + 1].
at::Tensor add_bands(const at::Tensor& x, const at::Tensor& gains, const at::Tensor& masks);

class FrequencyModule : public nn::Module {
 public:
  // Maps of `channels` x height x width, any mode but none. MOE_ERR_CONFIG: number of bands.
  FrequencyModule(const FrequencyOptions& options, int64_t channels, int64_t embedding, int64_t height, int64_t width);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time) const;  // time [B, embedding]
  void init_own(const nn::ParameterInit& init) override;                  // gains of bands and filter 0

 private:
  at::Tensor gains(const at::Tensor& x, const at::Tensor& time) const;

  FrequencyOptions options_;
  std::shared_ptr<nn::Linear> first_, second_;  // channel_gate, bands
  at::Tensor filter_;                           // [C, H, W / 2 + 1, 2]
  at::Tensor masks_;                            // [K, H, W / 2 + 1]
};

}  // namespace moe::diffusion
