// JSON text by nlohmann-json, with errors placed by line and column (syntax) or key path (content).
#include "base/json_file.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/files.h"

namespace moe {

using nlohmann::json;

static Position position_of(const std::string& path, std::string_view bytes, size_t byte) {
  const std::string_view before = bytes.substr(0, std::min(byte > 0 ? byte - 1 : 0, bytes.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
  return {path, static_cast<int>(line), static_cast<int>(column)};
}

// Without the library's own prefix "[json.exception...] parse error at line 1, column 5: ".
static std::string reason_of(const json::exception& error) {
  const std::string what = error.what();
  const size_t start = what.find("syntax error"), prefix = what.find("] ");
  if (start != std::string::npos) return what.substr(start);
  return prefix == std::string::npos ? what : what.substr(prefix + 2);
}

JsonFile::JsonFile(const std::string& path, const std::vector<std::string>& skipped) : path_(path) {
  const std::string bytes = read_file(path);
  check(!trim(bytes).empty(), MOE_ERR_PARSE, path, ": expected JSON, got an empty file");
  const auto keep = [&](int, json::parse_event_t event, json& parsed) {
    if (event != json::parse_event_t::key) return true;
    return std::find(skipped.begin(), skipped.end(), parsed.get_ref<const std::string&>()) == skipped.end();
  };
  try {
    value_ = std::make_unique<json>(skipped.empty() ? json::parse(bytes) : json::parse(bytes, keep));
  } catch (const json::parse_error& error) {
    throw Error(MOE_ERR_PARSE, position_of(path, bytes, error.byte), "expected JSON, got a " + reason_of(error));
  } catch (const json::exception& error) {  // a number beyond a double, without its place
    throw Error(MOE_ERR_PARSE, Position{path}, "expected JSON, got a " + reason_of(error));
  }
}

JsonFile::~JsonFile() = default;

JsonNode JsonNode::below(const json& value, Step step) const {
  JsonNode child = *this;
  child.value_ = &value;
  if (depth_ < steps_.size()) child.steps_[child.depth_++] = step;
  return child;
}

std::string JsonNode::path() const {
  std::string out;
  for (size_t i = 0; i < depth_; ++i) {
    if (steps_[i].key.empty()) {
      out += moe::text("[", steps_[i].index, "]");
    } else {
      out += moe::text(out.empty() ? "" : ".", steps_[i].key);
    }
  }
  return out;
}

void JsonNode::fail_with(const std::string& expected, const std::string& got) const {
  const std::string place = path();
  throw Error(MOE_ERR_DATA, Position{*file_},
              moe::text(place, place.empty() ? "" : ": ", "expected ", expected, ", got ", got));
}

void JsonNode::fail(const std::string& expected) const {
  if (value_->is_string()) fail_with(expected, quote(value_->get_ref<const std::string&>()));
  if (value_->is_structured()) fail_with(expected, moe::text("an ", value_->type_name(), " of ", value_->size()));
  fail_with(expected, value_->dump());
}

size_t JsonNode::size() const {
  if (!value_->is_array()) fail("an array");
  return value_->size();
}

JsonNode JsonNode::at(size_t index) const {
  const size_t count = size();
  if (index >= count) fail(moe::text("an array of at least ", index + 1));
  return below((*value_)[index], {{}, index});
}

// "the keys image_id, bbox, ...", so that a misspelt one is seen.
std::string JsonNode::keys() const {
  static constexpr size_t limit = 12;
  std::vector<std::string> names;
  for (auto item = value_->begin(); item != value_->end() && names.size() < limit; ++item)
    names.push_back(quote(item.key(), 40));
  if (names.empty()) return "an empty object";
  return "the keys " + join(names, ", ") + (value_->size() > limit ? ", ..." : "");
}

JsonNode JsonNode::member(std::string_view key) const {
  if (!value_->is_object()) fail(moe::text("an object with the key ", quote(key)));
  const auto found = value_->find(key);
  if (found == value_->end()) fail_with(moe::text("the key ", quote(key)), keys());
  return below(*found, {key, 0});
}

bool JsonNode::has(std::string_view key) const {
  if (!value_->is_object()) fail("an object");
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

std::string JsonNode::text() const {
  if (!value_->is_string()) fail("a text");
  return value_->get<std::string>();
}

double JsonNode::number() const {
  if (value_->is_number()) return value_->get<double>();
  const auto parsed = value_->is_string() ? parse_double(trim(value_->get_ref<const std::string&>())) : std::nullopt;
  if (!parsed || !std::isfinite(*parsed)) fail("a number");
  return *parsed;
}

int64_t JsonNode::integer() const {
  if (value_->is_number_unsigned() && value_->get<uint64_t>() > INT64_MAX) fail("an integer of 64 bits");
  if (value_->is_number_integer()) return value_->get<int64_t>();
  const double real = number();
  // 2^53: beyond it a double no longer holds every integer.
  if (real != std::floor(real) || std::abs(real) > 9007199254740992.0) fail("an integer");
  return static_cast<int64_t>(real);
}

}  // namespace moe
