#include "models/diffusion/frequency.h"

#include <torch/torch.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "tensor/batch.h"
#include "tensor/scope.h"

namespace moe::diffusion {

// 1 below the edge, 0 above, half a cosine over a quarter of the edge to either side.
static at::Tensor below(const at::Tensor& radius, double edge) {
  const at::Tensor ramp = ((radius / edge - 0.75) * 2).clamp(0, 1);
  return (ramp * std::numbers::pi).cos().add(1).mul(0.5);
}

at::Tensor band_masks(int64_t count, int64_t height, int64_t width) {
  check(count >= 1 && count <= 4, MOE_ERR_CONFIG, "frequency bands: expected 1 to 4, got ", count);
  const at::Tensor y = at::fft_fftfreq(height, 1.0, at::kDouble).unsqueeze(1);
  const at::Tensor x = at::fft_rfftfreq(width, 1.0, at::kDouble).unsqueeze(0);
  const at::Tensor radius = (y.square() + x.square()).sqrt();  // cycles a pixel
  std::vector<at::Tensor> masks;
  at::Tensor inside = at::zeros_like(radius);
  for (int64_t j = 0; j < count; ++j) {
    const at::Tensor wider =
        j + 1 == count ? at::ones_like(radius) : below(radius, std::ldexp(0.25, static_cast<int>(j + 2 - count)));
    masks.push_back(wider - inside);
    inside = wider;
  }
  return at::stack(masks).to(at::kFloat);
}

static at::Tensor multiply_spectrum(const at::Tensor& x, const at::Tensor& factor) {
  const at::Tensor spectrum = at::fft_rfft2(x.contiguous(), std::nullopt, {-2, -1}, "ortho");
  const std::vector<int64_t> size = {x.size(2), x.size(3)};
  return at::fft_irfft2(spectrum * factor, size, {-2, -1}, "ortho");
}

at::Tensor add_bands(const at::Tensor& x, const at::Tensor& gains, const at::Tensor& masks) {
  const at::Tensor factor = at::matmul(gains, masks.flatten(1).to(gains.scalar_type()));  // [B, C, H * (W / 2 + 1)]
  return x + multiply_spectrum(x, factor.view({x.size(0), x.size(1), masks.size(1), masks.size(2)}));
}

FrequencyModule::FrequencyModule(const FrequencyOptions& options, int64_t channels, int64_t embedding, int64_t height,
                                 int64_t width)
    : options_(options) {
  if (options.mode == FrequencyMode::filter) {
    filter_ = register_parameter("filter", nn::unset({channels, height, width / 2 + 1, 2}));
    return;
  }
  const int64_t outputs = options.mode == FrequencyMode::bands ? channels * options.bands : channels;
  first_ = register_module("first", std::make_shared<nn::Linear>(channels + embedding, channels));
  second_ = register_module("second", std::make_shared<nn::Linear>(channels, outputs));
  if (options.mode == FrequencyMode::bands) masks_ = band_masks(options.bands, height, width);
}

at::Tensor FrequencyModule::gains(const at::Tensor& x, const at::Tensor& time) const {
  const at::Tensor features = at::cat({pooled(x), time.to(x.scalar_type())}, 1);
  return second_->forward(at::gelu(first_->forward(features)));
}

at::Tensor FrequencyModule::forward(const at::Tensor& map, const at::Tensor& time) const {
  const Float32Scope precise;
  const at::Tensor x = map.scalar_type() == at::kDouble ? map : map.to(at::kFloat);
  const at::Tensor& fixed = options_.mode == FrequencyMode::filter ? filter_ : masks_;
  const int64_t height = fixed.defined() ? fixed.size(1) : x.size(2);
  const int64_t width = fixed.defined() ? fixed.size(2) : x.size(3) / 2 + 1;
  check(height == x.size(2) && width == x.size(3) / 2 + 1, MOE_ERR_SHAPE, "frequency module: expected maps of height ",
        height, " and half width ", width, ", got ", shape_text(x.sizes()));
  at::Tensor out;
  if (options_.mode == FrequencyMode::channel_gate) {
    out = x * (1 + gains(x, time).sigmoid()).unsqueeze(2).unsqueeze(3);
  } else if (options_.mode == FrequencyMode::bands) {
    out = add_bands(x, gains(x, time).view({x.size(0), x.size(1), options_.bands}), masks_);
  } else {
    out = x + multiply_spectrum(x, at::view_as_complex(filter_).unsqueeze(0));
  }
  return out.to(map.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
}

void FrequencyModule::init_own(const nn::ParameterInit&) {
  if (filter_.defined()) nn::ParameterInit::constant(filter_, 0);
  if (options_.mode != FrequencyMode::bands) return;
  nn::ParameterInit::constant(second_->weight, 0);
  nn::ParameterInit::constant(second_->bias, 0);
}

}  // namespace moe::diffusion
