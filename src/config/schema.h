// The typed table of settings. One table gives validation, defaults, `moe config --schema` and the reference page.
#pragma once

#include <string>
#include <vector>

namespace moe {

enum class KeyType { boolean, integer, number, text, integers, numbers, texts };

// One setting. A path segment "*" stands for a name the user chooses: "optimizer.groups.*.lr".
struct Key {
  std::string path;
  KeyType type;
  std::string fallback;  // default as YAML text; "" for an empty text, "[]" for an empty list
  std::string rule;      // "" or ">= 1", "> 0, <= 1", "off | bf16 | fp16 | auto"; for lists it holds for every element
  std::string doc;       // one sentence, with units
  std::string since = "0.1";
};

using Schema = std::vector<Key>;

}  // namespace moe
