// A tensor as a picture that can be written to a file.
#pragma once

#include <ATen/core/Tensor.h>

#include "image/image.h"

namespace moe {

Image image_of(const at::Tensor& picture);  // [H, W, 3] uint8

}  // namespace moe
