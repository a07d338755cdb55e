#include "models/rtdetr/postprocess.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "nn/boxes.h"

namespace moe::rtdetr {

namespace {

// Every (query, class) of one image; parts of several experts.
struct Candidates {
  std::vector<at::Tensor> boxes, scores, labels;
};

void add_candidates(Candidates& to, const ExpertOutput& expert, int64_t row, const at::Tensor& gate,
                    const at::Tensor& classes) {
  const Prediction& last = expert.layers.back();
  const int64_t queries = last.logits.size(1), count = classes.numel();
  at::Tensor scores = last.logits[row].sigmoid();  // [Q, C]
  if (gate.defined()) scores = scores * gate[expert.images[row]][expert.expert];
  to.scores.push_back(scores.flatten());
  to.boxes.push_back(last.boxes[row].repeat_interleave(count, 0));
  to.labels.push_back(classes.repeat({queries}));
}

}  // namespace

Detections best_detections(const NetworkOutput& output, const ExpertGroups& groups, int64_t images, int64_t most) {
  std::vector<Candidates> found(static_cast<size_t>(images));
  for (const ExpertOutput& expert : output.experts) {
    const at::Tensor classes = at::tensor(groups.classes[expert.expert]);
    for (size_t row = 0; row < expert.images.size(); ++row) {
      add_candidates(found[expert.images[row]], expert, static_cast<int64_t>(row), output.gate.probabilities, classes);
    }
  }
  Candidates best;
  std::vector<int64_t> offsets = {0};
  for (const Candidates& image : found) {
    const at::Tensor scores = at::cat(image.scores);
    const int64_t kept = std::min(most, scores.numel());
    const at::Tensor order =
        std::get<1>(scores.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true)).slice(0, 0, kept);
    best.boxes.push_back(at::cat(image.boxes).index_select(0, order));
    best.scores.push_back(scores.index_select(0, order));
    best.labels.push_back(at::cat(image.labels).index_select(0, order));
    offsets.push_back(offsets.back() + kept);
  }
  return {at::cat(best.boxes).to(at::kFloat), at::cat(best.scores).to(at::kFloat), at::cat(best.labels),
          at::tensor(offsets, at::kLong)};
}

at::Tensor original_boxes(const Detections& detections, const Batch& batch) {
  const at::Tensor& images = batch.get("images");
  const auto height = static_cast<double>(images.size(2)), width = static_cast<double>(images.size(3));
  const at::Tensor per_image = detections.offsets.diff();
  const at::Tensor input = at::tensor({width, height, width, height}, at::kFloat);
  at::Tensor boxes = nn::cxcywh_to_xyxy(detections.boxes) * input;
  if (batch.has("frames")) {
    const at::Tensor frames = batch.get("frames").to(at::kFloat).repeat_interleave(per_image, 0);  // [N, 4]
    const at::Tensor scale = frames.slice(1, 0, 2).repeat({1, 2}), shift = frames.slice(1, 2, 4).repeat({1, 2});
    boxes = (boxes - shift) / scale;
  }
  if (!batch.has("sizes")) return boxes;
  const at::Tensor sizes = batch.get("sizes").to(at::kFloat).flip(1).repeat({1, 2});  // [B, 4] width, height, twice
  return at::minimum(boxes.clamp_min(0), sizes.repeat_interleave(per_image, 0));
}

}  // namespace moe::rtdetr
