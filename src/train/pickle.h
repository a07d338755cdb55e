// A restricted reader of Python pickles: plain values, containers, tensors and nothing else. No global of a pickle is
// called: the few that torch.save needs are known by name and read as data, every other one is refused with its name
// (torch.load with weights_only=True does the same). Protocols 2 to 5. It knows no file: the tensors' bytes lie
// elsewhere.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moe {

// Where a tensor's elements lie: the storage `key` of `count` elements.
struct PickleStorage {
  c10::ScalarType type = c10::ScalarType::Undefined;
  std::string key;
  int64_t count = 0;
};

struct PickleValue;
using PickleEntry = std::pair<const PickleValue*, const PickleValue*>;  // key and value

struct PickleValue {
  enum class Kind { none, boolean, integer, real, text, list, tuple, dict, global, storage, tensor };

  Kind kind = Kind::none;
  int64_t integer = 0;  // of booleans too; of a tensor: its offset in the storage, elements
  double real = 0;
  std::string text;                       // of a global: "module.name"
  std::vector<const PickleValue*> items;  // of lists and tuples
  std::vector<PickleEntry> entries;       // of dicts, in the order of the file
  PickleStorage storage;                  // of storages and tensors
  std::vector<int64_t> sizes, strides;    // of tensors

  const PickleValue* find(std::string_view key) const;  // value of a text key of a dict; nullptr when absent
};

class Pickle {
 public:
  // name: of the file, for messages. MOE_ERR_DATA: malformed, refused, or a quantised tensor.
  Pickle(const std::string& name, std::string_view bytes);
  const PickleValue& root() const { return *root_; }

 private:
  friend class PickleMachine;
  std::deque<PickleValue> values_;  // every value of the file; pointers into it stay valid
  const PickleValue* root_ = nullptr;
};

}  // namespace moe
