#include "models/diffusion/sampling.h"

#include <ATen/ATen.h>

#include "models/diffusion/denoise.h"
#include "tensor/random.h"

namespace moe::diffusion {

// Standard normal noise of every sample, each from its own stream. step -1: the start.
static at::Tensor noise_of(const NetworkOptions& options, const SampleRequest& request, int64_t step) {
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < request.indices.size(); ++i) {
    const Rng rng(static_cast<uint64_t>(request.seeds[i]), "sample", static_cast<uint64_t>(request.indices[i]),
                  static_cast<uint64_t>(step + 1));
    out.push_back(normal_tensor(rng, {options.image_channels, options.height, options.width}));
  }
  return at::stack(out).to(at::kDouble);
}

namespace {

// The network as the sampler's denoiser, with guidance where it acts.
class GuidedDenoiser {
 public:
  GuidedDenoiser(const Options& options, const Network& network, const Objective& objective,
                 const std::vector<int64_t>& labels)
      : options_(options), network_(network), objective_(objective), labels_(at::tensor(labels, at::kLong)) {}

  // x [B, C, H, W] float64 at one level for all; place: 0 at the start, 1 at the end of the sampler's levels.
  at::Tensor x0(const at::Tensor& x, const Level& level, double place) const {
    const Level own = objective_.own(level);
    const at::Tensor input = x * (level.signal > 0 ? own.signal / level.signal : own.noise / level.noise);
    const Coefficients c = objective_.at(own);
    return input * c.skip + guided(input, own, place) * c.out;
  }

 private:
  at::Tensor guided(const at::Tensor& x, const Level& own, double place) const {
    const GuidanceOptions& guidance = options_.guidance;
    const at::Tensor single = x.to(at::kFloat);
    const bool acts = guidance.scale != 1 && place >= guidance.from && place <= guidance.to;
    if (!acts) return predict(single, own, labels_);
    const at::Tensor null = at::full_like(labels_, options_.network.classes);
    const at::Tensor both = predict(at::cat({single, single}), own, at::cat({null, labels_}));
    const std::vector<at::Tensor> parts = both.chunk(2);
    return guide(parts[0], parts[1], guidance.scale);
  }

  at::Tensor predict(const at::Tensor& x, const Level& own, const at::Tensor& labels) const {
    const std::vector<Level> levels(static_cast<size_t>(x.size(0)), own);
    return raw_prediction(network_, objective_, x, levels, labels, std::nullopt).prediction.to(at::kDouble);
  }

  const Options& options_;
  const Network& network_;
  const Objective& objective_;
  at::Tensor labels_;
};

}  // namespace

at::Tensor sample_pictures(const Options& options, const Network& network, const Objective& objective,
                           const SampleRequest& request) {
  const std::vector<Level> levels = sampler_levels(options.sampler, objective);
  const GuidedDenoiser denoiser(options, network, objective, request.labels);
  const double last = static_cast<double>(std::max<size_t>(2, levels.size()) - 2), top = levels.front().sigma();
  // The place of a level in the list, also of those that lie between two of its members.
  const auto place = [&](const Level& level) {
    size_t i = 0;
    while (i + 2 < levels.size() && levels[i + 1].sigma() >= level.sigma()) ++i;
    return last > 0 && level.sigma() < top ? static_cast<double>(i) / last : 0.0;
  };
  const auto denoise = [&](const at::Tensor& x, const Level& level) { return denoiser.x0(x, level, place(level)); };
  const auto noise = [&](int64_t step) { return noise_of(options.network, request, step); };
  const at::Tensor x = run_sampler(options.sampler, levels, noise(-1), denoise, noise);
  return x.clamp(-1, 1).add(1).mul(0.5).to(at::kFloat);
}

}  // namespace moe::diffusion
