// Axis-aligned boxes as tensors [..., 4]: conversions, intersection over union and its generalisation (Rezatofighi et
// al., GIoU, 2019). The format is part of every name: cxcywh = centre, width, height; xyxy = two corners. The unit is
// free, but the same for both sides. Types are kept; everything is differentiable.
#pragma once

#include <ATen/core/Tensor.h>

namespace moe::nn {

at::Tensor cxcywh_to_xyxy(const at::Tensor& boxes);  // [..., 4] -> [..., 4]
at::Tensor xyxy_to_cxcywh(const at::Tensor& boxes);  // [..., 4] -> [..., 4]

struct Overlap {
  at::Tensor iou;   // in 0..1; 0 where both areas are 0
  at::Tensor giou;  // in -1..1
};

Overlap overlap(const at::Tensor& a_xyxy, const at::Tensor& b_xyxy);           // [N, 4], [N, 4] -> [N]
Overlap pairwise_overlap(const at::Tensor& a_xyxy, const at::Tensor& b_xyxy);  // [N, 4], [M, 4] -> [N, M]

// ln(x / (1 - x)) with x clamped to 0..1 and both parts of the fraction to at least 1e-5, as DETR models do.
at::Tensor inverse_sigmoid(const at::Tensor& x);

}  // namespace moe::nn
