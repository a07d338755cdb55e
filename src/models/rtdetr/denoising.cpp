#include "models/rtdetr/denoising.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "nn/boxes.h"

namespace moe::rtdetr {

int64_t denoising_groups(int64_t queries, int64_t most_targets) {
  if (queries == 0 || most_targets == 0) return 0;
  return std::max<int64_t>(1, queries / most_targets);
}

namespace {

// Corners move outwards or inwards by r half sides, r in [0, 1) for positives and [1, 2) for negatives.
void noisy_box(const float* box, double scale, bool negative, Rng& rng, float* out) {
  const double half[2] = {0.5 * box[2], 0.5 * box[3]};
  double corner[4];
  for (int64_t k = 0; k < 4; ++k) {
    const double sign = rng.chance(0.5) ? 1 : -1;
    const double share = rng.uniform() + (negative ? 1 : 0);
    const double edge = k < 2 ? box[k] - half[k] : box[k - 2] + half[k - 2];
    corner[k] = std::clamp(edge + sign * share * scale * half[k % 2], 0.0, 1.0);
  }
  for (int64_t k = 0; k < 2; ++k) {
    out[k] = static_cast<float>(0.5 * (corner[k] + corner[k + 2]));
    out[k + 2] = static_cast<float>(corner[k + 2] - corner[k]);
  }
}

// Denoising queries see their own group only; normal queries see no denoising query.
at::Tensor attention_mask(int64_t denoising, int64_t group, int64_t queries) {
  const int64_t total = denoising + queries;
  at::Tensor blocked = at::zeros({total, total}, at::kBool);
  bool* rows = blocked.mutable_data_ptr<bool>();
  for (int64_t i = 0; i < total; ++i) {
    for (int64_t j = 0; j < denoising; ++j) rows[i * total + j] = i >= denoising || i / group != j / group;
  }
  return blocked;
}

// Positives of image g in group n start at 2 * most * n; target k of the image is the k-th of them.
Matches positives(const Targets& targets, int64_t groups, int64_t most) {
  std::vector<int64_t> image, query, target;
  for (int64_t g = 0; g < targets.images(); ++g) {
    for (int64_t n = 0; n < groups; ++n) {
      for (int64_t k = 0; k < targets.count(g); ++k) {
        image.push_back(g);
        query.push_back(2 * most * n + k);
        target.push_back(targets.offsets[g] + k);
      }
    }
  }
  return {at::tensor(image, at::kLong), at::tensor(query, at::kLong), at::tensor(target, at::kLong)};
}

int64_t most_targets(const Targets& targets) {
  int64_t most = 0;
  for (int64_t g = 0; g < targets.images(); ++g) most = std::max(most, targets.count(g));
  return most;
}

}  // namespace

Denoising make_denoising(const DenoisingOptions& options, const Targets& targets, int64_t classes, int64_t queries,
                         Rng rng) {
  Denoising out;
  const int64_t most = most_targets(targets), images = targets.images();
  out.groups = denoising_groups(options.queries, most);
  if (out.groups == 0) return out;
  out.queries = 2 * most * out.groups;
  out.labels = at::full({images, out.queries}, classes, at::kLong);
  at::Tensor boxes = at::zeros({images, out.queries, 4}, at::kFloat);
  const at::Tensor true_boxes = targets.boxes.to(at::kFloat).contiguous(), true_labels = targets.labels.contiguous();
  int64_t* label = out.labels.mutable_data_ptr<int64_t>();
  float* box = boxes.mutable_data_ptr<float>();
  for (int64_t g = 0; g < images; ++g) {
    for (int64_t d = 0; d < out.queries; ++d) {
      const int64_t k = d % most, row = g * out.queries + d;
      if (k >= targets.count(g)) continue;
      const int64_t target = targets.offsets[g] + k;
      const bool redraw = rng.chance(0.5 * options.label_noise);
      label[row] = redraw ? rng.below(classes) : true_labels.const_data_ptr<int64_t>()[target];
      noisy_box(true_boxes.const_data_ptr<float>() + target * 4, options.box_noise, d / most % 2 == 1, rng,
                box + row * 4);
    }
  }
  out.reference = nn::inverse_sigmoid(boxes);
  out.blocked = attention_mask(out.queries, 2 * most, queries);
  out.matches = positives(targets, out.groups, most);
  return out;
}

}  // namespace moe::rtdetr
