// libmoe_cuda.so, opened on request: a process that never asks for CUDA loads nothing of it. No kernels here.
#pragma once

#include <string>

#include "cuda/kernels.h"

namespace moe::cuda {

// What both sides of the boundary must agree on: the class Kernels, and LibTorch's own C++ interface.
constexpr const char* interface_version = "1, LibTorch 2.15";

// What the library exports as `moe_cuda_open`. Returns null and sets `problem`, a static text, where this machine or
// this build of libmoe cannot use it.
using OpenFunction = const Kernels*(const char* version, const char** problem);

// Opens the library that lies beside the one this code is in, else the one that the loader finds, once per process; a
// failure is tried again at the next call. Throws MOE_ERR_DEVICE: why not, and what to do. Call it before anything asks
// LibTorch for CUDA: LibTorch looks for its CUDA part once.
const Kernels& device_kernels();

// The same as text: why `device: cuda` is not possible here, one line; empty: it is.
std::string device_problem();

// libmoe_cuda.so lies beside the library that this code is in: the build has it, whatever this machine can do with it.
// Opens nothing.
bool library_is_beside();

}  // namespace moe::cuda
