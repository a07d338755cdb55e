// Precision, recall and F1 of detections above a score, from matches that COCO evaluation made at IoU 0.50 (all areas,
// the 100 best of an image and class; detections on crowds count neither way).
#pragma once

#include <cstdint>
#include <vector>

namespace moe {

// One judged detection.
struct ScoredHit {
  double score;
  bool right;  // found an object that no better one found
};

// Of all detections with at least this score. -1: nothing to divide by.
struct OperatingPoint {
  double score = 0;
  double precision = -1;
  double recall = -1;
  double f1 = -1;
};

// hits: by falling score. positives: objects to be found.
OperatingPoint operating_point(const std::vector<ScoredHit>& hits, int64_t positives, double score);
// The score of a hit with the highest F1, of equal ones the highest score. Without hits: at score 1.
OperatingPoint best_operating_point(const std::vector<ScoredHit>& hits, int64_t positives);
// The hits of all classes in one list by falling score.
std::vector<ScoredHit> merge_hits(const std::vector<std::vector<ScoredHit>>& hits);

}  // namespace moe
