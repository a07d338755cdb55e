// The diffusion UNet as a Task: batch checks, network, losses, denoising errors, samples.
#pragma once

#include "models/task.h"

namespace moe::diffusion {

Schema schema();
std::unique_ptr<Task> create(const Config& config);

}  // namespace moe::diffusion
