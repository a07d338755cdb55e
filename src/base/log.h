// Where a piece of the library sends a line for a person: a function of the caller, or nowhere. No global logger
// exists.
#pragma once

#include <moe.h>

#include <functional>
#include <string>

namespace moe {

using Log = std::function<void(int32_t level, const std::string& line)>;  // level: MOE_LOG_*; an empty Log is silent

inline void log_line(const Log& log, int32_t level, const std::string& line) {
  if (log) log(level, line);
}

}  // namespace moe
