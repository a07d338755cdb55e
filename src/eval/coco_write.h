// Truths and detections as COCO's json, with which the official tool finds the same numbers: annotations.json (images,
// categories, annotations numbered from 1) and detections.json (an array of image_id, category_id, bbox, score).
#pragma once

#include <string>
#include <vector>

#include "eval/coco.h"

namespace moe {

struct CocoImage {
  int64_t id;
  int64_t width = 0, height = 0;  // pixels; 0: not known, and not written
};

struct CocoWritten {
  const std::vector<std::string>& classes;
  std::vector<int64_t> categories;  // ids, by class; empty: the class's index
  const std::vector<CocoImage>& images;
  const std::vector<CocoTruth>& truths;
  const std::vector<CocoDetection>& detections;
};

// Both files appear whole or not at all. MOE_ERR_IO, MOE_ERR_NOT_FOUND.
void write_coco_files(const std::string& folder, const CocoWritten& data);

}  // namespace moe
