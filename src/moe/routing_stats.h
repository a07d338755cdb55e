// What a mixture layer's router did: counts in int64, sums in fp64, per window. The layer adds to `pending` while a
// step is computed; commit() moves it into the windows together with the step, rollback() forgets it. Definitions:
// reference table of the MoE literature (Shazeer 2017, Fedus 2021, DeepSeek-V3); see include/moe.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace moe {

struct RoutingCounts {
  int64_t tokens = 0;
  int64_t unrouted = 0;           // tokens that no expert computed
  std::vector<int64_t> assigned;  // [E] chosen by the router
  std::vector<int64_t> computed;  // [E] really computed
  std::vector<int64_t> dropped;   // [E] over capacity
  std::vector<double> gate_sum;   // [E] sum of gate weights over assignments
  std::vector<double> prob_sum;   // [E] sum of the router's distribution over all tokens
  double entropy_sum = 0;         // sum over tokens of H(p), nats
  double confidence_sum = 0;      // sum over tokens of the largest probability
  double margin_sum = 0;          // sum over tokens of the largest minus the second largest probability
  std::vector<int64_t> by_class;  // [classes * E] assignments by class
  std::vector<int64_t> together;  // [E * E] tokens that chose both experts; symmetric, the diagonal is `assigned`

  RoutingCounts(int64_t experts = 0, int64_t classes = 0);
  void add(const RoutingCounts& other);
  void clear();
};

// One routing decision of a layer for T tokens. All tensors on the CPU. An expert stands at most once in a row of
// `chosen` or `computed`; -1 = none.
struct RoutingRecord {
  at::Tensor probabilities;  // [T, E] fp32, rows sum to 1: the router's distribution
  at::Tensor chosen;         // [T, K] int64
  at::Tensor gates;          // [T, K] fp32, their gate weights; anything where none is chosen
  at::Tensor computed;       // [T, J] int64; undefined: the same as chosen
  at::Tensor valid;          // [T] bool; undefined: all. Padded tokens are not counted
  at::Tensor labels;         // [T] int64, the class of a token, -1 = none; undefined: none
  at::Tensor class_counts;   // [T, classes] int64; undefined: none. Objects of each class in a token
};
// [T, E] bool -> [T, E] int64, the column where true and -1 elsewhere.
at::Tensor expert_indices(const at::Tensor& mask);

class RoutingStats {
 public:
  RoutingStats(std::string name, std::string kind, std::string unit, std::vector<std::string> experts, int64_t top_k,
               int64_t classes);

  const std::string& name() const { return name_; }
  const std::string& kind() const { return kind_; }
  const std::string& unit() const { return unit_; }
  const std::vector<std::string>& expert_names() const { return experts_; }
  int64_t experts() const { return static_cast<int64_t>(experts_.size()); }
  int64_t top_k() const { return top_k_; }
  int64_t classes() const { return classes_; }

  // Into pending; a no-op while an activation checkpoint recomputes. Chunks of tokens in parallel, added up in their
  // order: the same bits for any number of threads.
  void record(const RoutingRecord& record);

  // Training: commit() allocates nothing and cannot fail.
  void commit() noexcept;
  void rollback() noexcept;  // also ends an evaluation that failed
  // Evaluation: what was recorded since begin_eval() becomes the last evaluation's window.
  void begin_eval();
  void end_eval() noexcept;
  void reset();  // MOE_WINDOW_SINCE_RESET starts anew

  const RoutingCounts& window(int32_t window) const;  // MOE_WINDOW_*; throws MOE_ERR_INVALID_ARGUMENT

  // Lifetime, since-reset and last-step counts as one int64 / one double vector, for checkpoints.
  std::vector<int64_t> save_counts() const;
  std::vector<double> save_sums() const;
  void load(const std::vector<int64_t>& counts, const std::vector<double>& sums);  // MOE_ERR_DATA when sizes differ

 private:
  void check_record(const RoutingRecord& record, int64_t tokens) const;

  std::string name_, kind_, unit_;
  std::vector<std::string> experts_;
  int64_t top_k_, classes_;
  bool evaluating_ = false;
  RoutingCounts pending_, last_step_, since_reset_, lifetime_, last_eval_, eval_;
};

// Derived numbers of one expert in one window (moe_expert_stat); 0 where nothing was counted.
struct ExpertShare {
  double share = 0;            // of all assignments
  double activation_rate = 0;  // of the tokens
  double gate_mean = 0;        // when chosen
  double importance = 0;       // mean probability
};
std::vector<ExpertShare> expert_shares(const RoutingCounts& counts);

// Derived numbers of one window (moe_layer_stat).
struct RoutingSummary {
  int64_t assignments = 0;
  int64_t dead_experts = 0;
  int64_t dropped = 0;
  double token_entropy = 0;     // / ln E
  double marginal_entropy = 0;  // / ln E
  double load_cv = 0;
  double max_violation = 0;
  double gini = 0;
  double dominant_share = 0;
  double confidence = 0;
  double margin = 0;
  double class_nmi = 0;

  double mutual_information() const { return marginal_entropy - token_entropy; }
};
RoutingSummary summarize(const RoutingCounts& counts);

}  // namespace moe
