// MoE RT-DETR as a Task: batch checks, network, criterion, post-process, evaluator, pictures.
#pragma once

#include "models/task.h"

namespace moe::rtdetr {

Schema schema();
std::unique_ptr<Task> create(const Config& config);

}  // namespace moe::rtdetr
