// Predictions to detections: the best (query, class) scores of an image over all its experts, without suppression and
// without threshold, and boxes back to the pixels of the original picture. It computes no network.
#pragma once

#include "models/rtdetr/mixture_decoder.h"
#include "tensor/batch.h"

namespace moe::rtdetr {

// Flat over the images; image i owns rows offsets[i] .. offsets[i + 1] - 1, best first.
struct Detections {
  at::Tensor boxes;    // [N, 4] float32 cxcywh in 0..1 of the network's input
  at::Tensor scores;   // [N] float32: sigmoid(logit) * probability of the gate
  at::Tensor labels;   // [N] int64, class ids of the data set
  at::Tensor offsets;  // [images + 1] int64
};

// Equal scores: by expert, then by query, then by class.
Detections best_detections(const NetworkOutput& output, const ExpertGroups& groups, int64_t images, int64_t most);

// xyxy in pixels of the original picture, clipped to it where the batch says its size. Without `frames` the network's
// input is the picture.
at::Tensor original_boxes(const Detections& detections, const Batch& batch);

}  // namespace moe::rtdetr
