// The classifier of pictures as a Task: cross-entropy in training, features and logits by predict(), accuracy.
#pragma once

#include "models/task.h"

namespace moe::classifier {

Schema schema();
std::unique_ptr<Task> create(const Config& config);

}  // namespace moe::classifier
