// Pictures that a data set is read without: the file of `data.exclude`. A text file; a line holds the split (train,
// val), the picture as the reader names it (relative to the split's root) and the reason, with tabs between them. Lines
// that begin with # say nothing. `moe data check` writes it.
#pragma once

#include <map>
#include <set>
#include <string>

namespace moe {

class ExcludeList {
 public:
  ExcludeList() = default;                        // nothing
  explicit ExcludeList(const std::string& path);  // MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_DATA with the line
  void add(const std::string& split, const std::string& picture, const std::string& reason);
  void write(const std::string& path) const;

  std::set<std::string> pictures(const std::string& split) const;
  int64_t size() const { return static_cast<int64_t>(reasons_.size()); }

 private:
  std::map<std::pair<std::string, std::string>, std::string> reasons_;  // by split and picture
};

}  // namespace moe
