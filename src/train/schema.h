// The settings every task shares (task, train, optimizer, schedule, ema, ...) joined with the data section and a task's own.
#pragma once

#include "config/config.h"

namespace moe {

Schema shared_schema();                       // without any task's own keys
Schema task_schema(const std::string& task);  // SchemaLookup for Config: MOE_ERR_CONFIG with the nearest task for unknown ones

}  // namespace moe
