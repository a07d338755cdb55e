#include "models/cost_table.h"

#include <cstdio>

namespace moe {

static std::string row(const std::string& name, const std::string& a, const std::string& b, const std::string& c) {
  char line[128];
  std::snprintf(line, sizeof line, "%-22s %14s %14s %14s\n", name.c_str(), a.c_str(), b.c_str(), c.c_str());
  return line;
}

static std::string row(const PartCost& part) {
  char millions[32];
  std::snprintf(millions, sizeof millions, "%.1f M", static_cast<double>(part.multiply_adds) * 1e-6);
  return row(part.name, std::to_string(part.parameters), std::to_string(part.active_parameters), millions);
}

std::string cost_table(const std::vector<PartCost>& parts) {
  std::string out = row("part", "parameters", "active", "multiply-adds");
  PartCost total{"total"};
  for (const PartCost& part : parts) {
    if (part.parameters > 0) out += row(part);
    total.parameters += part.parameters;
    total.active_parameters += part.active_parameters;
    total.multiply_adds += part.multiply_adds;
  }
  return out + row(total);
}

}  // namespace moe
