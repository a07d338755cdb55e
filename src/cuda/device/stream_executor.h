// Runs kernel bodies on the GPU of a tensor, in its current stream: HostExecutor's counterpart. The kernels themselves
// are in the .cu files, which nvcc compiles without LibTorch's headers.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdint>

namespace moe::cuda {

// One thread an index; one block a block. Defined in launch.cuh, instantiated in the .cu files.
template <typename Body>
void launch_elements(int64_t count, const Body& body, cudaStream_t stream);
template <typename Body>
void launch_blocks(int64_t blocks, const Body& body, cudaStream_t stream);

class StreamExecutor {
 public:
  explicit StreamExecutor(const at::Tensor& tensor)
      : guard_(tensor.device()), stream_(c10::cuda::getCurrentCUDAStream(tensor.device().index())) {}

  template <typename Body>
  void for_each(int64_t count, const Body& body) const {
    if (count == 0) return;
    launch_elements(count, body, stream_.stream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }

  template <typename Body>
  void for_blocks(int64_t blocks, const Body& body) const {
    if (blocks == 0) return;
    launch_blocks(blocks, body, stream_.stream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }

 private:
  c10::cuda::CUDAGuard guard_;
  c10::cuda::CUDAStream stream_;
};

}  // namespace moe::cuda
