// From the type names of a data set to class indices. Every type has a stated meaning: a class, an ignored region or
// nothing; a type without one is an error of the reader.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace moe {

struct TypeMeaning {
  enum class Kind { target, ignore, drop };
  static constexpr int64_t every_class = -1;

  Kind kind = Kind::drop;
  int64_t label = every_class;  // of an ignored region: the class it excuses
};

class ClassTable {
 public:
  // `defaults`: lower-case type -> class name, "ignore" or "drop". A default whose class is not among `classes` means
  // drop: who shortens the list of classes wants the others left out. Entries of `data.class_map` and class names
  // themselves go first.
  ClassTable(const Config& config, std::vector<std::string> classes,
             const std::map<std::string, std::string>& defaults);

  // Without regard to case. Nothing when the type is unknown and `data.unknown_types` is `error`.
  std::optional<TypeMeaning> find(const std::string& type) const;
  const std::vector<std::string>& classes() const { return classes_; }
  std::string expected() const;  // for an error: "one of the types ...; data.class_map may give it a meaning"

 private:
  std::optional<TypeMeaning> meaning(const std::string& target) const;

  std::vector<std::string> classes_;
  std::map<std::string, TypeMeaning> types_;  // by lower-case type
  std::string unknown_;
};

// The table of system 0 for the types of DAIR-V2X (AIR-THU/DAIR-V2X data/README.md).
const std::map<std::string, std::string>& dair_types();

}  // namespace moe
