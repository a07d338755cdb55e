// Named numbers from a COCO evaluation, for sessions and for files alike.
#pragma once

#include <string>
#include <vector>

#include "eval/coco.h"
#include "eval/evaluator.h"

namespace moe {

// kCocoNumbers, then AP/<class> and AP50/<class> of every class.
std::vector<Metric> coco_metrics(const CocoResult& result, const std::vector<std::string>& classes);

// F1, F1_score, precision, recall where F1 is highest, of all classes together; then F1/<class> and so on of every
// class.
std::vector<Metric> operating_metrics(const CocoResult& result, const std::vector<std::string>& classes);

// AP_expert/<group>: the mean of the AP of its classes, -1 without a truth of any.
std::vector<Metric> group_metrics(const CocoResult& result, const std::vector<ClassGroup>& groups);

// Images without any annotation, crowds included: every detection there is wrong.
struct EmptyImages {
  int64_t images = 0;
  std::vector<double> scores;  // of the detections in them, falling
};
EmptyImages find_empty_images(const std::vector<int64_t>& images, const std::vector<CocoTruth>& truths,
                              const std::vector<CocoDetection>& detections);

// precision@S, recall@S, F1@S for S = 0.05, 0.10 ... 0.95; empty_images; FP_per_empty_image@S, -1 without such images.
std::vector<Metric> sweep_metrics(const CocoResult& result, const EmptyImages& empty);

}  // namespace moe
