#include "moe/routing_stats.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
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

// Adds what one token's distribution says: entropy (-sum p ln p, nats), largest probability, lead over the second
// largest.
static void count_distribution(const float* probabilities, int64_t experts, RoutingCounts& out) {
  double entropy = 0, first = 0, second = 0;
  for (int64_t e = 0; e < experts; ++e) {
    const double p = probabilities[e];
    if (p > 0) entropy -= p * std::log(p);
    second = std::max(second, std::min(first, p));
    first = std::max(first, p);
  }
  out.entropy_sum += entropy;
  out.confidence_sum += first;
  out.margin_sum += first - second;
}

// Adds a token that chose the experts of `chosen` to the table of pairs.
static void count_pairs(const bool* chosen, int64_t experts, RoutingCounts& out) {
  for (int64_t a = 0; a < experts; ++a) {
    for (int64_t b = 0; b < experts && chosen[a]; ++b) out.together[a * experts + b] += chosen[b];
  }
}

namespace {

// Contiguous views of a record; rows of [T, E] unless said otherwise.
struct Rows {
  at::Tensor probabilities, gates, chosen, computed, valid, class_counts;

  explicit Rows(const RoutingRecord& record)
      : probabilities(record.probabilities.contiguous()),
        gates(record.gates.contiguous()),
        chosen(record.chosen.contiguous()),
        computed(record.computed.defined() ? record.computed.contiguous() : chosen) {
    if (record.valid.defined()) valid = record.valid.contiguous();                       // [T]
    if (record.class_counts.defined()) class_counts = record.class_counts.contiguous();  // [T, classes]
  }
};

void count_token(const Rows& rows, int64_t token, RoutingCounts& out) {
  const int64_t experts = static_cast<int64_t>(out.assigned.size());
  const float* probabilities = rows.probabilities.const_data_ptr<float>() + token * experts;
  const float* gates = rows.gates.const_data_ptr<float>() + token * experts;
  const bool* chosen = rows.chosen.const_data_ptr<bool>() + token * experts;
  const bool* computed = rows.computed.const_data_ptr<bool>() + token * experts;
  out.tokens += 1;
  out.unrouted += std::none_of(computed, computed + experts, [](bool used) { return used; });
  count_distribution(probabilities, experts, out);
  count_pairs(chosen, experts, out);
  for (int64_t e = 0; e < experts; ++e) {
    out.assigned[e] += chosen[e];
    out.computed[e] += computed[e];
    out.dropped[e] += chosen[e] && !computed[e];
    out.gate_sum[e] += chosen[e] ? gates[e] : 0.0;
    out.prob_sum[e] += probabilities[e];
  }
}

void count_classes(const Rows& rows, int64_t token, RoutingCounts& out) {
  const int64_t experts = static_cast<int64_t>(out.assigned.size());
  const int64_t classes = rows.class_counts.size(1);
  const int64_t* objects = rows.class_counts.const_data_ptr<int64_t>() + token * classes;
  const bool* chosen = rows.chosen.const_data_ptr<bool>() + token * experts;
  for (int64_t y = 0; y < classes; ++y) {
    for (int64_t e = 0; e < experts && objects[y] != 0; ++e)
      out.by_class[y * experts + e] += chosen[e] ? objects[y] : 0;
  }
}

}  // namespace

void RoutingStats::record(const RoutingRecord& record) {
  if (recomputing()) return;
  const int64_t tokens =
      record.probabilities.defined() && record.probabilities.dim() == 2 ? record.probabilities.size(0) : 0;
  check_field(name_, "probabilities", record.probabilities, at::kFloat, {tokens, experts()});
  check_field(name_, "gates", record.gates, at::kFloat, {tokens, experts()});
  check_field(name_, "chosen", record.chosen, at::kBool, {tokens, experts()});
  if (record.computed.defined()) check_field(name_, "computed", record.computed, at::kBool, {tokens, experts()});
  if (record.valid.defined()) check_field(name_, "valid", record.valid, at::kBool, {tokens});
  if (record.class_counts.defined())
    check_field(name_, "class_counts", record.class_counts, at::kLong, {tokens, classes_});
  const Rows rows(record);
  RoutingCounts& out = evaluating_ ? eval_ : pending_;
  const bool* valid = rows.valid.defined() ? rows.valid.const_data_ptr<bool>() : nullptr;
  for (int64_t t = 0; t < tokens; ++t) {
    if (valid && !valid[t]) continue;
    count_token(rows, t, out);
    if (rows.class_counts.defined()) count_classes(rows, t, out);
  }
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
