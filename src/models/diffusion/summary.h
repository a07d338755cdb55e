// The table that tells a user what a model costs: parameters and multiply-adds of one picture, part by part.
#pragma once

#include "models/cost_table.h"
#include "models/diffusion/network.h"

namespace moe::diffusion {

// Parts: embeddings, experts, routers, projections (the other convolutions of blocks), resampling, frequency module,
// stem and head. Convolutions and linear layers count; norms, activations, biases and Fourier transforms do not.
std::vector<PartCost> part_costs(const NetworkOptions& options, const Network& network);

std::string summary_text(const Options& options, const Network& network);

}  // namespace moe::diffusion
