#include "models/rtdetr/criterion.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "nn/assignment.h"
#include "nn/boxes.h"
#include "tensor/scope.h"

namespace moe::rtdetr {

at::Tensor at_least_float(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

namespace {

constexpr double focal_alpha = 0.25;  // of the matching cost, where gamma is 2; fixed in the official matcher

struct Corners {
  double x1, y1, x2, y2;
  double area() const { return (x2 - x1) * (y2 - y1); }
};

Corners corners(const double* cxcywh) {
  return {cxcywh[0] - 0.5 * cxcywh[2], cxcywh[1] - 0.5 * cxcywh[3], cxcywh[0] + 0.5 * cxcywh[2],
          cxcywh[1] + 0.5 * cxcywh[3]};
}

double giou(const Corners& a, const Corners& b) {
  const double width = std::max(0.0, std::min(a.x2, b.x2) - std::max(a.x1, b.x1));
  const double height = std::max(0.0, std::min(a.y2, b.y2) - std::max(a.y1, b.y1));
  const double joined = a.area() + b.area() - width * height;
  const double hull = (std::max(a.x2, b.x2) - std::min(a.x1, b.x1)) * (std::max(a.y2, b.y2) - std::min(a.y1, b.y1));
  return width * height / std::max(joined, 1e-30) - (hull - joined) / std::max(hull, 1e-30);
}

double focal_cost(double logit) {
  const double p = 1 / (1 + std::exp(-logit));
  const double positive = focal_alpha * (1 - p) * (1 - p) * -std::log(p + 1e-8);
  const double negative = (1 - focal_alpha) * p * p * -std::log(1 - p + 1e-8);
  return positive - negative;
}

// Views of one image's rows, all fp64 and dense.
struct ImageRows {
  const double* logits;        // [queries, classes]
  const double* boxes;         // [queries, 4]
  const double* target_boxes;  // [targets, 4]
  const int64_t* labels;       // [targets]
  int64_t queries, classes, targets;
};

// [queries, targets]
std::vector<double> matching_cost(const LossOptions& options, const ImageRows& rows) {
  std::vector<double> cost(static_cast<size_t>(rows.queries * rows.targets));
  for (int64_t q = 0; q < rows.queries; ++q) {
    const double* box = rows.boxes + q * 4;
    for (int64_t t = 0; t < rows.targets; ++t) {
      const double* target = rows.target_boxes + t * 4;
      double distance = 0;
      for (int64_t k = 0; k < 4; ++k) distance += std::abs(box[k] - target[k]);
      cost[q * rows.targets + t] = options.match_class * focal_cost(rows.logits[q * rows.classes + rows.labels[t]]) +
                                   options.match_bbox * distance -
                                   options.match_giou * giou(corners(box), corners(target));
    }
  }
  return cost;
}

at::Tensor dense_double(const at::Tensor& x) {
  return x.detach().to(at::kDouble).contiguous();
}

void check_finite(const Prediction& prediction, const std::string& where) {
  const double sum = prediction.logits.detach().sum().item<double>() + prediction.boxes.detach().sum().item<double>();
  check(std::isfinite(sum), MOE_ERR_NUMERIC, where, ": expected finite logits and boxes, got NaN or infinity");
}

Matches collect(const std::vector<std::vector<int64_t>>& columns, const Targets& targets) {
  std::vector<int64_t> image, query, target;
  for (size_t g = 0; g < columns.size(); ++g) {
    for (size_t q = 0; q < columns[g].size(); ++q) {
      if (columns[g][q] < 0) continue;
      image.push_back(static_cast<int64_t>(g));
      query.push_back(static_cast<int64_t>(q));
      target.push_back(targets.offsets[g] + columns[g][q]);
    }
  }
  return {at::tensor(image, at::kLong), at::tensor(query, at::kLong), at::tensor(target, at::kLong)};
}

}  // namespace

Matches match(const LossOptions& options, const Prediction& prediction, const Targets& targets,
              const std::string& where) {
  check_finite(prediction, where);
  const at::Tensor logits = dense_double(prediction.logits), boxes = dense_double(prediction.boxes);
  const at::Tensor target_boxes = dense_double(targets.boxes), labels = targets.labels.contiguous();
  const int64_t images = logits.size(0), queries = logits.size(1), classes = logits.size(2);
  std::vector<std::vector<int64_t>> columns(static_cast<size_t>(images));
  at::parallel_for(0, images, 1, [&](int64_t begin, int64_t end) {
    Assignment assignment;
    for (int64_t g = begin; g < end; ++g) {
      const int64_t first = targets.offsets[g];
      const ImageRows rows = {logits.const_data_ptr<double>() + g * queries * classes,
                              boxes.const_data_ptr<double>() + g * queries * 4,
                              target_boxes.const_data_ptr<double>() + first * 4,
                              labels.const_data_ptr<int64_t>() + first,
                              queries,
                              classes,
                              targets.count(g)};
      if (rows.targets == 0) continue;
      columns[g] = assignment.solve(matching_cost(options, rows).data(), queries, rows.targets);
    }
  });
  return collect(columns, targets);
}

// Binary cross entropy towards the IoU of the matched box, weighted by it; the rest is pushed to 0 with the focal
// weight alpha p^gamma. Weight and target carry no gradient.
static at::Tensor varifocal_sum(const LossOptions& options, const at::Tensor& logits, const Matches& matches,
                                const at::Tensor& classes, const at::Tensor& iou) {
  const at::Tensor p = at::sigmoid(logits.detach());
  const at::Tensor quality = at::zeros_like(p);
  at::Tensor weight = options.alpha * p.pow(options.gamma);
  quality.index_put_({matches.image, matches.query, classes}, iou);
  weight.index_put_({matches.image, matches.query, classes}, iou);
  return at::binary_cross_entropy_with_logits(logits, quality, weight, {}, at::Reduction::Sum);
}

SetLoss set_loss(const LossOptions& options, const Prediction& prediction, const Targets& targets,
                 const Matches& matches, double count) {
  const Float32Scope precise;
  const at::Tensor logits = at_least_float(prediction.logits);
  const at::Tensor boxes = at_least_float(prediction.boxes).index({matches.image, matches.query});  // [K, 4]
  const at::Tensor wanted = targets.boxes.to(boxes.scalar_type()).index_select(0, matches.target);
  const nn::Overlap overlap = nn::overlap(nn::cxcywh_to_xyxy(boxes), nn::cxcywh_to_xyxy(wanted));
  const at::Tensor classes = targets.labels.index_select(0, matches.target);
  const at::Tensor vfl =
      varifocal_sum(options, logits, matches, classes, overlap.iou.detach().to(logits.scalar_type()));
  return {vfl * (options.vfl / count), (boxes - wanted).abs().sum() * (options.bbox / count),
          (1 - overlap.giou).sum() * (options.giou / count)};
}

}  // namespace moe::rtdetr
