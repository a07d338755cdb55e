// A fixed 5x7 font for labels on pictures: printable ASCII, no kerning, no other scripts.
#pragma once

#include <array>
#include <cstdint>

namespace moe {

inline constexpr int64_t glyph_columns = 5;
inline constexpr int64_t glyph_rows = 7;
inline constexpr int64_t glyph_advance = 6;  // one empty column between glyphs

// Five columns from left to right; bit 0 is the top row. ASCII 32 .. 126, any other character is drawn as '?'.
const std::array<uint8_t, 5>& glyph(char character);

}  // namespace moe
