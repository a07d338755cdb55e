// One list of detections from several views of a picture: the whole of it and slices that overlap. DETR needs no
// suppression inside a view, so the detections of one view never compete; those of different views that mean the same
// object become one. A slice may cut an object: such a box gives way to one that is not cut.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/batch.h"

namespace moe::rtdetr {

// Corners in pixels of the original picture.
struct ViewBox {
  double x0, y0, x1, y1;
  double area() const { return (x1 - x0) * (y1 - y0); }
};

struct ViewDetection {
  ViewBox box;
  double score;
  int64_t label;
  int64_t view;      // index of its window
  bool cut = false;  // touches a border of its window that is none of the picture's
};

// Marks as cut, and clips to the window. windows[0] is the whole picture.
void judge_cuts(const std::vector<ViewBox>& windows, std::vector<ViewDetection>& found);

// By falling score; equal ones keep their order. A detection joins the one of the same label and other views that it
// agrees with most, when their IoU, or of a cut one the share inside the other, reaches `same`; a view has at most one
// part in an object. The score is the higher one. The box is that of the higher one unless it is cut: then the whole
// one's, or the hull of two cut ones.
std::vector<ViewDetection> join_views(const std::vector<ViewBox>& windows, std::vector<ViewDetection> found,
                                      double same);

// The same of predictions as the task gives them (boxes, scores, labels, offsets; a sample is a view), windows [views,
// 4] int64. The result has one sample.
Batch joined_prediction(const std::vector<Batch>& predictions, const at::Tensor& windows, double same);

}  // namespace moe::rtdetr
