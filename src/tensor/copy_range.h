// A copy that looks at what it copies: the check of a batch then need not read the pictures again.
#pragma once

#include <cstdint>
#include <optional>

#include "tensor/batch.h"

namespace moe {

// Copies n values, over threads, and gives their range; nothing when one is NaN or infinite, or n is 0.
std::optional<ValueRange> copy_with_range(const float* from, float* to, int64_t n);

}  // namespace moe
