#include "train/patterns.h"

#include <algorithm>

#include "base/text.h"

namespace moe {

Patterns::Patterns(const Config& config, const std::string& key, const std::string& keyword) : key_(key) {
  for (const std::string& pattern : config.texts(key)) {
    if (!keyword.empty() && pattern == keyword) {
      keyword_ = true;
      continue;
    }
    try {
      expressions_.emplace_back(pattern);
      texts_.push_back(pattern);
    } catch (const std::regex_error& error) {
      config.fail_at(key, text("expected regular expressions, got ", quote(pattern), " (", error.what(), ")"));
    }
  }
}

bool Patterns::match(const std::string& name) const {
  for (const std::regex& expression : expressions_) {
    if (std::regex_search(name, expression)) return true;
  }
  return false;
}

void Patterns::check_used(const Config& config, const std::vector<std::string>& names) const {
  for (size_t i = 0; i < expressions_.size(); ++i) {
    const auto found = [&](const std::string& name) { return std::regex_search(name, expressions_[i]); };
    if (std::any_of(names.begin(), names.end(), found)) continue;
    config.fail_at(key_, text("expected a pattern that fits a parameter, ", quote(texts_[i]), " fits none"));
  }
}

}  // namespace moe
