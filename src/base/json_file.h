// Strict reading of JSON: every access says what it expects, and a mismatch is an error with the file, the key path,
// the expected type and what came. Numbers may be written as JSON strings, as in the DAIR-V2X labels.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace moe {

// One value inside a file, with its path from the root. Valid as long as the file.
class JsonNode {
 public:
  JsonNode(const std::string& file, const nlohmann::json& value) : file_(&file), value_(&value) {}

  size_t size() const;                          // of an array; another type is an error
  JsonNode at(size_t index) const;              // element of an array
  JsonNode member(std::string_view key) const;  // of an object; an absent one is an error with the keys there are
  bool has(std::string_view key) const;         // an object with this key and a value other than null

  std::string text() const;
  double number() const;
  int64_t integer() const;

  std::string path() const;  // "annotations[3].bbox[2]"
  // Throws MOE_ERR_DATA "file: path: expected ..., got <value>".
  [[noreturn]] void fail(const std::string& expected) const;

 private:
  struct Step {
    std::string_view key;  // empty: the index counts
    size_t index = 0;
  };
  JsonNode below(const nlohmann::json& value, Step step) const;
  std::string keys() const;
  [[noreturn]] void fail_with(const std::string& expected, const std::string& got) const;

  const std::string* file_;
  const nlohmann::json* value_;
  std::array<Step, 6> steps_{};
  size_t depth_ = 0;
};

class JsonFile {
 public:
  // Members named in `skipped` are not kept: masks of a large annotation file would take gigabytes. Errors:
  // MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_PARSE with line and column.
  explicit JsonFile(const std::string& path, const std::vector<std::string>& skipped = {});
  ~JsonFile();

  JsonNode root() const { return JsonNode(path_, *value_); }

 private:
  std::string path_;
  std::unique_ptr<nlohmann::json> value_;
};

}  // namespace moe
