#include "tensor/copy_range.h"

#include <ATen/Parallel.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/simd.h"

namespace moe {

namespace {

constexpr int64_t grain = 131072;         // values a part
constexpr int64_t stream_from = 2097152;  // values, 8 MiB: from here on faster past the caches (bench/abi.cpp)
constexpr int lanes = 16;

struct Extremes {
  float low = std::numeric_limits<float>::max(), high = std::numeric_limits<float>::lowest();
  bool odd = false;  // NaN or infinity came by
};

using Lane = float __attribute__((vector_size(lanes * sizeof(float))));

// stream: past the caches, which spares reading the target first; `to` at a multiple of 16 bytes.
inline __attribute__((always_inline)) void copy_lane(const float* from, float* to, bool stream) {
#if defined(__x86_64__)
  if (stream) {
    for (int j = 0; j < lanes; j += 4) _mm_stream_ps(to + j, _mm_loadu_ps(from + j));
    return;
  }
#endif
  std::memcpy(to, from, sizeof(Lane));
}

// n > 0.
MOE_MULTIVERSION void copy_part(const float* from, float* to, int64_t n, bool stream, Extremes& out) {
  Lane low, high, differences = {};
  for (int j = 0; j < lanes; ++j) low[j] = high[j] = from[0];
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    Lane v;
    std::memcpy(&v, from + i, sizeof v);
    copy_lane(from + i, to + i, stream);
    low = v < low ? v : low;
    high = v > high ? v : high;
    differences += v - v;  // 0, or NaN from the first odd value on
  }
  for (; i < n; ++i) {
    to[i] = from[i];
    low[0] = std::min(low[0], from[i]);
    high[0] = std::max(high[0], from[i]);
    differences[0] += from[i] - from[i];
  }
  for (int j = 0; j < lanes; ++j) {
    out.low = std::min(out.low, low[j]);
    out.high = std::max(out.high, high[j]);
    out.odd = out.odd || differences[j] != 0;
  }
#if defined(__x86_64__)
  if (stream) _mm_sfence();
#endif
}

}  // namespace

std::optional<ValueRange> copy_with_range(const float* from, float* to, int64_t n) {
  if (n == 0) return std::nullopt;
  const int64_t parts = (n + grain - 1) / grain;
  const bool stream = n >= stream_from && reinterpret_cast<uintptr_t>(to) % 16 == 0;
  std::vector<Extremes> found(static_cast<size_t>(parts));
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * grain;
      copy_part(from + first, to + first, std::min(grain, n - first), stream, found[static_cast<size_t>(part)]);
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
