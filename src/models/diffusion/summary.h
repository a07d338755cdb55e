// The table that tells a user what a model costs: parameters and multiply-adds of one picture, part by part.
#pragma once

#include "models/diffusion/network.h"

namespace moe::diffusion {

struct PartCost {
  std::string name;
  int64_t parameters = 0;
  int64_t active_parameters = 0;  // those used for one picture, of experts their mean size
  int64_t multiply_adds = 0;      // of one picture and one call of the network
};

// Parts: embeddings, experts, routers, projections (the other convolutions of blocks), resampling, frequency module,
// stem and head. Convolutions and linear layers count; norms, activations, biases and Fourier transforms do not.
std::vector<PartCost> part_costs(const NetworkOptions& options, const Network& network);

std::string summary_text(const Options& options, const Network& network);

}  // namespace moe::diffusion
