// Which library multiplies the rows of the experts on a GPU. A pure function, so that it is tested without one.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <initializer_list>

namespace moe::cuda {

enum class GroupedRoute {
  torch_grouped_mm,  // at::_grouped_mm: one CUTLASS kernel, offsets read on the device
  cublas_grouped     // cublasGemmGroupedBatchedEx: one call, sizes on the host; at::mm an expert where it refuses
};

// compute_capability: 90 for sm_90. row_sizes: elements between two rows of every operand.
// at::_grouped_mm has its own kernel for bfloat16 on sm_90 and sm_100, with rows of whole 16-byte units and fewer than
// 1024 experts; elsewhere it is a loop that waits for the offsets at every call (ATen's GroupedMMUtils.h).
inline GroupedRoute choose_route(c10::ScalarType type, int compute_capability, int64_t experts,
                                 std::initializer_list<int64_t> row_sizes) {
  constexpr int64_t unit = 8;  // bfloat16 elements in 16 bytes
  bool aligned = true;
  for (const int64_t size : row_sizes) aligned = aligned && size % unit == 0;
  const bool has_kernel = compute_capability == 90 || compute_capability == 100;
  if (type == c10::ScalarType::BFloat16 && has_kernel && aligned && experts < 1024)
    return GroupedRoute::torch_grouped_mm;
  return GroupedRoute::cublas_grouped;
}

}  // namespace moe::cuda
