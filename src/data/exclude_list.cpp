#include "data/exclude_list.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace moe {

ExcludeList::ExcludeList(const std::string& path) {
  int number = 0;
  for (const std::string& line : split(read_file(path), '\n')) {
    ++number;
    if (trim(line).empty() || line[0] == '#') continue;
    const std::vector<std::string> parts = split(line, '\t');
    const bool formed = parts.size() >= 2 && (parts[0] == "train" || parts[0] == "val") && !trim(parts[1]).empty();
    if (!formed) {
      throw Error(MOE_ERR_DATA, Position{path, number},
                  "expected train or val, a tab and the name of a picture, got " + quote(line));
    }
    reasons_[{parts[0], trim(parts[1])}] = parts.size() > 2 ? trim(parts[2]) : "";
  }
}

void ExcludeList::add(const std::string& split, const std::string& picture, const std::string& reason) {
  std::string line = reason;
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
  reasons_.emplace(std::pair(split, picture), line);
}

void ExcludeList::write(const std::string& path) const {
  std::string out = "# split, picture and reason, with tabs between them; data.exclude takes this file\n";
  for (const auto& [place, reason] : reasons_) out += text(place.first, "\t", place.second, "\t", reason, "\n");
  write_file_atomic(path, out);
}

std::set<std::string> ExcludeList::pictures(const std::string& split) const {
  std::set<std::string> out;
  for (const auto& [place, reason] : reasons_) {
    if (place.first == split) out.insert(place.second);
  }
  return out;
}

}  // namespace moe
