// The caller's memory: required pointers, versioned structs, and the (buffer, capacity, needed) rule of moe.h. Nothing
// is written before every check has passed, except `needed`.
#pragma once

#include <moe.h>

#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace moe::capi {

inline void require(const void* pointer, const char* name) {
  check(pointer != nullptr, MOE_ERR_INVALID_ARGUMENT, name, ": expected a pointer, got NULL");
}

// A required text that must not be empty, such as a path or a name.
inline std::string_view required_text(const char* value, const char* name) {
  require(value, name);
  check(*value != '\0', MOE_ERR_INVALID_ARGUMENT, name, ": expected a text of at least one character, got \"\"");
  return value;
}

// Size of a struct in the header that first had it. Structs grow at the end only: when one does, its old size is pinned
// here by a specialisation, and programs built with the old header keep working.
template <typename Struct>
inline constexpr uint32_t first_size = sizeof(Struct);

template <typename Struct>
void require_struct(const Struct* value, const char* name) {
  require(value, name);
  const uint32_t size = value->struct_size;
  check(size >= first_size<Struct> && size <= sizeof(Struct), MOE_ERR_INVALID_ARGUMENT, name, ".struct_size: expected ",
        sizeof(Struct), " as its _INIT macro or _init function sets it, got ", size);
}

// The caller's struct in this library's size: fields that an older header lacks keep their defaults.
template <typename Struct>
Struct read_struct(const Struct* value, const char* name, const Struct& defaults) {
  if (!value) return defaults;
  require_struct(value, name);
  Struct out = defaults;
  std::memcpy(static_cast<void*>(&out), value, value->struct_size);
  return out;
}

// Bytes of the longest prefix of at most `limit` bytes that does not cut a UTF-8 character in two.
size_t cut_utf8(std::string_view text, size_t limit) noexcept;

// As much of `value` as the caller's struct has room for.
template <typename Struct>
void write_struct(Struct value, Struct* out) {
  value.struct_size = out->struct_size;
  std::memcpy(static_cast<void*>(out), &value, out->struct_size);
}

// Copies at most N - 1 bytes, whole characters, and a NUL.
template <size_t N>
void write_name(char (&out)[N], std::string_view name) {
  const size_t length = cut_utf8(name, N - 1);
  std::memset(out, 0, N);
  std::memcpy(out, name.data(), length);
}

// True when the result shall be written; sets *needed. A NULL buffer with capacity 0 asks for the size alone.
inline bool wants(const void* buffer, size_t capacity, size_t size, size_t* needed, const char* unit) {
  check(buffer != nullptr || capacity == 0, MOE_ERR_INVALID_ARGUMENT, "buffer: expected a pointer to ", capacity, " ",
        unit, ", got NULL");
  if (needed) *needed = size;
  if (!buffer) return false;
  check(capacity >= size, MOE_ERR_BUFFER_TOO_SMALL, "buffer: expected room for ", size, " ", unit, ", got ", capacity);
  return true;
}

inline void write_text(std::string_view text, char* buffer, size_t capacity, size_t* needed) {
  if (!wants(buffer, capacity, text.size() + 1, needed, "bytes")) return;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
}

template <typename Item>
void write_array(const std::vector<Item>& items, Item* buffer, size_t capacity, size_t* count) {
  if (!wants(buffer, capacity, items.size(), count, "elements") || items.empty()) return;
  std::memcpy(buffer, items.data(), items.size() * sizeof(Item));
}

}  // namespace moe::capi
