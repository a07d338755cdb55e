// The ground truth of detections as batches carry it for evaluation. It reads no data set and computes no metric.
#pragma once

#include "tensor/batch.h"

namespace moe {

// gt_boxes, gt_labels, gt_area, gt_crowd, gt_ids and gt_offsets, all optional.
BatchSpec truth_fields();

}  // namespace moe
