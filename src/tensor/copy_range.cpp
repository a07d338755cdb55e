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
  float low = std::numeric_limits<float>::max(), high = std::numeric_limits<float>::lowest();
  bool odd = false;  // NaN or infinity came by
};

using Lane = float __attribute__((vector_size(lanes * sizeof(float))));

MOE_MULTIVERSION void look_at(const float* x, int64_t n, Extremes& out) {
  Lane low, high, differences = {};
  for (int j = 0; j < lanes; ++j) low[j] = high[j] = x[0];
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    Lane v;
    std::memcpy(&v, x + i, sizeof v);
    low = v < low ? v : low;
    high = v > high ? v : high;
    differences += v - v;  // 0, or NaN from the first odd value on
  }
  for (; i < n; ++i) {
    low[0] = std::min(low[0], x[i]);
    high[0] = std::max(high[0], x[i]);
    differences[0] += x[i] - x[i];
  }
  for (int j = 0; j < lanes; ++j) {
    out.low = std::min(out.low, low[j]);
    out.high = std::max(out.high, high[j]);
    out.odd = out.odd || differences[j] != 0;
  }
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
    if (part.odd) return std::nullopt;
    range.low = std::min<double>(range.low, part.low);
    range.high = std::max<double>(range.high, part.high);
  }
  return range;
}

}  // namespace moe
