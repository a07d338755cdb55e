// COCO evaluation of two files: annotations (images, annotations, categories) and results (an array of image_id,
// category_id, bbox, score), as pycocotools reads them for boxes. Masks and keypoints are not read.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "eval/coco.h"
#include "eval/evaluator.h"

namespace moe {

// Annotations and results with category ids replaced by labels 0 .. classes - 1, in the order of the ids.
struct CocoFiles {
  std::vector<int64_t> categories;   // their ids, rising; label k is categories[k]
  std::vector<std::string> classes;  // their names
  std::vector<int64_t> images;       // ids, rising
  std::vector<CocoTruth> truths;
  std::vector<CocoDetection> detections;
};

// Every problem names file and place. Missing keys, an annotation or detection of an unknown image, an annotation of an
// unknown category, an id twice: MOE_ERR_DATA. What pycocotools passes over or reads in its own way is told to the log
// as a warning: detections of unknown categories (left out; all of them: MOE_ERR_DATA), annotations with the id 0, and
// without area or iscrowd.
CocoFiles read_coco_annotations(const std::string& path, const Log& log);
void read_coco_detections(const std::string& path, const std::string& annotations, CocoFiles& files, const Log& log);

// Names of what evaluate_coco_files() gives.
std::vector<std::string> coco_file_metrics(const CocoFiles& files);
// The twelve official numbers, equal to pycocotools' to the last bit; AP/<class>, AP50/<class>; then at IoU 0.50: the
// best F1 with its score, precision and recall, of all classes and of each; precision@S, recall@S and F1@S of all
// classes for the scores S = 0.05, 0.10 ... 0.95; images without any annotation and the false positives an image of
// them has at each S.
std::vector<Metric> evaluate_coco_files(const CocoFiles& files);

}  // namespace moe
