// What the kernel bodies of this folder are written with: functions for both the CPU and the GPU, and numbers of the
// storage types in the type that is computed with. No tensors, no launches.
#pragma once

#include <c10/macros/Macros.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

// nvcc compiles a body for the GPU, g++ the same text for the CPU, where the ordinary tests run it.
#define MOE_HD C10_HOST_DEVICE inline

// Before a loop of constant length whose arrays must stay in registers.
#ifdef __CUDA_ARCH__
#define MOE_UNROLL _Pragma("unroll")
#else
#define MOE_UNROLL
#endif

namespace moe::cuda {

// Shared memory that every GPU since sm_75 grants a block without asking for more.
constexpr size_t shared_limit = 48 << 10;

// The type that sums of T are made in.
template <typename T>
struct SumType {
  using Type = float;
};
template <>
struct SumType<double> {
  using Type = double;
};
template <typename T>
using Sum = typename SumType<T>::Type;

template <typename T>
MOE_HD T smaller(T a, T b) {
  return b < a ? b : a;
}

MOE_HD int64_t divide_up(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}

}  // namespace moe::cuda
