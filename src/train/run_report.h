// The lines that a run writes: for a person (console, train.log) and for programs (metrics.jsonl, metrics.csv).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "train/run.h"

namespace moe {

// Means over the steps since the last step event.
struct StepMeans {
  int64_t steps = 0;
  double loss = 0;
  double grad_norm = 0;
  double load_seconds = 0;
  double step_seconds = 0;
  double samples = 0;
  int64_t skipped = 0;
  std::vector<std::pair<std::string, double>> terms;
  std::vector<std::pair<std::string, double>> rates;  // of the last step

  void add(const StepInfo& info, double waited);
  double images_per_second() const;
  double mean(double sum) const { return steps > 0 ? sum / static_cast<double>(steps) : 0; }
};

std::string step_text(const RunEvent& event, const StepMeans& means);
std::string step_json(const RunEvent& event, const StepMeans& means, const std::vector<RoutingStats*>& routing);
std::vector<std::pair<std::string, double>> step_row(const RunEvent& event, const StepMeans& means);
std::string eval_text(const RunEvent& event, const std::vector<Metric>& metrics, bool is_best, double seconds);
std::string eval_json(const RunEvent& event, const std::vector<Metric>& metrics, bool is_best,
                      const std::vector<RoutingStats*>& routing);
std::string epoch_text(const RunEvent& event, const std::vector<RoutingStats*>& routing);
std::string epoch_json(const RunEvent& event, const std::vector<RoutingStats*>& routing);

}  // namespace moe
