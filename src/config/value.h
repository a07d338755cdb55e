// One value against its key: strict reading of scalars and lists, the rule of the key, canonical text. Numbers are
// decimal and finite, booleans are true and false, a quoted scalar is text and nothing else.
#pragma once

#include <string>
#include <vector>

#include "config/schema.h"
#include "config/yaml_tree.h"

namespace moe {

// Canonical text of every item; one for scalars.
using Items = std::vector<std::string>;

bool is_list(KeyType type);
const char* type_name(KeyType type);  // "number", "list of texts"

// What the key takes, for messages: "a number > 0 and <= 1", "one of off, bf16", "a list of integers >= 1".
std::string expectation(const Key& key);
// The choices of a rule "a | b"; empty for a range or no rule.
std::vector<std::string> choices(const std::string& rule);

// MOE_ERR_CONFIG "expected ..., got ..." without place or key: the caller knows them.
Items read_value(const Key& key, const YamlNode& node);
Items parse_default(const Key& key);  // MOE_ERR_INTERNAL when the schema's own default is wrong

// The value as YAML that reads back to the same items.
std::string yaml_text(const Items& items, KeyType type);
std::string yaml_quote(const std::string& text);  // plain where that is unambiguous, else double-quoted

}  // namespace moe
