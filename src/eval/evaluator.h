// Turns predictions and targets into named numbers. An evaluator sees batches only, so a foreign program's own arrays are
// evaluated by the same code as a built-in data set.
#pragma once

#include <functional>
#include <memory>
#include <optional>
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

  // A metric that looks at pictures with another trained model names its run folder or checkpoint, and gets its predict()
  // before anything else.
  virtual std::string other_model() const { return {}; }
  virtual void use_model(std::function<Batch(const Batch&)>) {}

  // A metric of what the model makes without data asks for it: after the last add() each request is predicted and comes
  // back with its result, until there is none.
  virtual std::optional<Batch> next_request() { return std::nullopt; }
  virtual void add_result(const Batch& request, const Batch& result) { (void)request, (void)result; }
};

// Several evaluators as one, with their metrics in order.
std::unique_ptr<Evaluator> join_evaluators(std::vector<std::unique_ptr<Evaluator>> parts);

}  // namespace moe
