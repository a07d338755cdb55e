// Turns predictions and targets into named numbers. An evaluator sees batches only, so a foreign program's own arrays are
// evaluated by the same code as a built-in data set.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/batch.h"

namespace moe {

struct Metric {
  std::string name;  // "AP", "AP50", "AP/car"
  double value;      // -1 where the official tool says -1 (nothing to evaluate)
};

class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual void add(const Batch& targets, const Batch& predictions) = 0;
  virtual std::vector<Metric> finish() = 0;  // the first metric is the one that `best` is chosen by; larger is better

  // Writes what was compared into a folder that exists, in the files of the metric's official tool.
  virtual void save(const std::string& folder) const {
    fail(MOE_ERR_UNSUPPORTED, "eval.save: expected a task whose evaluation has files, got none for ", folder);
  }

  // A metric that compares with the training data asks for it: batches of the training split come before the first
  // add(), in order, as long as it wants more. What it learned it may share with the next evaluator of its task.
  virtual bool wants_training_data() const { return false; }
  virtual void add_training(const Batch&) {}
};

}  // namespace moe
