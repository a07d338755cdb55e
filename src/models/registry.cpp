// The systems that a config can name in `task`: one line for each.
#include "models/classifier/task.h"
#include "models/diffusion/task.h"
#include "models/rtdetr/task.h"
#include "models/task.h"

namespace moe {

const std::vector<TaskEntry>& task_registry() {
  static const std::vector<TaskEntry> entries = {
      {"rtdetr", rtdetr::schema, rtdetr::create},
      {"diffusion", diffusion::schema, diffusion::create},
      {"classifier", classifier::schema, classifier::create},
  };
  return entries;
}

}  // namespace moe
