#include "tensor/copy_range.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "base/simd.h"

namespace moe {

namespace {

constexpr int64_t block = 8192;  // values, 32 KiB: copied, then read again from the first cache
constexpr int64_t grain = 16 * block;
constexpr int lanes = 16;

struct Extremes {
  float low[lanes], high[lanes];
  int32_t odd[lanes];  // not 0: NaN or infinity came by

  Extremes() {
    std::fill_n(low, lanes, std::numeric_limits<float>::max());
    std::fill_n(high, lanes, std::numeric_limits<float>::lowest());
    std::fill_n(odd, lanes, 0);
  }
};

MOE_MULTIVERSION void look_at(const float* x, int64_t n, Extremes& out) {
  Extremes e = out;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int j = 0; j < lanes; ++j) {
      const float v = x[i + j];
      e.low[j] = v < e.low[j] ? v : e.low[j];
      e.high[j] = v > e.high[j] ? v : e.high[j];
      e.odd[j] |= v - v != 0.0f;
    }
  }
  for (; i < n; ++i) {
    e.low[0] = std::min(e.low[0], x[i]);
    e.high[0] = std::max(e.high[0], x[i]);
    e.odd[0] |= x[i] - x[i] != 0.0f;
  }
  out = e;
}

Extremes copy_part(const float* from, float* to, int64_t n) {
  Extremes out;
  for (int64_t i = 0; i < n; i += block) {
    const int64_t count = std::min(block, n - i);
    std::memcpy(to + i, from + i, static_cast<size_t>(count) * sizeof(float));
    look_at(to + i, count, out);
  }
  return out;
}

}  // namespace

std::optional<ValueRange> copy_with_range(const float* from, float* to, int64_t n) {
  if (n == 0) return std::nullopt;
  const int64_t parts = (n + grain - 1) / grain;
  std::vector<Extremes> found(static_cast<size_t>(parts));
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * grain;
      found[static_cast<size_t>(part)] = copy_part(from + first, to + first, std::min(grain, n - first));
    }
  });
  ValueRange range{std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest()};
  for (const Extremes& part : found) {
    if (std::any_of(part.odd, part.odd + lanes, [](int32_t odd) { return odd != 0; })) return std::nullopt;
    range.low = std::min<double>(range.low, *std::min_element(part.low, part.low + lanes));
    range.high = std::max<double>(range.high, *std::max_element(part.high, part.high + lanes));
  }
  return range;
}

}  // namespace moe
