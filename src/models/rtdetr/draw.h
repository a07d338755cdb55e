// Pictures of detections: the network's input with every box, its class and score; ground truth in thin white. It
// writes no files.
#pragma once

#include <string>
#include <vector>

#include "tensor/batch.h"

namespace moe::rtdetr {

// Sample `index` of the batch with its rows of the prediction (boxes xyxy in original pixels) -> uint8 [H, W, 3].
// The prediction is checked; of the batch, only its images: the rest is as Task::batch_spec() says.
at::Tensor draw_detections(const Batch& batch, const Batch& prediction, int64_t index, double min_score,
                           const std::vector<std::string>& classes);

}  // namespace moe::rtdetr
