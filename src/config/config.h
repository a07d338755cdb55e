// Resolved settings of one task, with the origin of every value. Made by load/parse from YAML; frozen meaning: every
// read of a key that the schema does not hold is a defect (MOE_ERR_INTERNAL), every wrong user value was refused when
// it came in.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "config/schema.h"

namespace moe {

class KeyIndex;

// Gives the schema of a task name; throws MOE_ERR_CONFIG with the nearest names for an unknown one. "" gives the shared
// keys.
using SchemaLookup = Schema (*)(const std::string& task);

class Config {
 public:
  static Config load(const std::string& path, SchemaLookup lookup);
  static Config parse(std::string_view yaml, const std::string& name, SchemaLookup lookup);

  // Overrides one key by YAML scalar or flow-list text; unchanged on error.
  void set(const std::string& key, const std::string& value);

  bool boolean(const std::string& key) const;
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;
  std::string text(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;

  // True when the user gave the key (file or override), false when it is the default.
  bool given(const std::string& key) const;
  // The names a user chose below a "*" path, in order of appearance: children("optimizer.groups") -> {"pretrained",
  // "new"}.
  std::vector<std::string> children(const std::string& path) const;

  std::string get(const std::string& key) const;     // value as YAML text; MOE_ERR_NOT_FOUND with the nearest names
  std::string origin(const std::string& key) const;  // "default", "configs/a.yml:12:7", "override"
  std::string dump(bool origins) const;              // YAML that loads back to the same settings
  std::string task() const { return text("task"); }
  std::vector<std::string> keys() const;  // every key that has a value, wildcard names filled in, in schema order

  // An error about a setting, placed at its origin: config.fail_at("optimizer.lr", "expected a number > 0, got -1").
  [[noreturn]] void fail_at(const std::string& key, const std::string& message) const;

 private:
  struct Given {
    std::vector<std::string> items;  // canonical text; one for scalars
    std::string origin;
    Position where;
  };
  friend class ConfigReader;

  const Key* find_key(const std::string& path) const;     // nullptr when no key has this path
  const Key& require_key(const std::string& path) const;  // MOE_ERR_NOT_FOUND with the nearest names
  const std::vector<std::string>& items(const std::string& path, const Key& key) const;
  const std::vector<std::string>& at(const std::string& path, KeyType type) const;
  void store(const std::string& path, Given value);
  void add_children(const std::string& path);  // notes the names that the user chose along a path

  std::shared_ptr<const KeyIndex> schema_;
  std::map<std::string, Given> given_;  // full path -> value from a file or an override
  std::vector<std::string> order_;      // paths that end in a name the user chose, in order of appearance
};

// The reference page: one Markdown table per top-level section.
std::string schema_markdown(const Schema& schema, const std::string& title);

}  // namespace moe
