// Random changes of a training picture and its boxes, with the semantics of torchvision's transforms.v2
// (RandomPhotometricDistort, RandomZoomOut, RandomIoUCrop). The random streams are our own. Mirroring is done on the
// network's input: transform.h.
#pragma once

#include <vector>

#include "base/rng.h"
#include "data/transform.h"
#include "image/image.h"

namespace moe {

// A picture with its targets; box i has label i.
struct LabelledImage {
  Image image;
  std::vector<CornerBox> boxes;  // pixels of the image
  std::vector<int64_t> labels;
};

// Brightness, contrast, saturation, hue and channel order, each with this probability.
void photometric_distort(Image& image, Rng rng, double probability);
// The picture somewhere on a black canvas of 1 to `max_factor` times its sides.
void zoom_out(LabelledImage& sample, Rng rng, double max_factor);
// A part of the picture that overlaps an object by a drawn IoU; boxes whose centre lies outside are dropped (SSD).
void iou_crop(LabelledImage& sample, Rng rng);
// Clips to the picture and drops boxes below `min_side` pixels, with their labels.
void drop_small(LabelledImage& sample, double min_side);

// The parts of photometric_distort. Factor 1 (hue: 0) changes nothing.
void adjust_brightness(Image& image, double factor);
void adjust_contrast(Image& image, double factor);
void adjust_saturation(Image& image, double factor);
void adjust_hue(Image& image, double shift);  // in turns, -0.5 .. 0.5

}  // namespace moe
