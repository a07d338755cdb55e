// Class-partitioned experts: which classes belong to which expert, and the gate that picks the experts of an image. The
// gate is trained with the answer (are classes of the expert in the image?), so it needs no balance loss. It computes
// no expert: the decoder does, for the (image, expert) pairs chosen here.
#pragma once

#include "base/rng.h"
#include "config/config.h"
#include "models/rtdetr/criterion.h"
#include "nn/layers.h"

namespace moe::rtdetr {

// Every class is in exactly one group.
struct ExpertGroups {
  std::vector<std::string> names;             // [E]
  std::vector<std::vector<int64_t>> classes;  // [E] class ids, rising; place = the expert's own label
  int64_t size() const { return static_cast<int64_t>(names.size()); }
};

// As model.experts.groups says; groups whose classes are all absent from `classes` are left out. MOE_ERR_CONFIG for a
// class in no group or in two.
ExpertGroups read_groups(const Config& config, const std::vector<std::string>& classes);
ExpertGroups one_group(const std::vector<std::string>& classes);  // "all"

// Targets of one expert in some of the images, with labels of its own numbering.
Targets targets_of(const Targets& all, const std::vector<int64_t>& classes, const std::vector<int64_t>& images);
// Matches of a prediction for all images and classes, as the expert's rows and targets of the function above.
Matches matches_of(const Matches& all, const Targets& targets, const std::vector<int64_t>& classes,
                   const std::vector<int64_t>& images);
at::Tensor presence(const Targets& all, const ExpertGroups& groups);  // [B, E] bool: has objects of the expert
at::Tensor class_counts(const Targets& all, int64_t classes);         // [B, C] int64
std::vector<double> group_counts(const at::Tensor& labels, const ExpertGroups& groups);  // [E] objects of each expert

struct GateOptions {
  int64_t top_k = 2;
  double threshold = 0.05;
  double noise = 0;  // deviation, on logits, in training
  double temperature = 1;
};

// One row an image; fp32 and on the CPU.
struct GateDecision {
  at::Tensor logits;         // [B, E] without noise: what the gate's loss sees
  at::Tensor probabilities;  // [B, E] sigmoid of the tempered, noisy logits; multiplies the expert's scores
  at::Tensor chosen;         // [B, E] bool
  at::Tensor computed;       // [B, E] bool: in training also the experts whose classes are in the image
};

// The top_k most probable experts at or above the threshold, and always the first of them; of equal ones the lower
// index.
at::Tensor choose_experts(const at::Tensor& probabilities, int64_t top_k, double threshold);  // [B, E] -> bool
std::vector<int64_t> rows_of(const at::Tensor& mask, int64_t expert);  // images where column `expert` is true

// Of each image and expert the highest class logit: scores [B, cells or queries, C] -> [B, E].
at::Tensor best_scores(const at::Tensor& scores, const ExpertGroups& groups);

// An expert is as probable as the best-scored object of its classes, scaled, and corrected by what the whole picture
// shows: average and maximum of every encoder map through two linear layers. Starts near one half while all scores are
// at their prior.
class Gate : public nn::Mlp {
 public:
  Gate(int64_t hidden, int64_t levels, int64_t experts, double prior);
  // maps L * [B, hidden, H, W], best [B, E] -> [B, E] fp32
  at::Tensor logits(const std::vector<at::Tensor>& maps, const at::Tensor& best) const;
  void init_own(const nn::ParameterInit& init) override;

 private:
  at::Tensor scale_;  // [E], starts at 1
  double prior_;
};

// present: [B, E] in training, undefined at inference. noise: its stream. MOE_ERR_NUMERIC: logits are not finite.
GateDecision decide(const GateOptions& options, const at::Tensor& logits, const at::Tensor& present, Rng noise);

}  // namespace moe::rtdetr
