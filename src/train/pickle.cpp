// The opcodes are those of CPython's Lib/pickletools.py.
#include "train/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <optional>

#include "base/error.h"

namespace moe {

using Kind = PickleValue::Kind;

const PickleValue* PickleValue::find(std::string_view key) const {
  const PickleValue* found = nullptr;  // of equal keys the last one counts
  for (const auto& [name, value] : entries) {
    if (name->kind == Kind::text && name->text == key) found = value;
  }
  return found;
}

namespace {

const std::map<std::string, c10::ScalarType>& storage_types() {
  static const std::map<std::string, c10::ScalarType> types = {
      {"torch.FloatStorage", c10::kFloat}, {"torch.DoubleStorage", c10::kDouble},
      {"torch.HalfStorage", c10::kHalf},   {"torch.BFloat16Storage", c10::kBFloat16},
      {"torch.LongStorage", c10::kLong},   {"torch.IntStorage", c10::kInt},
      {"torch.ShortStorage", c10::kShort}, {"torch.CharStorage", c10::kChar},
      {"torch.ByteStorage", c10::kByte},   {"torch.BoolStorage", c10::kBool},
  };
  return types;
}

bool is_known(const std::string& global) {
  static const std::vector<std::string> names = {"collections.OrderedDict",
                                                 "collections.Counter",
                                                 "torch._utils._rebuild_tensor_v2",
                                                 "torch._utils._rebuild_tensor",
                                                 "torch._utils._rebuild_parameter",
                                                 "torch._utils._rebuild_parameter_with_state",
                                                 "torch.Size",
                                                 "torch.device"};
  return storage_types().count(global) > 0 || std::find(names.begin(), names.end(), global) != names.end();
}

bool is_quantised(const std::string& global) {
  return global == "torch._utils._rebuild_qtensor" || global.starts_with("torch.QInt") ||
         global.starts_with("torch.QUInt");
}

}  // namespace

// The stack machine that a pickle is a program for.
class PickleMachine {
 public:
  PickleMachine(Pickle& pickle, const std::string& name, std::string_view bytes)
      : pickle_(pickle), name_(name), bytes_(bytes) {}

  const PickleValue* run() {
    for (;;) {
      start_ = at_;
      const auto code = static_cast<unsigned char>(take(1)[0]);
      if (code == '.') return pop();
      if (!run_number(code) && !run_text(code) && !run_container(code) && !run_memory(code) && !run_object(code)) {
        wrong("expected an opcode of a checkpoint's pickle, got ", static_cast<int>(code));
      }
    }
  }

 private:
  template <typename... Parts>
  [[noreturn]] void wrong(const Parts&... parts) const {
    fail(MOE_ERR_DATA, name_, ": byte ", start_, ": ", parts...);
  }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) wrong("expected ", count, " more bytes, got the end: the pickle is cut short");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

  template <typename Number>
  Number take_number() {
    static_assert(std::endian::native == std::endian::little);
    Number out;
    std::memcpy(&out, take(sizeof out).data(), sizeof out);
    return out;
  }

  std::string_view take_line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) wrong("expected a line, got the end: the pickle is cut short");
    const std::string_view line = take(end - at_);
    take(1);
    return line;
  }

  PickleValue& add(Kind kind) {
    pickle_.values_.emplace_back();
    pickle_.values_.back().kind = kind;
    return pickle_.values_.back();
  }
  PickleValue& push(Kind kind) {
    PickleValue& value = add(kind);
    stack_.push_back(&value);
    return value;
  }
  bool push_integer(int64_t value, Kind kind = Kind::integer) {
    push(kind).integer = value;
    return true;
  }
  bool push_text(std::string_view text) {
    push(Kind::text).text = text;
    return true;
  }

  PickleValue* pop() {
    const size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) wrong("expected a value on the stack, got none");
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue* top(Kind kind, const char* what) {
    PickleValue* value = pop();
    if (value->kind != kind) wrong("expected ", what, " on the stack, got another value");
    stack_.push_back(value);
    return value;
  }
  std::vector<const PickleValue*> pop_mark() {
    if (marks_.empty()) wrong("expected a mark on the stack, got none");
    std::vector<const PickleValue*> values(stack_.begin() + static_cast<int64_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return values;
  }

  bool run_number(unsigned char code) {
    switch (code) {
      case 'N':
        push(Kind::none);
        return true;
      case 0x88:
        return push_integer(1, Kind::boolean);
      case 0x89:
        return push_integer(0, Kind::boolean);
      case 'J':
        return push_integer(take_number<int32_t>());
      case 'K':
        return push_integer(take_number<uint8_t>());
      case 'M':
        return push_integer(take_number<uint16_t>());
      case 0x8a:
        return push_long(take_number<uint8_t>());
      case 0x8b:
        return push_long(take_number<uint32_t>());
      case 'G':
        push(Kind::real).real = take_big_endian_double();
        return true;
      default:
        return false;
    }
  }

  // Little-endian two's complement of `count` bytes; wider ones than a checkpoint holds are refused.
  bool push_long(uint32_t count) {
    if (count > 8) wrong("expected an integer of at most 8 bytes, got ", count);
    const std::string_view bytes = take(count);
    uint64_t value = count > 0 && (bytes[count - 1] & 0x80) != 0 ? ~uint64_t{0} : 0;
    for (uint32_t i = count; i > 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i - 1]);
    return push_integer(static_cast<int64_t>(value));
  }

  double take_big_endian_double() {
    const auto bits = __builtin_bswap64(take_number<uint64_t>());
    return std::bit_cast<double>(bits);
  }

  bool run_text(unsigned char code) {
    switch (code) {
      case 'X':
      case 'T':
      case 'B':
        return push_text(take(take_number<uint32_t>()));
      case 0x8c:
      case 'U':
      case 'C':
        return push_text(take(take_number<uint8_t>()));
      case 0x8d:
      case 0x8e:
        return push_text(take(take_number<uint64_t>()));
      default:
        return false;
    }
  }

  bool run_container(unsigned char code) {
    switch (code) {
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case '}':
        push(Kind::dict);
        return true;
      case ']':
      case 0x8f:
        push(Kind::list);
        return true;
      case ')':
        push(Kind::tuple);
        return true;
      case 0x85:
        return push_tuple(1);
      case 0x86:
        return push_tuple(2);
      case 0x87:
        return push_tuple(3);
      case 't':
        return push_items(Kind::tuple);
      case 'l':
        return push_items(Kind::list);
      case 'a':
        return append({pop()});
      case 'e':
      case 0x90:
        return append(pop_mark());
      case 's':
        return set_item();
      case 'u':
        return set_items(pop_mark());
      default:
        return false;
    }
  }

  bool push_tuple(size_t count) {
    std::vector<const PickleValue*> items(count);
    for (size_t i = count; i > 0; --i) items[i - 1] = pop();
    push(Kind::tuple).items = std::move(items);
    return true;
  }
  bool push_items(Kind kind) {
    std::vector<const PickleValue*> items = pop_mark();
    push(kind).items = std::move(items);
    return true;
  }
  bool append(const std::vector<const PickleValue*>& items) {
    auto& list = top(Kind::list, "a list")->items;
    list.insert(list.end(), items.begin(), items.end());
    return true;
  }
  bool set_item() {
    const PickleValue* value = pop();
    const PickleValue* key = pop();
    return set_items({key, value});
  }
  bool set_items(const std::vector<const PickleValue*>& items) {
    PickleValue* dict = top(Kind::dict, "a dict");
    if (items.size() % 2 != 0) wrong("expected keys and values in pairs, got ", items.size(), " values");
    for (size_t i = 0; i < items.size(); i += 2) dict->entries.emplace_back(items[i], items[i + 1]);
    return true;
  }

  bool run_memory(unsigned char code) {
    switch (code) {
      case 'q':
        return remember(take_number<uint8_t>());
      case 'r':
        return remember(take_number<uint32_t>());
      case 0x94:
        return remember(static_cast<uint32_t>(memo_.size()));
      case 'h':
        return recall(take_number<uint8_t>());
      case 'j':
        return recall(take_number<uint32_t>());
      case '0':
        pop();
        return true;
      case '1':
        pop_mark();
        return true;
      default:
        return false;
    }
  }
  bool remember(uint32_t index) {
    PickleValue* value = pop();
    stack_.push_back(value);
    memo_[index] = value;
    return true;
  }
  bool recall(uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) wrong("expected a value kept under ", index, ", got none");
    stack_.push_back(found->second);
    return true;
  }

  bool run_object(unsigned char code) {
    switch (code) {
      case 0x80:
        return check_protocol(take_number<uint8_t>());
      case 0x95:
        take_number<uint64_t>();
        return true;  // length of a frame, which a whole file does not need
      case 'c':
        return push_global();
      case 0x93:
        return push_stack_global();
      case 'Q':
        return push_storage();
      case 'R':
        return call();
      case 'b':
        pop();
        return true;  // attributes of an object, such as the versions kept with a state dict
      default:
        return false;
    }
  }

  bool check_protocol(int protocol) {
    if (protocol < 2 || protocol > 5) wrong("expected a pickle of protocol 2 to 5, got ", protocol);
    return true;
  }

  bool push_global() {
    const std::string module(take_line());
    const std::string name(take_line());
    return push_global(module + "." + name);
  }
  bool push_stack_global() {
    const PickleValue* name = pop();
    const PickleValue* module = pop();
    if (name->kind != Kind::text || module->kind != Kind::text)
      wrong("expected the name of a global, got another value");
    return push_global(module->text + "." + name->text);
  }
  bool push_global(const std::string& name) {
    if (is_quantised(name)) {
      fail(MOE_ERR_DATA, name_, ": expected tensors of floats, got quantised ones (", quote(name),
           "): save the weights before quantisation");
    }
    if (!is_known(name)) {
      fail(MOE_ERR_DATA, name_, ": expected tensors and plain values, got the global ", quote(name),
           ", which is refused and not called; save the state dict alone: torch.save(model.state_dict(), path)");
    }
    push(Kind::global).text = name;
    return true;
  }

  // ("storage", torch.FloatStorage, "0", "cpu", 512)
  bool push_storage() {
    const PickleValue* id = pop();
    const auto& parts = id->items;
    const bool formed = id->kind == Kind::tuple && parts.size() == 5 && parts[0]->text == "storage" &&
                        parts[1]->kind == Kind::global && parts[2]->kind == Kind::text &&
                        parts[4]->kind == Kind::integer && parts[4]->integer >= 0;
    const auto type = formed ? storage_types().find(parts[1]->text) : storage_types().end();
    if (type == storage_types().end()) wrong("expected a storage (type, key, device, count), got another reference");
    push(Kind::storage).storage = {type->second, parts[2]->text, parts[4]->integer};
    return true;
  }

  // A known global "called" with a tuple: what it would make, as data.
  bool call() {
    const PickleValue* arguments = pop();
    const PickleValue* function = pop();
    if (function->kind != Kind::global || arguments->kind != Kind::tuple) wrong("expected a known global and a tuple");
    const std::string& name = function->text;
    const auto& given = arguments->items;
    if (name.starts_with("collections.") && given.size() <= 1 && (given.empty() || given[0]->kind == Kind::dict)) {
      push(Kind::dict).entries = given.empty() ? std::vector<PickleEntry>() : given[0]->entries;
    } else if (name.starts_with("torch._utils._rebuild_tensor")) {
      rebuild_tensor(given);
    } else if (name.starts_with("torch._utils._rebuild_parameter") && !given.empty() &&
               given[0]->kind == Kind::tensor) {
      push(Kind::tensor) = *given[0];
    } else if ((name == "torch.Size" || name == "torch.device") && !given.empty()) {
      push(given[0]->kind) = *given[0];
    } else {
      wrong("expected arguments that ", quote(name), " takes, got ", given.size());
    }
    return true;
  }

  std::vector<int64_t> lengths(const PickleValue& tuple) const {
    std::vector<int64_t> out;
    for (const PickleValue* item : tuple.items) {
      if (item->kind != Kind::integer || item->integer < 0) wrong("expected sizes and strides >= 0");
      out.push_back(item->integer);
    }
    return out;
  }

  // storage, offset, sizes, strides, and what training kept with it
  void rebuild_tensor(const std::vector<const PickleValue*>& given) {
    const bool formed = given.size() >= 4 && given[0]->kind == Kind::storage && given[1]->kind == Kind::integer &&
                        given[2]->kind == Kind::tuple && given[3]->kind == Kind::tuple &&
                        given[2]->items.size() == given[3]->items.size() && given[1]->integer >= 0;
    if (!formed) wrong("expected a tensor of storage, offset, sizes and strides");
    PickleValue tensor;
    tensor.kind = Kind::tensor;
    tensor.storage = given[0]->storage;
    tensor.integer = given[1]->integer;
    tensor.sizes = lengths(*given[2]);
    tensor.strides = lengths(*given[3]);
    push(Kind::tensor) = std::move(tensor);
  }

  Pickle& pickle_;
  const std::string& name_;
  std::string_view bytes_;
  size_t at_ = 0, start_ = 0;  // next byte; first byte of the current opcode
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::map<uint32_t, PickleValue*> memo_;
};

Pickle::Pickle(const std::string& name, std::string_view bytes) {
  root_ = PickleMachine(*this, name, bytes).run();
}

}  // namespace moe
