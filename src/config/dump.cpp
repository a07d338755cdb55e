// Config as YAML again. Keys of a "*" section are written only where the user gave them: a written default would look
// like a choice of that name alone.
#include "config/config.h"
#include "config/key_index.h"
#include "config/value.h"

namespace moe {

namespace {

// The settings as nested maps, in the order of their first appearance in the schema.
struct Branch {
  std::string name;
  std::string path;
  bool setting = false;
  std::vector<Branch> branches;

  Branch& child(const std::string& child_name) {
    for (Branch& branch : branches) {
      if (branch.name == child_name) return branch;
    }
    branches.push_back({child_name, path.empty() ? child_name : path + "." + child_name, false, {}});
    return branches.back();
  }
};

// Adds every setting that a pattern stands for, from segment `next` on below `branch`.
void insert(Branch& branch, const std::vector<std::string>& pattern, size_t next, const Config& config) {
  if (next == pattern.size()) {
    branch.setting = true;
    return;
  }
  const bool last = next + 1 == pattern.size();
  const bool by_user = has_wildcard(join(pattern, "."));
  if (pattern[next] == "*") {
    for (const std::string& name : config.children(branch.path)) insert(branch.child(name), pattern, next + 1, config);
  } else if (!last || !by_user || config.given(branch.path + "." + pattern[next])) {
    insert(branch.child(pattern[next]), pattern, next + 1, config);
  }
}

Branch tree_of(const Config& config, const Schema& schema) {
  Branch root;
  for (const Key& key : schema) insert(root, split(key.path, '.'), 0, config);
  return root;
}

// Control characters in a file name would end the comment and begin a setting.
std::string comment(const std::string& origin) {
  const std::string safe = quote(origin, origin.size());
  return "  # " + safe.substr(1, safe.size() - 2);
}

void write(std::string& out, const Branch& branch, size_t depth, const Config& config, bool origins) {
  const std::string indent(2 * depth, ' ');
  for (const Branch& child : branch.branches) {
    out += indent + yaml_quote(child.name) + ":";
    if (child.setting) {
      out += " " + config.get(child.path) + (origins ? comment(config.origin(child.path)) : "") + "\n";
    } else {
      out += child.branches.empty() ? " {}\n" : "\n";
      write(out, child, depth + 1, config, origins);
    }
  }
}

void collect(std::vector<std::string>& out, const Branch& branch) {
  if (branch.setting) out.push_back(branch.path);
  for (const Branch& child : branch.branches) collect(out, child);
}

}  // namespace

std::string Config::dump(bool origins) const {
  std::string out;
  if (schema_ != nullptr) write(out, tree_of(*this, schema_->keys()), 0, *this, origins);
  return out;
}

std::vector<std::string> Config::keys() const {
  std::vector<std::string> out;
  if (schema_ != nullptr) collect(out, tree_of(*this, schema_->keys()));
  return out;
}

}  // namespace moe
