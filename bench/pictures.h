// A detector's batch of random pictures with ten random boxes each, the same ones in every run.
#pragma once

#include <memory>

#include "c_api.h"

namespace bench {

struct PictureSizes {
  int64_t images, height, width, classes;
};

// images [B, 3, H, W] float32; boxes [N, 4] cxcywh in parts of the picture, labels [N], offsets [B + 1].
std::shared_ptr<moe_batch> random_pictures(const PictureSizes& sizes);

}  // namespace bench
