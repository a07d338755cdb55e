// Text helpers: joining, strict number parsing, round-trip number printing, nearest names. No locale, no allocation
// tricks.
#pragma once

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

namespace detail {
template <typename T>
void append(std::string& out, const T& part) {
  if constexpr (std::is_convertible_v<T, std::string_view>) {
    out += std::string_view(part);
  } else if constexpr (std::is_same_v<T, char>) {
    out += part;
  } else if constexpr (std::is_same_v<T, bool>) {
    out += part ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    out += std::to_string(part);
  } else {
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    stream << part;
    out += stream.str();
  }
}
}  // namespace detail

// Joins the parts into one string; numbers as decimal text.
template <typename... Parts>
std::string text(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string trim(std::string_view text);
std::string lower(std::string_view text);

// The whole text must be one number: decimal only, no sign but '-', no octal, no hex, no infinity.
std::optional<int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);

// Shortest text that reads back to the same double: 0.1, 1e-05, 3.
std::string format_double(double value);
// "1h 02m 03s", "2m 03s", "12s"
std::string format_duration(double seconds);

// Optimal string alignment distance (insert, delete, replace, swap of neighbours).
int64_t edit_distance(std::string_view a, std::string_view b);
// The candidates within two edits or a third of the length, nearest first, at most `limit`.
std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates, size_t limit = 3);
// "" or ", did you mean "a" or "b"?"
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);
// "\"word\"" cut to a readable length, control characters escaped: safe inside a one-line message.
std::string quote(std::string_view text, size_t limit = 80);

}  // namespace moe
