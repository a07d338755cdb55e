// Kernels of cuda/sort_bodies.h.
#include "cuda/device/launch.cuh"
#include "cuda/sort_bodies.h"

namespace moe::cuda {
MOE_ELEMENT_KERNEL(CountPairs)
MOE_BLOCK_KERNEL(ScanTable)
MOE_ELEMENT_KERNEL(PlacePairs)
}  // namespace moe::cuda
