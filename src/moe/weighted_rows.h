// The passes over plain memory between the convolutions of routed samples: weighted sums of several rows and dot
// products. S and T are storage types, A is the type of weights and of sums (double for doubles, float otherwise);
// every sum has a fixed order. No threads, no checks.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/BFloat16.h>

#include <cstdint>

#include "base/error.h"

namespace moe {

#define MOE_DECLARE_ROW_SUM(S, T, A)                                                        \
  /* out[i] = sum over j < count of weights[j] * sources[j][i], in the order of j; i < n */ \
  void weighted_sum(const S* const* sources, const A* weights, int64_t count, int64_t n, T* out);
MOE_DECLARE_ROW_SUM(float, float, float)
MOE_DECLARE_ROW_SUM(double, double, double)
MOE_DECLARE_ROW_SUM(c10::BFloat16, c10::BFloat16, float)
MOE_DECLARE_ROW_SUM(float, c10::BFloat16, float)
#undef MOE_DECLARE_ROW_SUM

#define MOE_DECLARE_ROW_DOT(T, A)                                                                \
  double dot(const T* a, const T* b, int64_t n);                                                 \
  /* The gradient of one term of a mix: into += weight * grad; returns <grad, source> over n. */ \
  double add_and_dot(A weight, const T* grad, const A* source, A* into, int64_t n);
MOE_DECLARE_ROW_DOT(float, float)
MOE_DECLARE_ROW_DOT(double, double)
MOE_DECLARE_ROW_DOT(c10::BFloat16, float)
#undef MOE_DECLARE_ROW_DOT

// Calls body with a value of the storage type and one of its sum type.
template <typename Body>
void dispatch_rows(c10::ScalarType type, Body body) {
  switch (type) {
    case c10::ScalarType::Float:
      return body(float{}, float{});
    case c10::ScalarType::Double:
      return body(double{}, double{});
    case c10::ScalarType::BFloat16:
      return body(c10::BFloat16{}, float{});
    default:
      fail(MOE_ERR_DTYPE, "conv experts: expected float32, float64, float16 or bfloat16, got ", c10::toString(type));
  }
}

inline c10::ScalarType sum_type(c10::ScalarType type) {
  return type == c10::ScalarType::Double ? c10::ScalarType::Double : c10::ScalarType::Float;
}

}  // namespace moe
