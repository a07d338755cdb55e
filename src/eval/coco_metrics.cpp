#include "eval/coco_metrics.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <numeric>
#include <unordered_set>

#include "eval/numpy_mean.h"
#include "eval/operating_points.h"

namespace moe {

std::vector<Metric> coco_metrics(const CocoResult& result, const std::vector<std::string>& classes) {
  std::vector<Metric> metrics;
  for (size_t i = 0; i < kCocoNumbers.size(); ++i) metrics.push_back({kCocoNumbers[i], result.numbers[i]});
  for (size_t k = 0; k < classes.size(); ++k) metrics.push_back({"AP/" + classes[k], result.class_ap[k]});
  for (size_t k = 0; k < classes.size(); ++k) metrics.push_back({"AP50/" + classes[k], result.class_ap50[k]});
  return metrics;
}

static int64_t sum(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

static void add_point(std::vector<Metric>& metrics, const std::string& suffix, const OperatingPoint& point) {
  metrics.push_back({"F1" + suffix, point.f1});
  metrics.push_back({"F1_score" + suffix, point.score});
  metrics.push_back({"precision" + suffix, point.precision});
  metrics.push_back({"recall" + suffix, point.recall});
}

std::vector<Metric> operating_metrics(const CocoResult& result, const std::vector<std::string>& classes) {
  std::vector<Metric> metrics;
  add_point(metrics, "", best_operating_point(merge_hits(result.hits), sum(result.positives)));
  for (size_t k = 0; k < classes.size(); ++k) {
    add_point(metrics, "/" + classes[k], best_operating_point(result.hits[k], result.positives[k]));
  }
  return metrics;
}

std::vector<Metric> group_metrics(const CocoResult& result, const std::vector<ClassGroup>& groups) {
  std::vector<Metric> metrics;
  for (const ClassGroup& group : groups) {
    std::vector<double> values;
    for (const int64_t label : group.classes) {
      const double ap = result.class_ap[static_cast<size_t>(label)];
      if (ap > -1) values.push_back(ap);
    }
    metrics.push_back({"AP_expert/" + group.name, numpy_mean(values)});
  }
  return metrics;
}

EmptyImages find_empty_images(const std::vector<int64_t>& images, const std::vector<CocoTruth>& truths,
                              const std::vector<CocoDetection>& detections) {
  std::unordered_set<int64_t> empty(images.begin(), images.end());
  for (const CocoTruth& truth : truths) empty.erase(truth.image);
  EmptyImages out;
  out.images = static_cast<int64_t>(empty.size());
  for (const CocoDetection& detection : detections) {
    if (empty.count(detection.image) > 0) out.scores.push_back(detection.score);
  }
  std::sort(out.scores.begin(), out.scores.end(), std::greater<>());
  return out;
}

std::vector<Metric> sweep_metrics(const CocoResult& result, const EmptyImages& empty) {
  constexpr int steps = 20;  // of 0.05
  const std::vector<ScoredHit> hits = merge_hits(result.hits);
  const int64_t positives = sum(result.positives);
  std::vector<Metric> precision, recall, f1, wrong;
  for (int step = 1; step < steps; ++step) {
    const double score = static_cast<double>(step) / steps;
    char at[16];
    std::snprintf(at, sizeof at, "@%.2f", score);
    const OperatingPoint point = operating_point(hits, positives, score);
    precision.push_back({std::string("precision") + at, point.precision});
    recall.push_back({std::string("recall") + at, point.recall});
    f1.push_back({std::string("F1") + at, point.f1});
    const auto end =
        std::partition_point(empty.scores.begin(), empty.scores.end(), [&](double s) { return s >= score; });
    const double count = static_cast<double>(end - empty.scores.begin());
    wrong.push_back(
        {std::string("FP_per_empty_image") + at, empty.images > 0 ? count / static_cast<double>(empty.images) : -1.0});
  }
  std::vector<Metric> metrics;
  for (const auto& list : {precision, recall, f1}) metrics.insert(metrics.end(), list.begin(), list.end());
  metrics.push_back({"empty_images", static_cast<double>(empty.images)});
  metrics.insert(metrics.end(), wrong.begin(), wrong.end());
  return metrics;
}

}  // namespace moe
