// The table that tells a user what a model costs: parameters and multiply-adds per image, part by part, in closed form.
#pragma once

#include "models/cost_table.h"
#include "models/rtdetr/network.h"

namespace moe::rtdetr {

// Convolutions, linear layers, attention products and the four taps of a deformable sample count; norms, activations
// and biases do not. A mixture runs gate.top_k experts.
std::vector<PartCost> part_costs(const Options& options, const Network& network);

std::string summary_text(const Options& options, const Network& network);

}  // namespace moe::rtdetr
