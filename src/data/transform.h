// From a decoded picture to the network's input and back. One object owns the geometry of pixels and boxes, so the two
// cannot drift apart. Random changes of the picture come before and are in augment.h.
#pragma once

#include <ATen/core/Tensor.h>

#include "image/image.h"

namespace moe {

// Corners in pixels; x1 > x0 and y1 > y0 for a box with area.
struct CornerBox {
  double x0, y0, x1, y1;

  double width() const { return x1 - x0; }
  double height() const { return y1 - y0; }
  double area() const { return width() * height(); }
};

CornerBox clip(CornerBox box, ImageSize size);

enum class Fit {
  stretch,   // both sides to the input's, aspect ratio ignored
  letterbox  // aspect ratio kept, centred, black around
};

class InputTransform {
 public:
  InputTransform(ImageSize picture, ImageSize input, Fit fit);

  // RGB in 0..1, float32 [3, H, W] in H, W, 3 memory order. Resized with antialias on 8-bit values, as Pillow does.
  // Mirrored: the whole input with left and right exchanged; mirror() below does the same to a box of the input.
  at::Tensor pixels(const Image& picture, bool mirrored = false) const;
  CornerBox box(CornerBox picture) const;   // pixels of the picture -> pixels of the input
  CornerBox invert(CornerBox input) const;  // and back
  at::Tensor frame() const;  // float32 [4]: scale_x, scale_y, shift_x, shift_y; input = picture * scale + shift
  ImageSize input() const { return input_; }

 private:
  ImageSize input_;
  ImageSize resized_;           // of the picture inside the input
  int64_t left_ = 0, top_ = 0;  // of its first pixel
  double scale_x_, scale_y_;
};

CornerBox mirror(CornerBox input, int64_t input_width);

// float32 [n, 4] centre x, centre y, width, height as shares of the input.
at::Tensor normalised_cxcywh(const std::vector<CornerBox>& boxes, ImageSize input);

}  // namespace moe
