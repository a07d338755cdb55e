#include "models/task.h"

#include "base/error.h"

namespace moe {

ExportedModel Task::export_as(const std::string& format, const NamedTensors&) const {
  fail(MOE_ERR_UNSUPPORTED, "export: expected a task with the format ", quote(format), ", got one without");
}

}  // namespace moe
