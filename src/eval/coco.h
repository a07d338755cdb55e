// Average precision and recall of boxes as COCO defines them, equal to pycocotools' COCOeval (iouType "bbox") bit for
// bit: the same matching, the same order of every floating-point sum. It evaluates no masks and no keypoints, and reads
// no files. The core works on plain structs; make_coco_evaluator() wraps it for batches.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "eval/operating_points.h"

namespace moe {

class Evaluator;

struct CocoBox {
  double x, y, width, height;  // pixels of the original image; x, y: the corner of least coordinates
};

struct CocoTruth {
  int64_t image;
  int64_t label;  // 0 .. classes - 1, in the order of the category ids
  CocoBox box;
  double area;  // of the object, which COCO takes from its mask; decides small, medium, large
  bool crowd;   // a region of many objects: absorbs detections, is never missed
  int64_t id;   // used by CocoOptions::id_zero_is_unmatched only
};

struct CocoDetection {
  int64_t image;
  int64_t label;
  CocoBox box;
  double score;  // finite
};

struct CocoOptions {
  int64_t classes = 0;
  std::array<int64_t, 3> max_detections = {1, 10, 100};  // per image and class, rising; AP uses the last
  // The official tool stores the id of the matched annotation and tests it for zero, so that whoever finds the object
  // with id 0 is counted as wrong. On: do the same.
  bool id_zero_is_unmatched = false;
};

// The official numbers in the official order. -1: there is nothing to evaluate.
inline constexpr std::array<const char*, 12> kCocoNumbers = {"AP",        "AP50",     "AP75",      "AP_small",
                                                             "AP_medium", "AP_large", "AR1",       "AR10",
                                                             "AR100",     "AR_small", "AR_medium", "AR_large"};

// Classes that belong together, such as those of one expert.
struct ClassGroup {
  std::string name;
  std::vector<int64_t> classes;  // labels
};

struct CocoResult {
  std::array<double, 12> numbers;            // as kCocoNumbers
  std::vector<double> class_ap;              // [classes] AP over IoU .50:.95; -1 for a class without truths
  std::vector<double> class_ap50;            // [classes]
  std::vector<std::vector<ScoredHit>> hits;  // [classes] judged at IoU .50, by falling score
  std::vector<int64_t> positives;            // [classes] objects to be found
};

// Among equal scores of one image and class the earlier detection goes first, between images the one of the smaller id.
// Without any detection the numbers are 0 (the official tool refuses). MOE_ERR_DATA: a label outside 0 .. classes - 1.
CocoResult evaluate_coco(const std::vector<CocoTruth>& truths, const std::vector<CocoDetection>& detections,
                         const CocoOptions& options);

// An evaluator of detection batches. B images, M truths, N detections:
//   targets: image_ids [B] int64, gt_boxes [M, 4] float64 (x, y, width, height in pixels of the original image),
//     gt_labels [M] int64, gt_area [M] float64, gt_crowd [M] bool or an integer type, gt_offsets [B + 1] int64, and
//     optionally gt_ids [M] int64;
//   predictions: boxes [N, 4] float32 (x1, y1, x2, y2 in the same pixels), scores [N] float32, labels [N] int64,
//     offsets [B + 1] int64.
// A corner becomes a double first, then width = x2 - x1 and height = y2 - y1 in double.
// Metrics: coco_metrics(), operating_metrics() and group_metrics() of coco_metrics.h. An image may come only once.
// save(): coco_write.h, with the given category ids by class (empty: the class's index).
std::unique_ptr<Evaluator> make_coco_evaluator(std::vector<std::string> class_names,
                                               std::vector<ClassGroup> groups = {},
                                               std::vector<int64_t> categories = {});

}  // namespace moe
