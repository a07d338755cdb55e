// The one exception type of libmoe. It carries a moe_status and one line of text: what was expected, what came, and
// where.
#pragma once

#include <moe.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "base/text.h"

namespace moe {

// A place in a text file. Lines and columns count from 1; 0 means unknown.
struct Position {
  std::string file;
  int line = 0;
  int column = 0;

  std::string str() const;  // "configs/a.yml:12:7", "file", or ""
};

class Error : public std::runtime_error {
 public:
  Error(moe_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
  Error(moe_status status, const Position& where, const std::string& text);

  moe_status status() const { return status_; }
  const Position& where() const { return where_; }

 private:
  moe_status status_;
  Position where_;
};

// Throws Error with the parts joined: fail(MOE_ERR_SHAPE, "boxes: expected [N, 4], got ", shape).
template <typename... Parts>
[[noreturn]] void fail(moe_status status, const Parts&... parts) {
  throw Error(status, text(parts...));
}

template <typename... Parts>
void check(bool condition, moe_status status, const Parts&... parts) {
  if (!condition) fail(status, parts...);
}

}  // namespace moe
