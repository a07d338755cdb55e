// The subset of YAML that a settings file may use, as a tree with the place of every key and value. yaml-cpp scans and
// parses; this reader takes its events and refuses what silently surprises: duplicate keys, aliases, anchors, merge
// keys, tags, several documents, keys that are not names. It does not know the schema: scalars stay text.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace moe {

struct YamlNode {
  enum class Kind { null, scalar, list, map };
  struct Entry;

  Kind kind = Kind::null;
  std::string scalar;
  bool quoted = false;  // a quoted or block scalar: text, whatever it looks like
  Position where;       // of the value
  std::vector<YamlNode> items;
  std::vector<Entry> entries;

  const Entry* find(const std::string& name) const;
};

struct YamlNode::Entry {
  std::string name;
  Position where;  // of the key
  YamlNode value;
};

// Parses one document; an empty text is a null node. MOE_ERR_PARSE with name:line:column.
YamlNode parse_yaml(std::string_view text, const std::string& name);

// "a map", "a list", "nothing", "the text \"5\"", 5, "\"fast\"": the value as an error message shows it.
std::string describe(const YamlNode& node);

}  // namespace moe
