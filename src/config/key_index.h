// A schema made searchable: exact paths, paths with "*" segments, sections, and the nearest names for a wrong one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/schema.h"

namespace moe {

class KeyIndex {
 public:
  explicit KeyIndex(Schema schema);  // MOE_ERR_INTERNAL for a schema that contradicts itself

  const Schema& keys() const { return keys_; }
  const Key* find(const std::string& path) const;  // nullptr when no key has this path
  const std::vector<std::string>& default_of(const Key& key) const;
  bool is_section(const std::string& path) const;     // some key lies below it; "" is one
  bool is_user_named(const std::string& path) const;  // the last segment is a name that the user chose

  // ", did you mean \"optimizer.lr\"?": keys of the same name in other sections, then near paths.
  std::string suggestion(const std::string& path) const;

 private:
  Schema keys_;
  std::vector<std::vector<std::string>> defaults_;  // canonical items, beside keys_
  std::map<std::string, size_t> exact_;             // schema path -> index in keys_; "*" stands for itself
  std::vector<std::string> sections_;               // every proper prefix of a schema path, sorted
};

bool has_wildcard(const std::string& path);
// "optimizer.groups.new.lr" against "optimizer.groups.*.lr"
bool matches(const std::string& pattern, const std::string& path);
std::string last_segment(const std::string& path);
std::string section_of(const std::string& path);  // all but the last segment; ""

}  // namespace moe
