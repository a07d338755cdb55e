// The two kernels that run bodies (executor.h says what bodies are), and their launches. Indices are 64 bits wide and a
// grid walks them in strides, so that no size is too large for one. No checks: StreamExecutor asks for errors.
#pragma once

#include <cuda_runtime.h>

#include "cuda/host_device.h"

namespace moe::cuda {

constexpr int element_threads = 128;
constexpr int64_t most_blocks = 1 << 20;  // of a grid; the rest by strides

template <typename Body>
__global__ void __launch_bounds__(element_threads) element_kernel(const Body body, int64_t count) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) body(i);
}

template <typename Body>
__global__ void __launch_bounds__(Body::threads) block_kernel(const Body body, int64_t blocks) {
  extern __shared__ __align__(16) unsigned char shared[];
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    typename Body::State state{};
    const int64_t phases = body.phases();
    for (int64_t phase = 0; phase < phases; ++phase) {
      body.phase(phase, block, static_cast<int>(threadIdx.x), state, shared);
      __syncthreads();
    }
  }
}

inline unsigned grid_of(int64_t blocks) {
  return static_cast<unsigned>(smaller(blocks, most_blocks));
}

template <typename Body>
void launch_elements(int64_t count, const Body& body, cudaStream_t stream) {
  element_kernel<<<grid_of(divide_up(count, element_threads)), element_threads, 0, stream>>>(body, count);
}

template <typename Body>
void launch_blocks(int64_t blocks, const Body& body, cudaStream_t stream) {
  block_kernel<<<grid_of(blocks), Body::threads, body.shared_bytes(), stream>>>(body, blocks);
}

#define MOE_ELEMENT_KERNEL(...) template void launch_elements<__VA_ARGS__>(int64_t, const __VA_ARGS__&, cudaStream_t);
#define MOE_BLOCK_KERNEL(...) template void launch_blocks<__VA_ARGS__>(int64_t, const __VA_ARGS__&, cudaStream_t);

// A kernel for every storage type.
#define MOE_FOR_STORAGE_TYPES(KERNEL, BODY) \
  KERNEL(BODY<float>)                       \
  KERNEL(BODY<double>)                      \
  KERNEL(BODY<c10::Half>)                   \
  KERNEL(BODY<c10::BFloat16>)

}  // namespace moe::cuda
