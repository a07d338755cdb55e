// Share of pictures whose class is told.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "eval/evaluator.h"

namespace moe {

// Fields read: labels int64 [B] of the batch, and of the prediction. Metrics: accuracy, accuracy/CLASS; -1: no picture.
std::unique_ptr<Evaluator> make_accuracy_evaluator(std::vector<std::string> classes);

}  // namespace moe
