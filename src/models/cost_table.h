// The table that tells a user what a model costs: parameters and multiply-adds of one picture, part by part.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moe {

struct PartCost {
  std::string name;
  int64_t parameters = 0;         // all experts
  int64_t active_parameters = 0;  // those used for one picture, of experts their mean size
  int64_t multiply_adds = 0;      // of one picture at inference, once through the network
};

// A head line, a line for every part that has parameters, and one for "total".
std::string cost_table(const std::vector<PartCost>& parts);

}  // namespace moe
