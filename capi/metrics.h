// Named numbers of an evaluation as the header has them.
#pragma once

#include <moe.h>

#include <vector>

#include "buffers.h"
#include "eval/evaluator.h"

namespace moe::capi {

inline std::vector<moe_metric> public_metrics(const std::vector<Metric>& metrics) {
  std::vector<moe_metric> out(metrics.size());
  for (size_t i = 0; i < metrics.size(); ++i) {
    write_name(out[i].name, metrics[i].name);
    out[i].value = metrics[i].value;
  }
  return out;
}

}  // namespace moe::capi
