#include "train/patterns.h"

#include "base/text.h"

namespace moe {

Patterns::Patterns(const Config& config, const std::string& key, const std::string& keyword) {
  for (const std::string& pattern : config.texts(key)) {
    if (!keyword.empty() && pattern == keyword) {
      keyword_ = true;
      continue;
    }
    try {
      expressions_.emplace_back(pattern);
    } catch (const std::regex_error& error) {
      config.fail_at(key, text("expected regular expressions, got ", quoted(pattern), " (", error.what(), ")"));
    }
  }
}

bool Patterns::match(const std::string& name) const {
  for (const std::regex& expression : expressions_) {
    if (std::regex_search(name, expression)) return true;
  }
  return false;
}

}  // namespace moe
