#include "models/task.h"

#include "base/error.h"

namespace moe {

Batch Task::join_views(const std::vector<Batch>&, const at::Tensor&) const {
  fail(MOE_ERR_UNSUPPORTED, "slices: expected a task that joins views of a picture, got one without");
}

ExportedModel Task::export_as(const std::string& format, const NamedTensors&) const {
  fail(MOE_ERR_UNSUPPORTED, "export: expected a task with the format ", quote(format), ", got one without");
}

}  // namespace moe
