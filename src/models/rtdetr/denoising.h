// Contrastive denoising (Zhang et al., DINO, 2022, in RT-DETR's form): noisy copies of the ground truth are decoded
// beside the normal queries, in groups of positives (to be restored) and negatives (to be rejected). Training only.
#pragma once

#include "base/rng.h"
#include "models/rtdetr/criterion.h"

namespace moe::rtdetr {

struct DenoisingOptions {
  int64_t queries = 100;     // positives an image is to get, about; 0: off
  double label_noise = 0.5;  // half of this share of the labels is drawn anew
  double box_noise = 1.0;    // corners move by up to this many half sides (positives), up to twice that (negatives)
};

// D = 2 * most targets of an image * groups. With D = 0 the tensors are undefined.
struct Denoising {
  int64_t queries = 0;  // D
  int64_t groups = 0;
  at::Tensor labels;     // [G, D] int64; `classes` where an image has no such target
  at::Tensor reference;  // [G, D, 4] logits of cxcywh
  at::Tensor blocked;    // [D + Q, D + Q] bool, true = row may not look at column; denoising queries come first
  Matches matches;       // positives with their targets
};

// Sizes alone: groups for the largest image; 0 without targets or when off.
int64_t denoising_groups(int64_t queries, int64_t most_targets);

// One set for the G images of `targets`; `queries` normal ones follow. A stream `rng` gives every draw.
Denoising make_denoising(const DenoisingOptions& options, const Targets& targets, int64_t classes, int64_t queries,
                         Rng rng);

}  // namespace moe::rtdetr
