// Kernels of cuda/row_bodies.h.
#include "cuda/device/launch.cuh"
#include "cuda/row_bodies.h"

namespace moe::cuda {
MOE_ELEMENT_KERNEL(GatherRows<Word16>)
MOE_ELEMENT_KERNEL(GatherRows<uint32_t>)
MOE_ELEMENT_KERNEL(GatherRows<uint16_t>)
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, CombineRows)
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, CombineRowsBackward)
MOE_FOR_STORAGE_TYPES(MOE_BLOCK_KERNEL, GateGradient)
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, AddExpertBias)
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, SumByExpert)
MOE_FOR_STORAGE_TYPES(MOE_ELEMENT_KERNEL, ClearRows)
}  // namespace moe::cuda
