// Optimizers over named parameter groups. plan() checks and prepares everything that can fail; apply() then updates
// parameters and state in place in one pass over raw memory: it allocates nothing, throws nothing, and so cannot stop
// half way. AdamW: Loshchilov & Hutter 2019; Adam: Kingma & Ba 2015 (L2 in the gradient); SGD with momentum as in
// torch.optim.SGD.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "train/chunks.h"

namespace moe {

struct NamedParameter {
  std::string name;
  at::Tensor tensor;             // fp32 leaf
  bool is_norm_or_bias = false;  // 1-d: the no-decay rule applies
  bool pretrained = false;       // its value came from model.pretrained
};

struct ParameterGroup {
  std::string name;
  double lr = 0;  // base rate, before the schedule's factor
  double weight_decay = 0;
  std::vector<size_t> members;  // indices into the parameter list
};

// Sorts parameters into the groups of `optimizer.groups`. A group takes a parameter when one of its `match` regular
// expressions is found in the name; then by origin: group "pretrained" takes loaded ones, group "new" the others; what
// is left forms the group "default". Names matching `optimizer.no_decay` (regular expressions; "norm_bias" stands for
// all 1-d parameters) go to "<group>/no_decay" with weight decay 0. Groups without members are left out.
// MOE_ERR_CONFIG: a parameter matches two groups, the patterns of a group match none, a malformed expression.
std::vector<ParameterGroup> make_groups(const Config& config, const std::vector<NamedParameter>& parameters);

class Optimizer {
 public:
  Optimizer(const Config& config, std::vector<NamedParameter> parameters, std::vector<ParameterGroup> groups);

  // Collects the gradients (a missing one counts as zero and leaves the parameter alone, its update count included, as
  // in torch.optim). Returns the global L2 norm, in fp64, of gradient * gradient_scale. On a non-finite value: throws
  // MOE_ERR_NUMERIC naming the first parameter, unless `overflow` is given, which is then set to true.
  double plan(double gradient_scale, bool* overflow);
  // One update with rate lr(group) * lr_factor and gradients multiplied by gradient_scale * clip_factor.
  void apply(double lr_factor, double clip_factor) noexcept;
  void zero_grad() noexcept;  // drops the gradients, and what plan() prepared

  std::vector<ParameterGroup>& groups() { return groups_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  int64_t steps() const { return steps_; }

  // Named state tensors for checkpoints; they alias the live state. adamw, adam: "exp_avg.", "exp_avg_sq." (fp32, as
  // the parameter) and "updates." (int64, 0-d) + the parameter's name; sgd: "momentum.".
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  enum class Kind { adamw, adam, sgd };

  // Raw memory of one parameter with a gradient, and the numbers of its next update.
  struct Slot {
    float* value;
    const float* gradient;
    float* first;
    float* second;
    size_t parameter, group;
    float decay, step, inverse_root;
  };

  void check_parameters() const;
  void prepare_slots();
  double squared_norm(bool* overflow);
  void prepare_numbers(double lr_factor) noexcept;

  Kind kind_;
  double beta1_ = 0, beta2_ = 0, eps_ = 0, momentum_ = 0;
  bool nesterov_ = false;
  std::vector<NamedParameter> parameters_;
  std::vector<ParameterGroup> groups_;
  std::vector<size_t> group_of_;            // by parameter
  std::vector<at::Tensor> first_, second_;  // exp_avg or momentum, exp_avg_sq
  at::Tensor updates_;                      // [parameters] int64: updates each parameter took part in
  std::vector<at::Tensor> gradients_;       // of the planned step, in their parameters' memory layout
  std::vector<Slot> slots_;
  std::vector<Chunk> chunks_;
  std::vector<double> partials_;  // sum of squares by chunk
  double gradient_scale_ = 1;
  int64_t steps_ = 0;
};

}  // namespace moe
