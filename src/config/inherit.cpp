#include "config/inherit.h"

#include <algorithm>
#include <filesystem>

#include "base/files.h"

namespace moe {

namespace fs = std::filesystem;
using Kind = YamlNode::Kind;

static constexpr size_t max_depth = 16;
static constexpr int max_files = 256;

namespace {

class Inheritance {
 public:
  YamlNode load(const std::string& path);
  YamlNode parse(std::string_view text, const std::string& name);

 private:
  void check_chain(const std::string& path) const;
  YamlNode with_bases(YamlNode leaf, const std::string& name);
  YamlNode load_base(const YamlNode& entry, const std::string& name);

  std::vector<std::string> chain_;  // files being read, from the leaf down, as they were named
  int files_ = 0;
};

}  // namespace

static std::string identity(const std::string& path) {
  std::error_code ignored;
  const fs::path real = fs::weakly_canonical(path, ignored);
  return ignored ? path : real.string();
}

void Inheritance::check_chain(const std::string& path) const {
  const auto same = [&](const std::string& other) { return identity(other) == identity(path); };
  if (std::any_of(chain_.begin(), chain_.end(), same)) {
    fail(MOE_ERR_CONFIG, "base: cycle ", join(chain_, " -> "), " -> ", path);
  }
  if (chain_.size() >= max_depth) fail(MOE_ERR_CONFIG, "base: expected a chain of at most ", max_depth, " files");
  if (files_ >= max_files) fail(MOE_ERR_CONFIG, "base: expected at most ", max_files, " inherited files");
}

static std::string type_name(const YamlNode& node) {
  return node.kind == Kind::scalar ? "the value " + describe(node) : describe(node);
}

// Lays `top` over `bottom`, in place. `path` is the dotted path of both.
static void merge(YamlNode& bottom, YamlNode&& top, const std::string& path) {
  if (bottom.kind == Kind::null || top.kind == Kind::null) {
    if (bottom.kind != Kind::map) bottom = std::move(top);  // an empty section keeps what it inherits
    return;
  }
  if ((bottom.kind == Kind::map) != (top.kind == Kind::map)) {
    throw Error(MOE_ERR_CONFIG, top.where,
                text(path, ": expected ", type_name(bottom), " as in ", bottom.where.str(), ", got ", type_name(top)));
  }
  if (bottom.kind != Kind::map) {
    bottom = std::move(top);
    return;
  }
  for (YamlNode::Entry& entry : top.entries) {
    const auto same = [&](const YamlNode::Entry& other) { return other.name == entry.name; };
    const auto found = std::find_if(bottom.entries.begin(), bottom.entries.end(), same);
    if (found == bottom.entries.end()) {
      bottom.entries.push_back(std::move(entry));
    } else {
      found->where = entry.where;
      merge(found->value, std::move(entry.value), path.empty() ? entry.name : path + "." + entry.name);
    }
  }
}

YamlNode Inheritance::load_base(const YamlNode& entry, const std::string& name) {
  if (entry.kind != Kind::scalar || entry.scalar.empty()) {
    throw Error(MOE_ERR_CONFIG, entry.where, "base: expected a file name or a list of them, got " + describe(entry));
  }
  const fs::path path = join_path(parent_directory(name), entry.scalar);
  try {
    return load(path.lexically_normal().string());
  } catch (const Error& error) {
    if (!error.where().file.empty()) throw;
    throw Error(error.status(), entry.where, error.what());
  }
}

YamlNode Inheritance::with_bases(YamlNode leaf, const std::string& name) {
  if (leaf.kind != Kind::map && leaf.kind != Kind::null) {
    throw Error(MOE_ERR_CONFIG, leaf.where, "expected a map of settings, got " + describe(leaf));
  }
  const YamlNode::Entry* base = leaf.find("base");
  if (base == nullptr) return leaf;
  const std::vector<YamlNode> names = base->value.kind == Kind::list ? base->value.items : std::vector{base->value};
  leaf.entries.erase(leaf.entries.begin() + (base - leaf.entries.data()));
  chain_.push_back(name);
  YamlNode merged;
  for (const YamlNode& entry : names) merge(merged, load_base(entry, name), "");
  chain_.pop_back();
  merge(merged, std::move(leaf), "");
  return merged;
}

YamlNode Inheritance::load(const std::string& path) {
  check_chain(path);
  ++files_;
  return with_bases(parse_yaml(read_file(path), path), path);
}

YamlNode Inheritance::parse(std::string_view text, const std::string& name) {
  return with_bases(parse_yaml(text, name), name);
}

YamlNode load_with_bases(const std::string& path) {
  return Inheritance().load(path);
}

YamlNode parse_with_bases(std::string_view text, const std::string& name) {
  return Inheritance().parse(text, name);
}

}  // namespace moe
