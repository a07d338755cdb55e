// A list of regular expressions (ECMAScript) from the settings, searched for in parameter names.
#pragma once

#include <regex>
#include <string>
#include <vector>

#include "config/config.h"

namespace moe {

class Patterns {
 public:
  // Items equal to `keyword` are left out. MOE_ERR_CONFIG at the setting's origin for a malformed expression.
  Patterns(const Config& config, const std::string& key, const std::string& keyword = "");

  bool match(const std::string& name) const;
  bool keyword() const { return keyword_; }  // the list held it
  bool empty() const { return expressions_.empty(); }

 private:
  std::vector<std::regex> expressions_;
  bool keyword_ = false;
};

}  // namespace moe
