// Kernels of cuda/deformable_bodies.h.
#include "cuda/deformable_bodies.h"
#include "cuda/device/launch.cuh"

namespace moe::cuda {
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, DeformableForward)
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, DeformableTaps)
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, DeformableValueGradient)
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, DeformablePointGradient)
}  // namespace moe::cuda
