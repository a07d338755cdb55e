// What a check notices while a reader reads. Without findings a reader stops at the first wrong record; with them it
// notes the record, goes on without it, and so finds all of them in one pass.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"

namespace moe {

struct Finding {
  std::string kind;     // "label", "missing", "broken" ...
  std::string line;     // for a person: where, expected, got
  std::string picture;  // leaving out this picture of the split cures it; "": it does not
};

struct Findings {
  std::vector<Finding> list;
  std::map<std::string, int64_t> unmapped;  // objects by type or category without a meaning
};

// Runs `read`; its Error becomes a finding of this kind when there are findings, and goes on its way when there are
// none.
template <typename Read>
void attempt(Findings* findings, const char* kind, const std::string& picture, Read read) {
  if (!findings) return read();
  try {
    read();
  } catch (const Error& error) {
    if (error.status() == MOE_ERR_CONFIG) throw;  // no record's fault
    findings->list.push_back({kind, error.what(), picture});
  }
}

}  // namespace moe
