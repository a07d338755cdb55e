#include "config/key_index.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "config/value.h"

namespace moe {

bool has_wildcard(const std::string& path) {
  return path.find('*') != std::string::npos;
}

bool matches(const std::string& pattern, const std::string& path) {
  const std::vector<std::string> want = split(pattern, '.');
  const std::vector<std::string> have = split(path, '.');
  const auto fits = [](const std::string& a, const std::string& b) { return a == "*" ? !b.empty() : a == b; };
  return std::equal(want.begin(), want.end(), have.begin(), have.end(), fits);
}

std::string last_segment(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

std::string section_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

// "a.b.c" -> "a.b", "a"
static std::vector<std::string> prefixes(const std::string& path) {
  std::vector<std::string> out;
  for (std::string section = section_of(path); !section.empty(); section = section_of(section)) out.push_back(section);
  return out;
}

KeyIndex::KeyIndex(Schema schema) : keys_(std::move(schema)) {
  std::set<std::string> sections;
  for (size_t i = 0; i < keys_.size(); ++i) {
    const Key& key = keys_[i];
    check(exact_.emplace(key.path, i).second, MOE_ERR_INTERNAL, "schema: ", key.path, " is listed twice");
    for (const std::string& section : prefixes(key.path)) sections.insert(section);
    defaults_.push_back(parse_default(key));
  }
  for (const std::string& section : sections) {
    check(!exact_.contains(section), MOE_ERR_INTERNAL, "schema: ", section, " is both a key and a section");
  }
  sections_.assign(sections.begin(), sections.end());
}

const Key* KeyIndex::find(const std::string& path) const {
  if (const auto found = exact_.find(path); found != exact_.end()) return &keys_[found->second];
  for (const Key& key : keys_) {
    if (has_wildcard(key.path) && matches(key.path, path)) return &key;
  }
  return nullptr;
}

const std::vector<std::string>& KeyIndex::default_of(const Key& key) const {
  return defaults_[static_cast<size_t>(&key - keys_.data())];
}

bool KeyIndex::is_section(const std::string& path) const {
  if (path.empty()) return true;
  return std::any_of(sections_.begin(), sections_.end(), [&](const auto& section) { return matches(section, path); });
}

bool KeyIndex::is_user_named(const std::string& path) const {
  const auto named = [&](const std::string& pattern) { return last_segment(pattern) == "*" && matches(pattern, path); };
  if (std::any_of(sections_.begin(), sections_.end(), named)) return true;
  return std::any_of(keys_.begin(), keys_.end(), [&](const Key& key) { return named(key.path); });
}

// The pattern with the user's names filled in where the two run alike: ("a.*.lr", "a.new.lrr") -> "a.new.lr".
static std::string fill_names(const std::string& pattern, const std::string& path) {
  std::vector<std::string> want = split(pattern, '.');
  const std::vector<std::string> have = split(path, '.');
  for (size_t i = 0; i < want.size() && i < have.size(); ++i) {
    if (want[i] == "*") want[i] = have[i];
    if (want[i] != have[i]) break;
  }
  return join(want, ".");
}

std::string KeyIndex::suggestion(const std::string& path) const {
  std::vector<std::string> names;
  for (const Key& key : keys_) names.push_back(fill_names(key.path, path));
  for (const std::string& section : sections_) names.push_back(fill_names(section, path));
  std::vector<std::string> near;
  const auto add = [&](const std::string& name) {
    if (near.size() < 3 && std::find(near.begin(), near.end(), name) == near.end()) near.push_back(name);
  };
  for (const std::string& name : names) {
    if (last_segment(name) == last_segment(path)) add(name);
  }
  for (const std::string& name : nearest(path, names, 2)) add(name);
  if (near.empty()) return "";
  for (std::string& name : near) name = quote(name);
  return ", did you mean " + join(near, " or ") + "?";
}

}  // namespace moe
