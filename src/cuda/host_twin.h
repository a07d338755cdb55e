// The kernels of libmoe_cuda.so run on the CPU, by HostExecutor: for tests, on machines without CUDA. The grouped
// products alone are not shared code; here they are a loop over experts.
#pragma once

#include "cuda/executor.h"
#include "cuda/kernels.h"

namespace moe::cuda {

// Two runs in opposite orders must agree in every bit, or a kernel has a race.
const Kernels& host_twin(Order order = Order::rising);

}  // namespace moe::cuda
