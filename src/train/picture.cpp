#include "train/picture.h"

#include <ATen/ATen.h>

#include <cstring>

namespace moe {

Image image_of(const at::Tensor& picture) {
  const at::Tensor dense = picture.contiguous();
  Image image(dense.size(1), dense.size(0));
  std::memcpy(image.pixels.data(), dense.const_data_ptr<uint8_t>(), image.pixels.size());
  return image;
}

}  // namespace moe
