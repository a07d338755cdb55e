#include "moe/routing_stats.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/simd.h"
#include "base/vector_math.h"
#include "tensor/batch.h"
#include "tensor/checkpoint_fn.h"

namespace moe {

RoutingCounts::RoutingCounts(int64_t experts, int64_t classes)
    : assigned(experts),
      computed(experts),
      dropped(experts),
      gate_sum(experts),
      prob_sum(experts),
      by_class(classes * experts),
      together(experts * experts) {}

// Never resizes: the caller relies on it not to allocate.
template <typename T>
static void add_to(std::vector<T>& sum, const std::vector<T>& values) {
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
}

void RoutingCounts::add(const RoutingCounts& other) {
  tokens += other.tokens;
  unrouted += other.unrouted;
  entropy_sum += other.entropy_sum;
  confidence_sum += other.confidence_sum;
  margin_sum += other.margin_sum;
  add_to(assigned, other.assigned);
  add_to(computed, other.computed);
  add_to(dropped, other.dropped);
  add_to(gate_sum, other.gate_sum);
  add_to(prob_sum, other.prob_sum);
  add_to(by_class, other.by_class);
  add_to(together, other.together);
}

void RoutingCounts::clear() {
  tokens = unrouted = 0;
  entropy_sum = confidence_sum = margin_sum = 0;
  for (auto* counts : {&assigned, &computed, &dropped, &by_class, &together})
    std::fill(counts->begin(), counts->end(), 0);
  for (auto* sums : {&gate_sum, &prob_sum}) std::fill(sums->begin(), sums->end(), 0.0);
}

RoutingStats::RoutingStats(std::string name, std::string kind, std::string unit, std::vector<std::string> experts,
                           int64_t top_k, int64_t classes)
    : name_(std::move(name)),
      kind_(std::move(kind)),
      unit_(std::move(unit)),
      experts_(std::move(experts)),
      top_k_(top_k),
      classes_(classes) {
  for (RoutingCounts* counts : {&pending_, &last_step_, &since_reset_, &lifetime_, &last_eval_, &eval_}) {
    *counts = RoutingCounts(this->experts(), classes_);
  }
}

static void check_field(const std::string& layer, const char* name, const at::Tensor& tensor, at::ScalarType dtype,
                        at::IntArrayRef shape) {
  check(tensor.defined(), MOE_ERR_INTERNAL, "routing of ", layer, ": ", name, ": expected a tensor, got none");
  check(tensor.is_cpu() && tensor.scalar_type() == dtype && tensor.sizes() == shape, MOE_ERR_INTERNAL, "routing of ",
        layer, ": ", name, ": expected ", c10::toString(dtype), " ", shape_text(shape), " on the CPU, got ",
        c10::toString(tensor.scalar_type()), " ", shape_text(tensor.sizes()));
}

at::Tensor expert_indices(const at::Tensor& mask) {
  return at::where(mask, at::arange(mask.size(1)), -1);
}

namespace {

constexpr int64_t chunk_tokens = 4096;
constexpr int64_t lanes = 16;  // tokens of a block, side by side so that loops over them become vector code

struct DistributionSums {
  double entropy[lanes] = {}, confidence[lanes] = {}, margin[lanes] = {};
};

// What the distributions of a block of tokens say: entropy (-sum p ln p, nats), largest probability, lead over the
// second largest, sum by expert. block and by_expert [E, lanes]
MOE_MULTIVERSION void count_block(const float* block, int64_t experts, double* by_expert, DistributionSums* out) {
  float first[lanes] = {}, second[lanes] = {};
  for (int64_t e = 0; e < experts; ++e) {
    const float* p = block + e * lanes;
    double* sum = by_expert + e * lanes;
    for (int64_t t = 0; t < lanes; ++t) {
      const float lower = first[t] < p[t] ? first[t] : p[t];
      second[t] = second[t] < lower ? lower : second[t];
      first[t] = first[t] < p[t] ? p[t] : first[t];
      sum[t] += static_cast<double>(p[t]);
      out->entropy[t] -= static_cast<double>(p[t]) * log_positive(p[t]);
    }
  }
  for (int64_t t = 0; t < lanes; ++t) {
    out->confidence[t] += static_cast<double>(first[t]);
    out->margin[t] += static_cast<double>(first[t]) - static_cast<double>(second[t]);
  }
}

// Collects rows of [E] into blocks; what is left of the last block is zeros, which add nothing.
class Distributions {
 public:
  explicit Distributions(int64_t experts)
      : experts_(experts),
        block_(static_cast<size_t>(experts * lanes)),
        by_expert_(static_cast<size_t>(experts * lanes)) {}

  void add(const float* row) {
    for (int64_t e = 0; e < experts_; ++e) block_[static_cast<size_t>(e * lanes + filled_)] = row[e];
    if (++filled_ == lanes) flush();
  }

  void add_to(RoutingCounts& out) {
    flush();
    for (int64_t t = 0; t < lanes; ++t) {
      out.entropy_sum += sums_.entropy[t];
      out.confidence_sum += sums_.confidence[t];
      out.margin_sum += sums_.margin[t];
    }
    for (size_t i = 0; i < by_expert_.size(); ++i) out.prob_sum[i / lanes] += by_expert_[i];
  }

 private:
  void flush() {
    count_block(block_.data(), experts_, by_expert_.data(), &sums_);
    std::fill(block_.begin(), block_.end(), 0.0f);
    filled_ = 0;
  }

  int64_t experts_, filled_ = 0;
  std::vector<float> block_;
  std::vector<double> by_expert_;
  DistributionSums sums_;
};

// Contiguous rows of a record; a pointer is null where the record has no such tensor.
struct Rows {
  at::Tensor probabilities, chosen, gates, computed, valid, labels, class_counts;
  int64_t experts, classes;

  Rows(const RoutingRecord& record, int64_t all_experts, int64_t all_classes)
      : probabilities(record.probabilities.contiguous()),
        chosen(record.chosen.contiguous()),
        gates(record.gates.contiguous()),
        computed(record.computed.defined() ? record.computed.contiguous() : chosen),
        valid(dense(record.valid)),
        labels(dense(record.labels)),
        class_counts(dense(record.class_counts)),
        experts(all_experts),
        classes(all_classes) {}

  static at::Tensor dense(const at::Tensor& tensor) { return tensor.defined() ? tensor.contiguous() : tensor; }
  template <typename T>
  static const T* row(const at::Tensor& tensor, int64_t token) {
    return tensor.defined() ? tensor.const_data_ptr<T>() + token * (tensor.dim() == 2 ? tensor.size(1) : 1) : nullptr;
  }
};

struct Choice {
  const int64_t* experts;
  int64_t slots;
  bool has(int64_t expert) const { return std::find(experts, experts + slots, expert) != experts + slots; }
};

void count_computed(const Choice& chosen, const Choice& computed, RoutingCounts& out) {
  bool any = false;
  for (int64_t j = 0; j < computed.slots; ++j) {
    if (computed.experts[j] < 0) continue;
    any = true;
    ++out.computed[static_cast<size_t>(computed.experts[j])];
  }
  out.unrouted += !any;
  if (chosen.experts == computed.experts) return;
  for (int64_t j = 0; j < chosen.slots; ++j) {
    const int64_t e = chosen.experts[j];
    if (e >= 0 && !computed.has(e)) ++out.dropped[static_cast<size_t>(e)];
  }
}

// y: class of the token; objects: of each class in it.
void count_classes(int64_t e, const int64_t* y, const int64_t* objects, int64_t classes, RoutingCounts& out) {
  const int64_t experts = static_cast<int64_t>(out.assigned.size());
  if (y && *y >= 0) ++out.by_class[static_cast<size_t>(*y * experts + e)];
  for (int64_t c = 0; objects && c < classes; ++c) out.by_class[static_cast<size_t>(c * experts + e)] += objects[c];
}

void count_choice(const Rows& rows, int64_t token, RoutingCounts& out) {
  const Choice chosen{Rows::row<int64_t>(rows.chosen, token), rows.chosen.size(1)};
  const Choice computed{Rows::row<int64_t>(rows.computed, token), rows.computed.size(1)};
  const float* gates = Rows::row<float>(rows.gates, token);
  const int64_t *label = Rows::row<int64_t>(rows.labels, token),
                *objects = Rows::row<int64_t>(rows.class_counts, token);
  count_computed(chosen, computed, out);
  for (int64_t j = 0; j < chosen.slots; ++j) {
    const int64_t e = chosen.experts[j];
    if (e < 0) continue;
    ++out.assigned[static_cast<size_t>(e)];
    out.gate_sum[static_cast<size_t>(e)] += static_cast<double>(gates[j]);
    for (int64_t i = 0; i < chosen.slots; ++i) {
      if (chosen.experts[i] >= 0) ++out.together[static_cast<size_t>(e * rows.experts + chosen.experts[i])];
    }
    count_classes(e, label, objects, rows.classes, out);
  }
}

void count_tokens(const Rows& rows, int64_t begin, int64_t end, RoutingCounts& out) {
  Distributions distributions(rows.experts);
  const bool* valid = Rows::row<bool>(rows.valid, 0);
  for (int64_t t = begin; t < end; ++t) {
    if (valid && !valid[t]) continue;
    ++out.tokens;
    distributions.add(Rows::row<float>(rows.probabilities, t));
    count_choice(rows, t, out);
  }
  distributions.add_to(out);
}

void check_indices(const std::string& layer, const char* name, const at::Tensor& values, int64_t limit) {
  const at::Tensor flat = values.contiguous();
  const int64_t* index = flat.const_data_ptr<int64_t>();
  int64_t lowest = -1, highest = -1;
  for (int64_t i = 0; i < flat.numel(); ++i) {
    lowest = std::min(lowest, index[i]);
    highest = std::max(highest, index[i]);
  }
  check(lowest >= -1 && highest < limit, MOE_ERR_INTERNAL, "routing of ", layer, ": ", name, ": expected -1 to ",
        limit - 1, ", got ", lowest < -1 ? lowest : highest);
}

}  // namespace

void RoutingStats::check_record(const RoutingRecord& r, int64_t tokens) const {
  check_field(name_, "probabilities", r.probabilities, at::kFloat, {tokens, experts()});
  const auto check_choice = [&](const char* name, const at::Tensor& choice) {
    check_field(name_, name, choice, at::kLong,
                {tokens, choice.defined() && choice.dim() == 2 ? choice.size(1) : top_k_});
    check_indices(name_, name, choice, experts());
  };
  check_choice("chosen", r.chosen);
  check_field(name_, "gates", r.gates, at::kFloat, r.chosen.sizes());
  if (r.computed.defined()) check_choice("computed", r.computed);
  if (r.valid.defined()) check_field(name_, "valid", r.valid, at::kBool, {tokens});
  if (r.class_counts.defined()) check_field(name_, "class_counts", r.class_counts, at::kLong, {tokens, classes_});
  if (!r.labels.defined()) return;
  check_field(name_, "labels", r.labels, at::kLong, {tokens});
  check_indices(name_, "labels", r.labels, classes_);
}

void RoutingStats::record(const RoutingRecord& record) {
  if (recomputing()) return;
  const int64_t tokens =
      record.probabilities.defined() && record.probabilities.dim() == 2 ? record.probabilities.size(0) : 0;
  check_record(record, tokens);
  const Rows rows(record, experts(), classes_);
  const int64_t chunks = (tokens + chunk_tokens - 1) / chunk_tokens;
  std::vector<RoutingCounts> parts(static_cast<size_t>(chunks), RoutingCounts(experts(), classes_));
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      count_tokens(rows, i * chunk_tokens, std::min(tokens, (i + 1) * chunk_tokens), parts[static_cast<size_t>(i)]);
    }
  });
  for (const RoutingCounts& part : parts) (evaluating_ ? eval_ : pending_).add(part);
}

void RoutingStats::commit() noexcept {
  std::swap(last_step_, pending_);
  pending_.clear();
  since_reset_.add(last_step_);
  lifetime_.add(last_step_);
}

void RoutingStats::rollback() noexcept {
  pending_.clear();
  evaluating_ = false;
}

void RoutingStats::begin_eval() {
  eval_.clear();
  evaluating_ = true;
}

void RoutingStats::end_eval() noexcept {
  std::swap(last_eval_, eval_);
  evaluating_ = false;
}

void RoutingStats::reset() {
  since_reset_.clear();
}

const RoutingCounts& RoutingStats::window(int32_t window) const {
  switch (window) {
    case MOE_WINDOW_LAST_STEP:
      return last_step_;
    case MOE_WINDOW_SINCE_RESET:
      return since_reset_;
    case MOE_WINDOW_LIFETIME:
      return lifetime_;
    case MOE_WINDOW_LAST_EVAL:
      return last_eval_;
    default:
      fail(MOE_ERR_INVALID_ARGUMENT, "window: expected a MOE_WINDOW_ constant (0 to 3), got ", window);
  }
}

// The order within one window: tokens, unrouted, assigned, computed, dropped, by_class, together; and gate_sum,
// prob_sum, entropy_sum, confidence_sum, margin_sum.
template <typename T>
static void append(std::vector<T>& out, const std::vector<T>& values) {
  out.insert(out.end(), values.begin(), values.end());
}

std::vector<int64_t> RoutingStats::save_counts() const {
  std::vector<int64_t> out;
  for (const RoutingCounts* counts : {&lifetime_, &since_reset_, &last_step_}) {
    out.push_back(counts->tokens);
    out.push_back(counts->unrouted);
    for (const auto* values :
         {&counts->assigned, &counts->computed, &counts->dropped, &counts->by_class, &counts->together})
      append(out, *values);
  }
  return out;
}

std::vector<double> RoutingStats::save_sums() const {
  std::vector<double> out;
  for (const RoutingCounts* counts : {&lifetime_, &since_reset_, &last_step_}) {
    append(out, counts->gate_sum);
    append(out, counts->prob_sum);
    for (const double sum : {counts->entropy_sum, counts->confidence_sum, counts->margin_sum}) out.push_back(sum);
  }
  return out;
}

template <typename Iterator, typename T>
static Iterator take(Iterator from, std::vector<T>& values) {
  std::copy(from, from + static_cast<int64_t>(values.size()), values.begin());
  return from + static_cast<int64_t>(values.size());
}

void RoutingStats::load(const std::vector<int64_t>& counts, const std::vector<double>& sums) {
  const size_t experts = experts_.size(), window_counts = 2 + (3 + experts) * experts;
  const size_t want_counts = 3 * (window_counts + lifetime_.by_class.size()), want_sums = 3 * (2 * experts + 3);
  check(counts.size() == want_counts && sums.size() == want_sums, MOE_ERR_DATA, "statistics of ", name_, ": expected ",
        want_counts, " counts and ", want_sums, " sums for ", experts, " experts and ", classes_, " classes, got ",
        counts.size(), " and ", sums.size());
  auto count = counts.begin();
  auto sum = sums.begin();
  for (RoutingCounts* window : {&lifetime_, &since_reset_, &last_step_}) {
    window->tokens = *count++;
    window->unrouted = *count++;
    for (auto* values : {&window->assigned, &window->computed, &window->dropped, &window->by_class, &window->together})
      count = take(count, *values);
    sum = take(take(sum, window->gate_sum), window->prob_sum);
    for (double* value : {&window->entropy_sum, &window->confidence_sum, &window->margin_sum}) *value = *sum++;
  }
  pending_.clear();
}

// Entropy of sums or counts read as a distribution, nats; 0 when they are all 0.
template <typename T>
static double marginal_entropy(const std::vector<T>& sums) {
  double total = 0, entropy = 0;
  for (const T sum : sums) total += static_cast<double>(sum);
  for (const T sum : sums) {
    const double p = sum > 0 ? static_cast<double>(sum) / total : 0;
    if (p > 0) entropy -= p * std::log(p);
  }
  return entropy;
}

// I(y; e) / sqrt(H(y) H(e)) of a table of counts [classes, E]; 0 when either is certain.
static double class_nmi(const std::vector<int64_t>& table, size_t experts) {
  std::vector<int64_t> by_class(experts ? table.size() / experts : 0), by_expert(experts);
  for (size_t i = 0; i < table.size(); ++i) {
    by_class[i / experts] += table[i];
    by_expert[i % experts] += table[i];
  }
  const double classes = marginal_entropy(by_class), chosen = marginal_entropy(by_expert);
  if (classes <= 0 || chosen <= 0) return 0;
  // I = H(y) + H(e) - H(y, e); rounding must not show an independent table as negative
  return std::max(0.0, classes + chosen - marginal_entropy(table)) / std::sqrt(classes * chosen);
}

// sum |a - b| over all pairs / (2 E^2 mean)
static double gini(const std::vector<int64_t>& assigned, double mean) {
  double difference = 0;
  for (const int64_t a : assigned) {
    for (const int64_t b : assigned) difference += static_cast<double>(std::abs(a - b));
  }
  const auto experts = static_cast<double>(assigned.size());
  return difference / (2 * experts * experts * mean);
}

static void summarize_load(const std::vector<int64_t>& assigned, RoutingSummary* out) {
  int64_t largest = 0;
  for (const int64_t count : assigned) {
    out->assignments += count;
    out->dead_experts += count == 0;
    largest = std::max(largest, count);
  }
  if (out->assignments == 0) return;
  const double experts = static_cast<double>(assigned.size());
  const double mean = static_cast<double>(out->assignments) / experts;
  double variance = 0;
  for (const int64_t count : assigned) {
    const double difference = static_cast<double>(count) - mean;
    variance += difference * difference / experts;
  }
  out->load_cv = std::sqrt(variance) / mean;
  out->max_violation = static_cast<double>(largest) / mean - 1;
  out->dominant_share = static_cast<double>(largest) / static_cast<double>(out->assignments);
  out->gini = gini(assigned, mean);
}

static double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0.0;
}

std::vector<ExpertShare> expert_shares(const RoutingCounts& counts) {
  double assignments = 0;
  for (const int64_t assigned : counts.assigned) assignments += static_cast<double>(assigned);
  const auto tokens = static_cast<double>(counts.tokens);
  std::vector<ExpertShare> out(counts.assigned.size());
  for (size_t e = 0; e < out.size(); ++e) {
    const auto assigned = static_cast<double>(counts.assigned[e]);
    out[e] = {ratio(assigned, assignments), ratio(assigned, tokens), ratio(counts.gate_sum[e], assigned),
              ratio(counts.prob_sum[e], tokens)};
  }
  return out;
}

RoutingSummary summarize(const RoutingCounts& counts) {
  RoutingSummary out;
  if (counts.tokens == 0) return out;
  const auto tokens = static_cast<double>(counts.tokens);
  summarize_load(counts.assigned, &out);
  for (const int64_t dropped : counts.dropped) out.dropped += dropped;
  out.confidence = counts.confidence_sum / tokens;
  out.margin = counts.margin_sum / tokens;
  if (counts.assigned.size() < 2) return out;
  out.class_nmi = class_nmi(counts.by_class, counts.assigned.size());
  const double most = std::log(static_cast<double>(counts.assigned.size()));
  out.token_entropy = counts.entropy_sum / tokens / most;
  out.marginal_entropy = marginal_entropy(counts.prob_sum) / most;
  return out;
}

}  // namespace moe
