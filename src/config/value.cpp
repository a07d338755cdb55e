#include "config/value.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace moe {

bool is_list(KeyType type) {
  return type == KeyType::integers || type == KeyType::numbers || type == KeyType::texts;
}

const char* type_name(KeyType type) {
  constexpr std::array names = {"boolean",          "integer",         "number",       "text",
                                "list of integers", "list of numbers", "list of texts"};
  return names[static_cast<size_t>(type)];
}

static KeyType element_type(KeyType type) {
  if (type == KeyType::integers) return KeyType::integer;
  if (type == KeyType::numbers) return KeyType::number;
  return type == KeyType::texts ? KeyType::text : type;
}

static bool is_range(const std::string& rule) {
  return rule.starts_with('<') || rule.starts_with('>');
}

std::vector<std::string> choices(const std::string& rule) {
  if (rule.empty() || is_range(rule)) return {};
  std::vector<std::string> out;
  for (const std::string& choice : split(rule, '|')) out.push_back(trim(choice));
  return out;
}

std::string expectation(const Key& key) {
  std::string rule = is_range(key.rule) ? " " + join(split(key.rule, ','), " and") : "";
  if (const auto allowed = choices(key.rule); !allowed.empty()) {
    return (is_list(key.type) ? "a list out of " : "one of ") + join(allowed, ", ");
  }
  switch (key.type) {
    case KeyType::boolean:
      return "true or false";
    case KeyType::integer:
      return "an integer" + rule;
    case KeyType::text:
      return "a text";
    default:
      return text("a ", type_name(key.type), rule);
  }
}

// One comparison such as ">= 1".
static bool holds(const std::string& comparison, double value) {
  const bool or_equal = comparison.size() > 1 && comparison[1] == '=';
  const auto bound = parse_double(trim(std::string_view(comparison).substr(or_equal ? 2 : 1)));
  if (!bound) fail(MOE_ERR_INTERNAL, "schema: cannot read the rule ", quote(comparison));
  if (or_equal && value == *bound) return true;
  return comparison[0] == '<' ? value < *bound : value > *bound;
}

static bool obeys(const std::string& rule, const std::string& item) {
  if (rule.empty()) return true;
  if (!is_range(rule)) {
    for (const std::string& choice : choices(rule)) {
      if (choice == item) return true;
    }
    return false;
  }
  for (const std::string& comparison : split(rule, ',')) {
    if (!holds(trim(comparison), parse_double(item).value_or(std::nan("")))) return false;
  }
  return true;
}

// YAML 1.1 reads 010 as eight; here it is neither eight nor ten.
static std::optional<double> read_number(const std::string& scalar) {
  const size_t start = scalar.starts_with('-') ? 1 : 0;
  const bool octal =
      scalar.size() > start + 1 && scalar[start] == '0' && scalar[start + 1] >= '0' && scalar[start + 1] <= '9';
  return octal ? std::nullopt : parse_double(scalar);
}

// The canonical text of a scalar of this type, or nothing when it is of another type.
static std::optional<std::string> canonical(KeyType type, const YamlNode& node) {
  if (node.kind != YamlNode::Kind::scalar) return std::nullopt;
  if (type == KeyType::text) return node.scalar;
  if (node.quoted) return std::nullopt;
  if (type == KeyType::boolean) {
    return node.scalar == "true" || node.scalar == "false" ? std::optional(node.scalar) : std::nullopt;
  }
  if (type == KeyType::integer) {
    const auto value = parse_int(node.scalar);
    return value ? std::optional(std::to_string(*value)) : std::nullopt;
  }
  const auto value = read_number(node.scalar);
  return value ? std::optional(format_double(*value)) : std::nullopt;
}

static std::string hint(const Key& key, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::scalar && is_list(key.type))
    return " (write a list: [" + (canonical(element_type(key.type), node) ? node.scalar.substr(0, 40) : "1, 2") + "])";
  if (node.kind == YamlNode::Kind::null && key.type == KeyType::text) return " (write \"\" for an empty text)";
  if (node.kind != YamlNode::Kind::scalar) return "";
  YamlNode plain = node;
  plain.quoted = false;
  if (node.quoted && canonical(element_type(key.type), plain)) return " (remove the quotes)";
  return did_you_mean(node.scalar, choices(key.rule));
}

static std::string read_item(const Key& key, const YamlNode& node, const std::string& position) {
  auto value = canonical(element_type(key.type), node);
  if (value && obeys(key.rule, *value)) return std::move(*value);
  Key element = key;
  element.type = element_type(key.type);
  fail(MOE_ERR_CONFIG, "expected ", expectation(key), ", got ", position, describe(node), hint(element, node));
}

Items read_value(const Key& key, const YamlNode& node) {
  if (!is_list(key.type)) return {read_item(key, node, "")};
  if (node.kind != YamlNode::Kind::list) {
    fail(MOE_ERR_CONFIG, "expected ", expectation(key), ", got ", describe(node), hint(key, node));
  }
  Items out;
  for (size_t i = 0; i < node.items.size(); ++i) {
    out.push_back(read_item(key, node.items[i], text("element ", i + 1, ": ")));
  }
  return out;
}

Items parse_default(const Key& key) {
  if (key.type == KeyType::text && key.fallback.empty()) return {""};
  try {
    return read_value(key, parse_yaml(key.fallback, ""));
  } catch (const Error& error) {
    fail(MOE_ERR_INTERNAL, "schema: default of ", key.path, ": ", error.what());
  }
}

static bool plain_is_safe(const std::string& text) {
  const auto safe = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '/' || c == '-' || c == '+';
  };
  if (text.empty() || text[0] == '-' || text.starts_with("...")) return false;
  for (const char c : text) {
    if (!safe(c)) return false;
  }
  return lower(text) != "null";
}

std::string yaml_quote(const std::string& text) {
  if (plain_is_safe(text)) return text;
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    char escape[8];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string yaml_text(const Items& items, KeyType type) {
  Items shown = items;
  if (element_type(type) == KeyType::text) {
    for (std::string& item : shown) item = yaml_quote(item);
  }
  return is_list(type) ? "[" + join(shown, ", ") + "]" : shown[0];
}

}  // namespace moe
