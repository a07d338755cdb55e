// Pictures from a trained network: starting noise by seed and sample index, the sampler's loop, guidance. A sample is a
// function of (network, settings, seed, index, class): its noise does not depend on its batch.
#pragma once

#include "models/diffusion/network.h"

namespace moe::diffusion {

struct SampleRequest {
  std::vector<int64_t> seeds, indices;  // [B]
  std::vector<int64_t> labels;          // [B]; `classes` for none
};

// -> [B, C, H, W] float32 in 0..1.
at::Tensor sample_pictures(const Options& options, const Network& network, const Objective& objective,
                           const SampleRequest& request);

}  // namespace moe::diffusion
