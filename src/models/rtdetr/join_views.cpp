#include "models/rtdetr/join_views.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace moe::rtdetr {

namespace {

constexpr double kBorder = 1.0 / 64;  // of a window's side: what a model's boxes miss a border by

double intersection(const ViewBox& a, const ViewBox& b) {
  const double width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  return width > 0 && height > 0 ? width * height : 0;
}

double agreement(const ViewDetection& a, const ViewDetection& b) {
  const double common = intersection(a.box, b.box);
  if (common == 0) return 0;
  if (a.cut && b.cut) return common / std::min(a.box.area(), b.box.area());
  if (a.cut || b.cut) return common / (a.cut ? a : b).box.area();
  return common / (a.box.area() + b.box.area() - common);
}

// Both are one object; `kept` has the higher score.
void absorb(ViewDetection& kept, const ViewDetection& other) {
  if (!kept.cut) return;
  if (!other.cut) {
    kept.box = other.box;
    kept.cut = false;
    return;
  }
  kept.box = {std::min(kept.box.x0, other.box.x0), std::min(kept.box.y0, other.box.y0),
              std::max(kept.box.x1, other.box.x1), std::max(kept.box.y1, other.box.y1)};
}

// Of each window the others that overlap it.
std::vector<std::vector<size_t>> find_neighbours(const std::vector<ViewBox>& windows) {
  std::vector<std::vector<size_t>> out(windows.size());
  for (size_t i = 0; i < windows.size(); ++i) {
    for (size_t j = 0; j < windows.size(); ++j) {
      if (i != j && intersection(windows[i], windows[j]) > 0) out[i].push_back(j);
    }
  }
  return out;
}

}  // namespace

void judge_cuts(const std::vector<ViewBox>& windows, std::vector<ViewDetection>& found) {
  const ViewBox& whole = windows.front();
  for (ViewDetection& one : found) {
    const ViewBox& w = windows[static_cast<size_t>(one.view)];
    const double x = kBorder * (w.x1 - w.x0), y = kBorder * (w.y1 - w.y0);
    one.cut = (w.x0 > whole.x0 && one.box.x0 < w.x0 + x) || (w.y0 > whole.y0 && one.box.y0 < w.y0 + y) ||
              (w.x1 < whole.x1 && one.box.x1 > w.x1 - x) || (w.y1 < whole.y1 && one.box.y1 > w.y1 - y);
    one.box = {std::clamp(one.box.x0, w.x0, w.x1), std::clamp(one.box.y0, w.y0, w.y1),
               std::clamp(one.box.x1, w.x0, w.x1), std::clamp(one.box.y1, w.y0, w.y1)};
  }
}

std::vector<ViewDetection> join_views(const std::vector<ViewBox>& windows, std::vector<ViewDetection> found,
                                      double same) {
  std::stable_sort(found.begin(), found.end(),
                   [](const ViewDetection& a, const ViewDetection& b) { return a.score > b.score; });
  const std::vector<std::vector<size_t>> neighbours = find_neighbours(windows);
  std::vector<std::vector<size_t>> seen(windows.size());  // by view: indices of `kept` that it has a part in
  std::vector<ViewDetection> kept;
  const auto find_kept = [&](const ViewDetection& one) {
    const std::vector<size_t>& own = seen[static_cast<size_t>(one.view)];
    size_t best = kept.size();
    double most = same;
    for (const size_t view : neighbours[static_cast<size_t>(one.view)]) {
      for (const size_t k : seen[view]) {
        if (kept[k].label != one.label || std::find(own.begin(), own.end(), k) != own.end()) continue;
        const double value = agreement(kept[k], one);
        if (value < most || (value == most && best < kept.size())) continue;
        most = value;
        best = k;
      }
    }
    return best;
  };
  for (const ViewDetection& one : found) {
    const size_t k = find_kept(one);
    if (k == kept.size()) {
      kept.push_back(one);
    } else {
      absorb(kept[k], one);
    }
    seen[static_cast<size_t>(one.view)].push_back(k);
  }
  return kept;
}

// Appends the rows of a prediction, whose first sample is view `first`. Returns the next view.
static int64_t add_detections(std::vector<ViewDetection>& to, const Batch& prediction, int64_t first) {
  const at::Tensor boxes = prediction.get("boxes").to(at::kDouble).contiguous(),
                   scores = prediction.get("scores").to(at::kDouble).contiguous(),
                   labels = prediction.get("labels").contiguous(), offsets = prediction.get("offsets").contiguous();
  const double *box = boxes.const_data_ptr<double>(), *score = scores.const_data_ptr<double>();
  const int64_t *label = labels.const_data_ptr<int64_t>(), *row = offsets.const_data_ptr<int64_t>();
  const int64_t samples = offsets.numel() - 1;
  for (int64_t sample = 0; sample < samples; ++sample) {
    for (int64_t i = row[sample]; i < row[sample + 1]; ++i) {
      const double* b = box + 4 * i;
      to.push_back({{b[0], b[1], b[2], b[3]}, score[i], label[i], first + sample});
    }
  }
  return first + samples;
}

Batch joined_prediction(const std::vector<Batch>& predictions, const at::Tensor& windows, double same) {
  const at::Tensor corners = windows.to(at::kDouble).contiguous();
  std::vector<ViewBox> views;
  for (int64_t i = 0; i < corners.size(0); ++i) {
    const double* w = corners.const_data_ptr<double>() + 4 * i;
    views.push_back({w[0], w[1], w[2], w[3]});
  }
  std::vector<ViewDetection> found;
  int64_t view = 0;
  for (const Batch& prediction : predictions) view = add_detections(found, prediction, view);
  check(view == corners.size(0), MOE_ERR_INTERNAL, "views: expected ", corners.size(0), " predictions, got ", view);
  judge_cuts(views, found);
  const std::vector<ViewDetection> joined = join_views(views, std::move(found), same);
  const auto count = static_cast<int64_t>(joined.size());
  at::Tensor boxes = at::empty({count, 4}, at::kFloat), scores = at::empty({count}, at::kFloat),
             labels = at::empty({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    const ViewDetection& one = joined[static_cast<size_t>(i)];
    const double values[] = {one.box.x0, one.box.y0, one.box.x1, one.box.y1};
    std::copy_n(values, 4, boxes.mutable_data_ptr<float>() + 4 * i);
    scores.mutable_data_ptr<float>()[i] = static_cast<float>(one.score);
    labels.mutable_data_ptr<int64_t>()[i] = one.label;
  }
  Batch out;
  out.set("boxes", boxes);
  out.set("scores", scores);
  out.set("labels", labels);
  out.set("offsets", at::tensor({int64_t{0}, count}, at::kLong));
  return out;
}

}  // namespace moe::rtdetr
