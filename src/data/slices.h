// The squares that a large picture is cut into for prediction, so that small objects keep their pixels. Planning and
// cutting alone: joining what a model finds in them is the task's.
#pragma once

#include <ATen/core/Tensor.h>

#include "image/image.h"

namespace moe {

// Windows [T, 4] int64: x0, y0 and x1, y1 behind the last pixel, row by row. They cover the picture, neighbours share
// at least `overlap` of a side, and the first and last touch the borders. None when one window would be the whole
// picture.
at::Tensor plan_slices(ImageSize picture, int64_t side, double overlap);

// pixels [h, w, 3] uint8, window [4] int64 inside of it.
Image cut_slice(const at::Tensor& pixels, const at::Tensor& window);

}  // namespace moe
