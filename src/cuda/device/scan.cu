// Kernels of cuda/scan_bodies.h.
#include "cuda/device/launch.cuh"
#include "cuda/scan_bodies.h"

namespace moe::cuda {
MOE_ELEMENT_KERNEL(ScanForward<float>)
MOE_ELEMENT_KERNEL(ScanForward<double>)
MOE_BLOCK_KERNEL(ScanBackward<float>)
MOE_BLOCK_KERNEL(ScanBackward<double>)
}  // namespace moe::cuda
