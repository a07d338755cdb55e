#include "nn/boxes.h"

#include <ATen/ATen.h>

namespace moe::nn {

at::Tensor cxcywh_to_xyxy(const at::Tensor& boxes) {
  const at::Tensor centre = boxes.slice(-1, 0, 2);
  const at::Tensor half = boxes.slice(-1, 2, 4) * 0.5;
  return at::cat({centre - half, centre + half}, -1);
}

at::Tensor xyxy_to_cxcywh(const at::Tensor& boxes) {
  const at::Tensor low = boxes.slice(-1, 0, 2);
  const at::Tensor high = boxes.slice(-1, 2, 4);
  return at::cat({(low + high) * 0.5, high - low}, -1);
}

static at::Tensor area(const at::Tensor& size) {
  return size.select(-1, 0) * size.select(-1, 1);
}

// The clamps only keep 0 / 0 of two empty boxes away; no other area is touched.
static at::Tensor guarded(const at::Tensor& area) {
  return area.clamp_min(1e-30);
}

Overlap overlap(const at::Tensor& a_xyxy, const at::Tensor& b_xyxy) {
  const at::Tensor a_low = a_xyxy.slice(-1, 0, 2), a_high = a_xyxy.slice(-1, 2, 4);
  const at::Tensor b_low = b_xyxy.slice(-1, 0, 2), b_high = b_xyxy.slice(-1, 2, 4);
  const at::Tensor shared = area((at::minimum(a_high, b_high) - at::maximum(a_low, b_low)).clamp_min(0));
  const at::Tensor joined = area(a_high - a_low) + area(b_high - b_low) - shared;
  const at::Tensor hull = area((at::maximum(a_high, b_high) - at::minimum(a_low, b_low)).clamp_min(0));
  const at::Tensor iou = shared / guarded(joined);
  return {iou, iou - (hull - joined) / guarded(hull)};
}

Overlap pairwise_overlap(const at::Tensor& a_xyxy, const at::Tensor& b_xyxy) {
  return overlap(a_xyxy.unsqueeze(1), b_xyxy.unsqueeze(0));
}

at::Tensor inverse_sigmoid(const at::Tensor& x) {
  constexpr double eps = 1e-5;
  const at::Tensor inside = x.clamp(0, 1);
  return at::log(inside.clamp_min(eps) / (1 - inside).clamp_min(eps));
}

}  // namespace moe::nn
