#include "moe/weighted_rows.h"

#include <algorithm>
#include <bit>

#include "base/simd.h"

#define MOE_INLINE inline __attribute__((always_inline))

namespace moe {
namespace {

constexpr int64_t block = 512;  // elements: the sums of one block stay in the first-level cache
constexpr int64_t lanes = 16;   // a fixed order of the additions

template <typename T>
MOE_INLINE T widen(T value) {
  return value;
}

MOE_INLINE float widen(c10::BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.x) << 16);
}

template <typename T>
MOE_INLINE void store(T value, T* to) {
  *to = value;
}

// Round to nearest even without a branch for not-a-number, which stays one (its quiet bit is in the upper half).
MOE_INLINE void store(float value, c10::BFloat16* to) {
  const uint32_t word = std::bit_cast<uint32_t>(value);
  to->x = static_cast<uint16_t>((word + 0x7FFFu + ((word >> 16) & 1u)) >> 16);
}

template <typename S, typename T, typename A>
MOE_INLINE void sum_rows(const S* const* sources, const A* weights, int64_t count, int64_t n, T* __restrict out) {
  for (int64_t start = 0; start < n; start += block) {
    const int64_t size = std::min(block, n - start);
    A sum[block] = {};
    for (int64_t j = 0; j < count; ++j) {
      const S* __restrict from = sources[j] + start;
      const A weight = weights[j];
      for (int64_t i = 0; i < size; ++i) sum[i] += weight * widen(from[i]);
    }
    for (int64_t i = 0; i < size; ++i) store(sum[i], out + start + i);
  }
}

// Lanes of A within a block, doubles from block to block.
template <typename A, typename T, typename S>
MOE_INLINE double dot_rows(const T* a, const S* b, int64_t n) {
  double total = 0;
  for (int64_t start = 0; start < n; start += block) {
    const int64_t end = std::min(start + block, n);
    A sum[lanes] = {};
    int64_t i = start;
    for (; i + lanes <= end; i += lanes) {
      for (int64_t k = 0; k < lanes; ++k) sum[k] += widen(a[i + k]) * widen(b[i + k]);
    }
    for (int64_t k = 0; i < end; ++i, ++k) sum[k] += widen(a[i]) * widen(b[i]);
    for (const A part : sum) total += static_cast<double>(part);
  }
  return total;
}

}  // namespace

// Clones cannot be templates, hence one function a type.
#define MOE_ROW_SUM(S, T, A)                                                                                        \
  MOE_MULTIVERSION void weighted_sum(const S* const* sources, const A* weights, int64_t count, int64_t n, T* out) { \
    sum_rows(sources, weights, count, n, out);                                                                      \
  }
MOE_ROW_SUM(float, float, float)
MOE_ROW_SUM(double, double, double)
MOE_ROW_SUM(c10::BFloat16, c10::BFloat16, float)
MOE_ROW_SUM(float, c10::BFloat16, float)

#define MOE_ROW_DOT(T, A)                                                                                        \
  MOE_MULTIVERSION double dot(const T* a, const T* b, int64_t n) {                                               \
    return dot_rows<A>(a, b, n);                                                                                 \
  }                                                                                                              \
  MOE_MULTIVERSION double add_and_dot(A weight, const T* grad, const A* source, A* __restrict into, int64_t n) { \
    for (int64_t i = 0; i < n; ++i) into[i] += weight * widen(grad[i]);                                          \
    return dot_rows<A>(grad, source, n);                                                                         \
  }
MOE_ROW_DOT(float, float)
MOE_ROW_DOT(double, double)
MOE_ROW_DOT(c10::BFloat16, float)

}  // namespace moe
