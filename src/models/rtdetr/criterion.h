// The set-prediction loss of RT-DETR: exact assignment of predictions to ground truth (Carion et al., DETR, 2020) with
// the focal matching cost, then varifocal loss (Zhang et al. 2021) on classes, L1 and generalised IoU on boxes.
// Everything runs in fp32, or in fp64 when the predictions do. It knows no experts, layers or windows: the caller says
// what to divide by, so that sums over micro-batches are exact.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace moe::rtdetr {

// What a decoder says about G images.
struct Prediction {
  at::Tensor logits;  // [G, Q, C]
  at::Tensor boxes;   // [G, Q, 4] cxcywh in 0..1
};

// Ground truth of G images, flat; image g owns rows offsets[g] .. offsets[g + 1] - 1.
struct Targets {
  at::Tensor boxes;              // [N, 4] float32, cxcywh in 0..1
  at::Tensor labels;             // [N] int64, 0 .. C - 1
  std::vector<int64_t> offsets;  // [G + 1]

  int64_t images() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t count() const { return offsets.back(); }
  int64_t count(int64_t image) const { return offsets[image + 1] - offsets[image]; }
};

// K matched pairs; by image, then by query.
struct Matches {
  at::Tensor image;   // [K] int64, 0 .. G - 1
  at::Tensor query;   // [K] int64
  at::Tensor target;  // [K] int64, row of Targets
};

struct LossOptions {
  double match_class = 2, match_bbox = 5, match_giou = 2;  // weights of the matching cost
  double vfl = 1, bbox = 5, giou = 2;                      // weights of the loss
  double alpha = 0.75, gamma = 2;                          // of the varifocal loss
};

// Weighted, divided by `count`; scalars.
struct SetLoss {
  at::Tensor vfl, bbox, giou;
};

// fp32, unless it is fp64 already.
at::Tensor at_least_float(const at::Tensor& x);

// Per image the assignment of least cost, ties as SciPy resolves them. MOE_ERR_NUMERIC names `where` when a logit or
// box is not finite.
Matches match(const LossOptions& options, const Prediction& prediction, const Targets& targets,
              const std::string& where);

SetLoss set_loss(const LossOptions& options, const Prediction& prediction, const Targets& targets,
                 const Matches& matches, double count);

}  // namespace moe::rtdetr
