// Kernels of cuda/gate_bodies.h.
#include "cuda/device/launch.cuh"
#include "cuda/gate_bodies.h"

namespace moe::cuda {
MOE_BLOCK_KERNEL(GateForward<float>)
MOE_BLOCK_KERNEL(GateForward<double>)
MOE_BLOCK_KERNEL(GateBackward<float>)
MOE_BLOCK_KERNEL(GateBackward<double>)
}  // namespace moe::cuda
