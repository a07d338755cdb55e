#include "base/error.h"

namespace moe {

std::string Position::str() const {
  if (line <= 0) return file;
  if (column <= 0) return text(file, ":", line);
  return text(file, ":", line, ":", column);
}

static std::string prefixed(const Position& where, const std::string& message) {
  const std::string place = where.str();
  return place.empty() ? message : place + ": " + message;
}

Error::Error(moe_status status, const Position& where, const std::string& message)
    : std::runtime_error(prefixed(where, message)), status_(status), where_(where) {}

}  // namespace moe
