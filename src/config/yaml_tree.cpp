#include "config/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <sstream>

namespace moe {

static constexpr size_t max_bytes = size_t{1} << 20;
static constexpr size_t max_depth = 32;

const YamlNode::Entry* YamlNode::find(const std::string& name) const {
  for (const Entry& entry : entries) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

static bool looks_literal(const std::string& scalar) {
  return scalar == "true" || scalar == "false" || parse_double(scalar).has_value();
}

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::list:
      return "a list";
    case YamlNode::Kind::map:
      return "a map";
    case YamlNode::Kind::scalar:
      break;
  }
  if (!looks_literal(node.scalar)) return quote(node.scalar);
  return node.quoted ? "the text " + quote(node.scalar) : node.scalar;
}

namespace {

// Builds the tree from yaml-cpp's events. `open_` holds the collections that are not closed yet, outermost first.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& name) : name_(name) {}

  YamlNode take() { return std::move(root_); }

  Position place(const YAML::Mark& mark) const {
    if (mark.line < 0) return {name_, 0, 0};
    return {name_, mark.line + 1, mark.column + 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Error(MOE_ERR_PARSE, place(mark), "expected one YAML document, got a second one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(node(YamlNode::Kind::null, mark, "", anchor));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Error(MOE_ERR_PARSE, place(mark), "aliases (*name) are not supported: share settings through a base: file");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode scalar = node(YamlNode::Kind::scalar, mark, tag, anchor);
    scalar.scalar = value;
    scalar.quoted = tag == "!";
    add(std::move(scalar));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(node(YamlNode::Kind::list, mark, tag, anchor));
  }
  void OnSequenceEnd() override { end(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(node(YamlNode::Kind::map, mark, tag, anchor));
  }
  void OnMapEnd() override { end(); }

 private:
  struct Open {
    YamlNode node;
    bool has_key = false;
    std::string key;
    Position key_place;
  };

  YamlNode node(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != YAML::NullAnchor) {
      throw Error(MOE_ERR_PARSE, place(mark), "anchors (&name) are not supported: share settings through a base: file");
    }
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Error(MOE_ERR_PARSE, place(mark), "tags are not supported, got " + quote(tag));
    }
    YamlNode out;
    out.kind = kind;
    out.where = place(mark);
    return out;
  }

  void begin(YamlNode collection) {
    if (open_.size() >= max_depth) {
      throw Error(MOE_ERR_PARSE, collection.where, text("expected at most ", max_depth, " nested levels"));
    }
    if (awaits_key()) refuse_key(collection);
    open_.push_back({std::move(collection), false, "", {}});
  }

  void end() {
    YamlNode done = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(done));
  }

  bool awaits_key() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::map && !open_.back().has_key;
  }

  [[noreturn]] static void refuse_key(const YamlNode& key) {
    throw Error(MOE_ERR_PARSE, key.where, "expected the name of a key, got " + describe(key));
  }

  void add(YamlNode value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().node.kind == YamlNode::Kind::list) {
      open_.back().node.items.push_back(std::move(value));
    } else if (awaits_key()) {
      set_key(value);
    } else {
      Open& map = open_.back();
      map.node.entries.push_back({std::move(map.key), map.key_place, std::move(value)});
      map.has_key = false;
    }
  }

  void set_key(const YamlNode& key) {
    if (key.kind != YamlNode::Kind::scalar || key.scalar.empty()) refuse_key(key);
    if (key.scalar == "<<") {
      throw Error(MOE_ERR_PARSE, key.where, "merge keys (<<) are not supported: share settings through a base: file");
    }
    Open& map = open_.back();
    if (const YamlNode::Entry* first = map.node.find(key.scalar)) {
      throw Error(
          MOE_ERR_PARSE, key.where,
          text("expected every key once, got ", quote(key.scalar), " again, first given in line ", first->where.line));
    }
    map.key = key.scalar;
    map.key_place = key.where;
    map.has_key = true;
  }

  std::string name_;
  YamlNode root_;
  std::vector<Open> open_;
  int documents_ = 0;
};

}  // namespace

// Bytes of the UTF-8 sequence at the start of `text` (RFC 3629, overlong forms refused by their range); 0 when it is
// none.
static size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return 1;
  const size_t length = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xF0 && byte(1) < 0x90);
  const bool surrogate = byte(0) == 0xED && byte(1) > 0x9F;
  const bool beyond = byte(0) == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || beyond ? 0 : length;
}

// yaml-cpp guesses UTF-16 from zero bytes and replaces bad UTF-8 silently; both end here.
static void check_text(std::string_view text, const std::string& name) {
  if (text.size() > max_bytes) {
    throw Error(MOE_ERR_PARSE, {name, 0, 0},
                moe::text("expected settings in YAML of at most ", max_bytes, " bytes, got ", text.size(),
                          "; a checkpoint is no settings file"));
  }
  int line = 1;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    if (length == 0 || text[i] == '\0')
      throw Error(MOE_ERR_PARSE, {name, line, 0}, "expected UTF-8 text, got other bytes");
    if (text[i] == '\n') ++line;
    i += length;
  }
}

YamlNode parse_yaml(std::string_view text, const std::string& name) {
  check_text(text, name);
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(name);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw Error(MOE_ERR_PARSE, builder.place(error.mark), "expected well-formed YAML, got an error: " + error.msg);
  }
  return builder.take();
}

}  // namespace moe
