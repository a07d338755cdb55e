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
  // MOE_ERR_CONFIG names the first expression that is found in none of the names.
  void check_used(const Config& config, const std::vector<std::string>& names) const;
  bool keyword() const { return keyword_; }  // the list held it
  bool empty() const { return expressions_.empty(); }

 private:
  std::string key_;
  std::vector<std::string> texts_;
  std::vector<std::regex> expressions_;  // of the texts
  bool keyword_ = false;
};

}  // namespace moe
