// Settings that the tasks on labelled pictures share: where the data lie and what size they get.
#pragma once

#include "config/config.h"

namespace moe {

Schema labelled_keys();
// [height, width] of data.size. MOE_ERR_CONFIG: not two numbers.
std::vector<int64_t> picture_size(const Config& config);

}  // namespace moe
