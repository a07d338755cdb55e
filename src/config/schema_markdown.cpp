// The reference page of a schema: one Markdown table for each top-level section.
#include <algorithm>

#include "config/config.h"
#include "config/value.h"

namespace moe {

static std::string top_section(const Key& key) {
  const size_t dot = key.path.find('.');
  return dot == std::string::npos ? "" : key.path.substr(0, dot);
}

static std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

static std::string code(const std::string& text) {
  return text.empty() ? "" : "`" + cell(text) + "`";
}

static std::string allowed(const Key& key) {
  std::vector<std::string> names = choices(key.rule);
  if (names.empty()) return code(key.rule);
  for (std::string& name : names) name = code(name);
  return join(names, ", ");
}

static std::string row(const Key& key) {
  const std::string fallback = key.type == KeyType::text && key.fallback.empty() ? "\"\"" : key.fallback;
  return text("| ", code(key.path), " | ", type_name(key.type), " | ", code(fallback), " | ", allowed(key), " | ",
              cell(key.doc), " | ", cell(key.since), " |\n");
}

static std::string table(const Schema& schema, const std::string& section) {
  std::string out = "| key | type | default | range or choices | meaning | since |\n|---|---|---|---|---|---|\n";
  for (const Key& key : schema) {
    if (top_section(key) == section) out += row(key);
  }
  return out;
}

std::string schema_markdown(const Schema& schema, const std::string& title) {
  std::vector<std::string> sections;
  for (const Key& key : schema) {
    const std::string section = top_section(key);
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) sections.push_back(section);
  }
  std::string out = "# " + title + "\n\nA `*` in a key stands for a name that the settings file chooses.\n";
  for (const std::string& section : sections) {
    out += "\n## " + (section.empty() ? "Top level" : section) + "\n\n" + table(schema, section);
  }
  return out;
}

}  // namespace moe
