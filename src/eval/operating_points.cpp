#include "eval/operating_points.h"

#include <algorithm>

namespace moe {

static OperatingPoint point(double score, int64_t right, int64_t count, int64_t positives) {
  const auto ratio = [](int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : -1.0;
  };
  return {score, ratio(right, count), ratio(right, positives), ratio(2 * right, count + positives)};
}

OperatingPoint operating_point(const std::vector<ScoredHit>& hits, int64_t positives, double score) {
  const auto end = std::partition_point(hits.begin(), hits.end(), [&](const ScoredHit& h) { return h.score >= score; });
  const auto right = std::count_if(hits.begin(), end, [](const ScoredHit& hit) { return hit.right; });
  return point(score, right, end - hits.begin(), positives);
}

OperatingPoint best_operating_point(const std::vector<ScoredHit>& hits, int64_t positives) {
  OperatingPoint best = point(1, 0, 0, positives);
  int64_t right = 0;
  for (size_t i = 0; i < hits.size(); ++i) {
    right += hits[i].right;
    if (i + 1 < hits.size() && hits[i + 1].score == hits[i].score) continue;  // a score admits all of its equals
    const OperatingPoint here = point(hits[i].score, right, static_cast<int64_t>(i) + 1, positives);
    if (here.f1 > best.f1) best = here;
  }
  return best;
}

std::vector<ScoredHit> merge_hits(const std::vector<std::vector<ScoredHit>>& hits) {
  std::vector<ScoredHit> all;
  for (const auto& list : hits) all.insert(all.end(), list.begin(), list.end());
  std::stable_sort(all.begin(), all.end(), [](const ScoredHit& a, const ScoredHit& b) { return a.score > b.score; });
  return all;
}

}  // namespace moe
