#include "data/class_table.h"

#include <algorithm>

#include "base/text.h"

namespace moe {

const std::map<std::string, std::string>& dair_types() {
  static const std::map<std::string, std::string> types = {
      {"car", "car"},
      {"van", "car"},
      {"truck", "truck"},
      {"bus", "bus"},
      {"pedestrian", "person"},
      {"cyclist", "bicycle"},
      {"barrowlist", "bicycle"},
      {"motorcyclist", "motorcycle"},
      {"tricyclist", "motorcycle"},
      {"trafficcone", "drop"},
      {"pedestrianignore", "ignore person"},
      {"carignore", "ignore car"},
      {"otherignore", "ignore"},
      {"unknown_movable", "ignore"},
      {"unknowns_movable", "ignore"},
      {"unknown_unmovable", "ignore"},
      {"unknowns_unmovable", "ignore"},
  };
  return types;
}

static void check_unique(const Config& config, const std::vector<std::string>& classes) {
  for (size_t i = 0; i < classes.size(); ++i) {
    const bool again = std::find(classes.begin(), classes.begin() + static_cast<int64_t>(i), classes[i]) !=
                       classes.begin() + static_cast<int64_t>(i);
    if (again) config.fail_at("data.classes", text("expected every class once, got ", quote(classes[i]), " twice"));
  }
}

std::optional<TypeMeaning> ClassTable::meaning(const std::string& target) const {
  if (target == "drop") return TypeMeaning{};
  if (target == "ignore") return TypeMeaning{TypeMeaning::Kind::ignore};
  const bool region = target.rfind("ignore ", 0) == 0;
  const auto found = std::find(classes_.begin(), classes_.end(), region ? target.substr(7) : target);
  if (found == classes_.end()) return std::nullopt;
  return TypeMeaning{region ? TypeMeaning::Kind::ignore : TypeMeaning::Kind::target, found - classes_.begin()};
}

ClassTable::ClassTable(const Config& config, std::vector<std::string> classes,
                       const std::map<std::string, std::string>& defaults)
    : classes_(std::move(classes)), unknown_(config.text("data.unknown_types")) {
  check_unique(config, classes_);
  for (const auto& [type, target] : defaults) types_[type] = meaning(target).value_or(TypeMeaning{});
  for (const std::string& name : classes_) types_[lower(name)] = *meaning(name);
  for (const std::string& type : config.children("data.class_map")) {
    const std::string key = "data.class_map." + type;
    const std::string target = config.text(key);
    const auto found = meaning(target);
    if (!found) {
      config.fail_at(key, text("expected ignore, drop or a class of data.classes (", join(classes_, ", "), "), got ",
                               quote(target), did_you_mean(target, classes_)));
    }
    types_[lower(type)] = *found;
  }
}

std::optional<TypeMeaning> ClassTable::find(const std::string& type) const {
  const auto found = types_.find(lower(type));
  if (found != types_.end()) return found->second;
  if (unknown_ == "error") return std::nullopt;
  return meaning(unknown_);
}

std::string ClassTable::expected() const {
  std::vector<std::string> names;
  for (const auto& [type, ignored] : types_) names.push_back(type);
  return text("a type of the class table (", join(names, ", "), "; data.class_map adds to it)");
}

}  // namespace moe
