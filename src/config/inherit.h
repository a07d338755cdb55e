// `base:` inheritance: a settings file and everything it inherits from, merged into one tree. Files are taken
// depth-first in the order they are listed; the later and the nearer to the leaf wins; maps merge, lists and scalars
// replace.
#pragma once

#include "config/yaml_tree.h"

namespace moe {

// The merged map of a file. MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_PARSE, MOE_ERR_CONFIG (cycle, map against scalar).
YamlNode load_with_bases(const std::string& path);
// The same from text; `name` stands for the file, and base: paths start at its folder.
YamlNode parse_with_bases(std::string_view text, const std::string& name);

}  // namespace moe
