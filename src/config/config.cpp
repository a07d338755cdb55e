#include "config/config.h"

#include <algorithm>

#include "config/inherit.h"
#include "config/key_index.h"
#include "config/value.h"

namespace moe {

// Fills a Config from a merged tree.
class ConfigReader {
 public:
  explicit ConfigReader(Config& config) : config_(config), schema_(*config.schema_) {}

  static Config read(const YamlNode& root, const std::string& name, SchemaLookup lookup);
  static void check_path(const std::string& path, const Position& where);

 private:
  void read_section(const YamlNode& section, const std::string& path);
  void read_entry(const YamlNode::Entry& entry, const std::string& path);
  void read_setting(const YamlNode::Entry& entry, const std::string& path, const Key& key);

  Config& config_;
  const KeyIndex& schema_;
};

static std::shared_ptr<const KeyIndex> schema_of(const YamlNode& root, const std::string& name, SchemaLookup lookup) {
  const YamlNode::Entry* task = root.find("task");
  if (task == nullptr) throw Error(MOE_ERR_CONFIG, {name, 0, 0}, "task: expected the name of a system, got nothing");
  const YamlNode& value = task->value;
  if (value.kind != YamlNode::Kind::scalar || value.scalar.empty()) {
    throw Error(MOE_ERR_CONFIG, value.where, "task: expected the name of a system, got " + describe(value));
  }
  try {
    return std::make_shared<const KeyIndex>(lookup(value.scalar));
  } catch (const Error& error) {
    throw Error(error.status(), value.where, error.what());
  }
}

Config ConfigReader::read(const YamlNode& root, const std::string& name, SchemaLookup lookup) {
  Config config;
  config.schema_ = schema_of(root, name, lookup);
  ConfigReader(config).read_section(root, "");
  return config;
}

// Segments become file text, messages and dotted paths again, so they hold no dot, no "*" and no control character.
void ConfigReader::check_path(const std::string& path, const Position& where) {
  for (const std::string& name : split(path, '.')) {
    const auto refused = [](unsigned char c) { return c == '*' || c < 0x20 || c == 0x7f; };
    if (!name.empty() && std::none_of(name.begin(), name.end(), refused)) continue;
    throw Error(MOE_ERR_CONFIG, where,
                "expected a name without dots, stars and control characters, got " + quote(name));
  }
}

void ConfigReader::read_section(const YamlNode& section, const std::string& path) {
  for (const YamlNode::Entry& entry : section.entries) {
    if (entry.name.find('.') != std::string::npos) {
      const std::vector<std::string> parts = split(entry.name, '.');
      throw Error(MOE_ERR_CONFIG, entry.where,
                  text("expected nested maps, got the dotted key ", quote(entry.name), " (write ", parts[0], ": {",
                       quote(join({parts.begin() + 1, parts.end()}, ": {")), ": ...})"));
    }
    check_path(entry.name, entry.where);
    read_entry(entry, path.empty() ? entry.name : path + "." + entry.name);
  }
}

void ConfigReader::read_entry(const YamlNode::Entry& entry, const std::string& path) {
  const YamlNode& value = entry.value;
  if (const Key* key = schema_.find(path)) {
    read_setting(entry, path, *key);
  } else if (!schema_.is_section(path)) {
    const char* kind = value.kind == YamlNode::Kind::map ? "section " : "key ";
    throw Error(MOE_ERR_CONFIG, entry.where, text("unknown ", kind, quote(path), schema_.suggestion(path)));
  } else if (value.kind == YamlNode::Kind::map || value.kind == YamlNode::Kind::null) {
    config_.add_children(path);
    read_section(value, path);
  } else {
    throw Error(MOE_ERR_CONFIG, value.where, text(path, ": expected a map of settings, got ", describe(value)));
  }
}

void ConfigReader::read_setting(const YamlNode::Entry& entry, const std::string& path, const Key& key) {
  const bool empty = entry.value.kind == YamlNode::Kind::null;  // which has no place of its own
  const Position& where = empty ? entry.where : entry.value.where;
  try {
    config_.store(path, {read_value(key, entry.value), where.str(), where});
  } catch (const Error& error) {
    throw Error(error.status(), where, path + ": " + error.what());
  }
}

Config Config::load(const std::string& path, SchemaLookup lookup) {
  return ConfigReader::read(load_with_bases(path), path, lookup);
}

Config Config::parse(std::string_view yaml, const std::string& name, SchemaLookup lookup) {
  return ConfigReader::read(parse_with_bases(yaml, name), name, lookup);
}

static YamlNode parse_override(const Key& key, const std::string& name, const std::string& value) {
  if (key.type != KeyType::text || !trim(value).empty()) return parse_yaml(value, name);
  YamlNode empty;
  empty.kind = YamlNode::Kind::scalar;
  return empty;
}

void Config::set(const std::string& path, const std::string& value) {
  const std::string name = "override " + quote(path, 200).substr(1, std::min<size_t>(path.size(), 200));
  const Key* key = find_key(path);
  if (key == nullptr) {
    const bool section = schema_ != nullptr && !path.empty() && schema_->is_section(path);
    fail(MOE_ERR_CONFIG, name, section ? ": expected a key, got a section" : ": unknown key",
         section || schema_ == nullptr ? "" : schema_->suggestion(path));
  }
  ConfigReader::check_path(path, {"override", 0, 0});
  std::vector<std::string> items;
  try {
    items = read_value(*key, parse_override(*key, name, value));
  } catch (const Error& error) {
    if (error.status() == MOE_ERR_PARSE) throw;
    throw Error(error.status(), {name, 0, 0}, error.what());
  }
  if (path == "task" && items[0] != task()) {
    fail(MOE_ERR_CONFIG, name, ": the task is fixed by the file: expected ", task(), ", got ", quote(items[0]));
  }
  Config changed = *this;
  changed.store(path, {std::move(items), "override", {}});
  *this = std::move(changed);
}

void Config::store(const std::string& path, Given value) {
  add_children(path);
  given_[path] = std::move(value);
}

void Config::add_children(const std::string& path) {
  for (size_t end = path.find('.');; end = path.find('.', end + 1)) {
    const std::string prefix = path.substr(0, end);
    const bool known = std::find(order_.begin(), order_.end(), prefix) != order_.end();
    if (!known && schema_->is_user_named(prefix)) order_.push_back(prefix);
    if (end == std::string::npos) return;
  }
}

const Key* Config::find_key(const std::string& path) const {
  return schema_ == nullptr ? nullptr : schema_->find(path);
}

const Key& Config::require_key(const std::string& path) const {
  if (const Key* key = find_key(path)) return *key;
  fail(MOE_ERR_NOT_FOUND, "no setting has the key ", quote(path), schema_ == nullptr ? "" : schema_->suggestion(path));
}

const std::vector<std::string>& Config::items(const std::string& path, const Key& key) const {
  const auto found = given_.find(path);
  return found == given_.end() ? schema_->default_of(key) : found->second.items;
}

const std::vector<std::string>& Config::at(const std::string& path, KeyType type) const {
  const Key* key = find_key(path);
  if (key == nullptr) fail(MOE_ERR_INTERNAL, "config: the schema has no key ", quote(path));
  if (key->type != type) {
    fail(MOE_ERR_INTERNAL, "config: ", path, " is a ", type_name(key->type), ", read as a ", type_name(type));
  }
  return items(path, *key);
}

bool Config::boolean(const std::string& key) const {
  return at(key, KeyType::boolean)[0] == "true";
}

int64_t Config::integer(const std::string& key) const {
  return *parse_int(at(key, KeyType::integer)[0]);
}

double Config::number(const std::string& key) const {
  return *parse_double(at(key, KeyType::number)[0]);
}

std::string Config::text(const std::string& key) const {
  return at(key, KeyType::text)[0];
}

std::vector<int64_t> Config::integers(const std::string& key) const {
  std::vector<int64_t> out;
  for (const std::string& item : at(key, KeyType::integers)) out.push_back(*parse_int(item));
  return out;
}

std::vector<double> Config::numbers(const std::string& key) const {
  std::vector<double> out;
  for (const std::string& item : at(key, KeyType::numbers)) out.push_back(*parse_double(item));
  return out;
}

std::vector<std::string> Config::texts(const std::string& key) const {
  return at(key, KeyType::texts);
}

bool Config::given(const std::string& key) const {
  if (find_key(key) == nullptr) fail(MOE_ERR_INTERNAL, "config: the schema has no key ", quote(key));
  return given_.contains(key);
}

std::vector<std::string> Config::children(const std::string& path) const {
  std::vector<std::string> names;
  for (const std::string& child : order_) {
    if (section_of(child) == path) names.push_back(last_segment(child));
  }
  return names;
}

std::string Config::get(const std::string& path) const {
  const Key& key = require_key(path);
  return yaml_text(items(path, key), key.type);
}

std::string Config::origin(const std::string& path) const {
  require_key(path);
  const auto found = given_.find(path);
  return found == given_.end() ? "default" : found->second.origin;
}

void Config::fail_at(const std::string& key, const std::string& message) const {
  const auto found = given_.find(key);
  const bool from_override = found != given_.end() && found->second.where.file.empty();
  if (from_override) fail(MOE_ERR_CONFIG, "override ", key, ": ", message);
  throw Error(MOE_ERR_CONFIG, found == given_.end() ? Position() : found->second.where, key + ": " + message);
}

}  // namespace moe
