// COCOeval's rules (cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py and common/maskApi.c), one pass per image
// and class: the overlaps are computed once and shared by the 4 area ranges and 10 thresholds, and only pairs above the
// lowest threshold are kept. Matches are bit masks over the thresholds.
#include "eval/coco.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "eval/numpy_mean.h"

namespace moe {

namespace {

constexpr int64_t kThresholds = 10;  // T: IoU .50, .55, ... .95
constexpr int64_t kRecalls = 101;    // R: recall 0, .01, ... 1
constexpr int64_t kAreas = 4;        // A: all, small, medium, large
constexpr int64_t kLimits = 3;       // M: max_detections
constexpr int64_t kTop = kLimits - 1;
constexpr std::array<std::array<double, 2>, kAreas> kAreaRanges = {{{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}}};

using Bits = uint16_t;  // bit t: threshold t
constexpr Bits kAllBits = (1 << kThresholds) - 1;

// numpy.linspace(start, stop, count)[i]
double linspace(double start, double stop, int64_t count, int64_t i) {
  const double step = (stop - start) / static_cast<double>(count - 1);
  return i == count - 1 ? stop : static_cast<double>(i) * step + start;
}

// What a detection must reach at threshold t: an overlap of exactly 1 always counts.
double required_overlap(int64_t t) {
  return std::min(linspace(.5, .95, kThresholds, t), 1 - 1e-10);
}

bool outside(double area, int64_t range) {
  return area < kAreaRanges[range][0] || area > kAreaRanges[range][1];
}

// maskApi's bbIou; the share of the detection for a crowd.
double overlap(const CocoBox& detection, const CocoBox& truth, bool crowd) {
  const double width = std::min(detection.width + detection.x, truth.width + truth.x) - std::max(detection.x, truth.x);
  if (width <= 0) return 0;
  const double height =
      std::min(detection.height + detection.y, truth.height + truth.y) - std::max(detection.y, truth.y);
  if (height <= 0) return 0;
  const double detection_area = detection.width * detection.height;
  const double common = width * height;
  return common / (crowd ? detection_area : detection_area + truth.width * truth.height - common);
}

// A detection after matching; one entry per area range.
struct Outcome {
  double score;
  int32_t rank;  // among the detections of its image and class
  std::array<Bits, kAreas> right;
  std::array<Bits, kAreas> wrong;  // neither right nor wrong: ignored
};

struct Candidate {
  int64_t truth;
  double overlap;
};

// All of one class: the outcomes over all images, then the curves.
class ClassEvaluation {
 public:
  explicit ClassEvaluation(const CocoOptions& options) : options_(options) {
    for (int64_t t = 0; t < kThresholds; ++t) required_[t] = required_overlap(t);
  }

  // One image: its truths in the order of the file, its detections by falling score.
  void add_image(const CocoTruth* const* truths, int64_t truth_count, const CocoDetection* const* detections,
                 int64_t detection_count) {
    taken_.assign(truth_count, {});
    for (int64_t g = 0; g < truth_count; ++g) {
      for (int64_t a = 0; a < kAreas; ++a) positives_[a] += !ignored(*truths[g], a);
    }
    const int64_t count = std::min(detection_count, options_.max_detections[kTop]);
    for (int64_t d = 0; d < count; ++d) {
      find_candidates(*detections[d], truths, truth_count);
      outcomes_.push_back(judge(*detections[d], static_cast<int32_t>(d), truths));
    }
  }

  // After the last image.
  void finish() {
    std::stable_sort(outcomes_.begin(), outcomes_.end(),
                     [](const Outcome& a, const Outcome& b) { return a.score > b.score; });
    for (int64_t a = 0; a < kAreas; ++a) {
      if (positives_[a] == 0) continue;
      find_needed(positives_[a]);
      precision_[a].resize(kThresholds * kRecalls);
      for (int64_t t = 0; t < kThresholds; ++t) trace_curve(a, t);
    }
  }

  bool has(int64_t area) const { return positives_[area] > 0; }
  int64_t positives() const { return positives_[0]; }
  // After finish(): what counts at the lowest threshold, all areas.
  std::vector<ScoredHit> hits() const {
    std::vector<ScoredHit> out;
    for (const Outcome& outcome : outcomes_) {
      if (((outcome.right[0] | outcome.wrong[0]) & 1) != 0) out.push_back({outcome.score, (outcome.right[0] & 1) != 0});
    }
    return out;
  }
  const double* precision(int64_t area, int64_t threshold) const {
    return &precision_[area][threshold * kRecalls];
  }  // [R]
  double recall(int64_t area, int64_t threshold, int64_t limit) const { return recall_[area][threshold][limit]; }

 private:
  static bool ignored(const CocoTruth& truth, int64_t area) { return truth.crowd || outside(truth.area, area); }

  void find_candidates(const CocoDetection& detection, const CocoTruth* const* truths, int64_t count) {
    candidates_.clear();
    for (int64_t g = 0; g < count; ++g) {
      const double value = overlap(detection.box, truths[g]->box, truths[g]->crowd);
      if (value >= required_[0]) candidates_.push_back({g, value});
    }
  }

  Outcome judge(const CocoDetection& detection, int32_t rank, const CocoTruth* const* truths) {
    Outcome outcome{detection.score, rank, {}, {}};
    const double area = detection.box.width * detection.box.height;
    for (int64_t a = 0; a < kAreas; ++a) {
      Bits matched = 0, ignore = 0;
      for (int64_t t = 0; t < kThresholds && !candidates_.empty(); ++t) {
        match(truths, a, t, &matched, &ignore);
      }
      if (outside(area, a)) ignore |= kAllBits & ~matched;
      outcome.right[a] = matched & ~ignore;
      outcome.wrong[a] = kAllBits & ~matched & ~ignore;
    }
    return outcome;
  }

  // The free truth that overlaps most, the later one of equals; ignored truths only when no other fits.
  void match(const CocoTruth* const* truths, int64_t a, int64_t t, Bits* matched, Bits* ignore) {
    const Bits bit = static_cast<Bits>(1 << t);
    for (const bool ignored_pass : {false, true}) {
      double best = required_[t];
      int64_t found = -1;
      for (const auto& [g, value] : candidates_) {
        if (value < best || ignored(*truths[g], a) != ignored_pass) continue;
        if ((taken_[g][a] & bit) != 0 && !truths[g]->crowd) continue;
        best = value;
        found = g;
      }
      if (found < 0) continue;
      taken_[found][a] |= bit;
      if (!options_.id_zero_is_unmatched || truths[found]->id != 0) *matched |= bit;
      if (ignored_pass) *ignore |= bit;
      return;
    }
  }

  // needed_[r]: the least number of hits whose recall reaches point r.
  void find_needed(int64_t positives) {
    int64_t hits = 0;
    for (int64_t r = 0; r < kRecalls; ++r) {
      const double recall = linspace(0, 1, kRecalls, r);
      while (static_cast<double>(hits) / static_cast<double>(positives) < recall) ++hits;
      needed_[r] = hits;
    }
  }

  // Precision is needed at hits only: between two hits it falls, so the envelope from the right never takes it from
  // there.
  void trace_curve(int64_t a, int64_t t) {
    curve_.clear();
    std::array<int64_t, kLimits> hits = {};
    int64_t misses = 0;
    for (const Outcome& outcome : outcomes_) {
      misses += outcome.wrong[a] >> t & 1;
      if ((outcome.right[a] >> t & 1) == 0) continue;
      for (int64_t m = 0; m < kLimits; ++m) hits[m] += outcome.rank < options_.max_detections[m];
      const double right = static_cast<double>(hits[kTop]);
      curve_.push_back(right / (static_cast<double>(misses) + right + std::numeric_limits<double>::epsilon()));
    }
    const int64_t count = static_cast<int64_t>(curve_.size());
    for (int64_t i = count - 1; i > 0; --i) curve_[i - 1] = std::max(curve_[i - 1], curve_[i]);
    double* out = &precision_[a][t * kRecalls];
    for (int64_t r = 0; r < kRecalls; ++r) {
      const int64_t index = std::max<int64_t>(needed_[r], 1) - 1;
      out[r] = index < count ? curve_[index] : 0;
    }
    for (int64_t m = 0; m < kLimits; ++m) {
      recall_[a][t][m] = static_cast<double>(hits[m]) / static_cast<double>(positives_[a]);
    }
  }

  const CocoOptions& options_;
  std::array<double, kThresholds> required_;
  std::vector<Outcome> outcomes_;
  std::array<int64_t, kAreas> positives_ = {};         // truths that must be found
  std::array<std::vector<double>, kAreas> precision_;  // [T, R]; empty without positives
  double recall_[kAreas][kThresholds][kLimits] = {};

  std::vector<std::array<Bits, kAreas>> taken_;  // [truths of the image]
  std::vector<Candidate> candidates_;            // of the current detection
  std::array<int64_t, kRecalls> needed_;
  std::vector<double> curve_;
};

// The items of each class as pointers, in the order that the class evaluation wants.
template <typename Item, typename Before>
std::vector<std::vector<const Item*>> by_class(const std::vector<Item>& items, int64_t classes, Before before) {
  std::vector<std::vector<const Item*>> out(classes);
  for (const Item& item : items) {
    check(item.label >= 0 && item.label < classes, MOE_ERR_DATA, "evaluation: image ", item.image,
          ": expected a label in 0 .. ", classes - 1, ", got ", item.label);
    out[item.label].push_back(&item);
  }
  for (auto& list : out) {
    if (!std::is_sorted(list.begin(), list.end(), before)) std::stable_sort(list.begin(), list.end(), before);
  }
  return out;
}

template <typename Item>
size_t end_of_image(const std::vector<const Item*>& items, size_t start, int64_t image) {
  while (start < items.size() && items[start]->image == image) ++start;
  return start;
}

ClassEvaluation evaluate_class(const std::vector<const CocoTruth*>& truths,
                               const std::vector<const CocoDetection*>& detections, const CocoOptions& options) {
  ClassEvaluation evaluation(options);
  size_t truth = 0, detection = 0;
  while (truth < truths.size() || detection < detections.size()) {
    int64_t image = std::numeric_limits<int64_t>::max();
    if (truth < truths.size()) image = truths[truth]->image;
    if (detection < detections.size()) image = std::min(image, detections[detection]->image);
    const size_t truth_end = end_of_image(truths, truth, image);
    const size_t detection_end = end_of_image(detections, detection, image);
    evaluation.add_image(truths.data() + truth, truth_end - truth, detections.data() + detection,
                         detection_end - detection);
    truth = truth_end;
    detection = detection_end;
  }
  evaluation.finish();
  return evaluation;
}

using Classes = std::vector<ClassEvaluation>;

// Mean over thresholds first .. last, recall points and classes, in the order of the official array [T, R, K, A, M].
double mean_precision(const Classes& classes, int64_t first, int64_t last, int64_t area) {
  std::vector<double> values;
  for (int64_t t = first; t <= last; ++t) {
    for (int64_t r = 0; r < kRecalls; ++r) {
      for (const ClassEvaluation& evaluation : classes) {
        if (evaluation.has(area)) values.push_back(evaluation.precision(area, t)[r]);
      }
    }
  }
  return numpy_mean(values);
}

double mean_recall(const Classes& classes, int64_t area, int64_t limit) {
  std::vector<double> values;
  for (int64_t t = 0; t < kThresholds; ++t) {
    for (const ClassEvaluation& evaluation : classes) {
      if (evaluation.has(area)) values.push_back(evaluation.recall(area, t, limit));
    }
  }
  return numpy_mean(values);
}

double class_mean(const ClassEvaluation& evaluation, int64_t thresholds) {
  if (!evaluation.has(0)) return -1;
  const double* values = evaluation.precision(0, 0);
  return numpy_mean(std::vector<double>(values, values + thresholds * kRecalls));
}

}  // namespace

CocoResult evaluate_coco(const std::vector<CocoTruth>& truths, const std::vector<CocoDetection>& detections,
                         const CocoOptions& options) {
  const auto truths_of =
      by_class(truths, options.classes, [](const auto* a, const auto* b) { return a->image < b->image; });
  const auto detections_of = by_class(detections, options.classes, [](const auto* a, const auto* b) {
    return a->image != b->image ? a->image < b->image : a->score > b->score;
  });
  Classes classes;
  CocoResult result;
  for (int64_t k = 0; k < options.classes; ++k) {
    classes.push_back(evaluate_class(truths_of[k], detections_of[k], options));
    result.class_ap.push_back(class_mean(classes.back(), kThresholds));
    result.class_ap50.push_back(class_mean(classes.back(), 1));
    result.hits.push_back(classes.back().hits());
    result.positives.push_back(classes.back().positives());
  }
  const int64_t last = kThresholds - 1;
  result.numbers = {
      mean_precision(classes, 0, last, 0), mean_precision(classes, 0, 0, 0),    mean_precision(classes, 5, 5, 0),
      mean_precision(classes, 0, last, 1), mean_precision(classes, 0, last, 2), mean_precision(classes, 0, last, 3),
      mean_recall(classes, 0, 0),          mean_recall(classes, 0, 1),          mean_recall(classes, 0, 2),
      mean_recall(classes, 1, 2),          mean_recall(classes, 2, 2),          mean_recall(classes, 3, 2)};
  return result;
}

}  // namespace moe
