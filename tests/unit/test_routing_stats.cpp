// Expert statistics against closed forms, and the life of the windows: commit, rollback, reset, evaluation, save and
// load.
#include "moe/routing_stats.h"

#include <ATen/ATen.h>

#include "support/test.h"
#include "tensor/checkpoint_fn.h"
#include "tensor/random.h"

using namespace moe;

namespace {

RoutingStats make_stats(int64_t experts, int64_t top_k = 1, int64_t classes = 0) {
  std::vector<std::string> names;
  for (int64_t e = 0; e < experts; ++e) names.push_back("expert" + std::to_string(e));
  return RoutingStats("decoder.moe", "top_k", "query", names, top_k, classes);
}

// Each token chooses the experts listed for it, each with gate 1/k; its distribution is uniform over them.
RoutingRecord record_of(const std::vector<std::vector<int64_t>>& choices, int64_t experts) {
  const int64_t tokens = static_cast<int64_t>(choices.size());
  int64_t most = 1;
  for (const auto& choice : choices) most = std::max(most, static_cast<int64_t>(choice.size()));
  RoutingRecord record;
  record.probabilities = at::zeros({tokens, experts});
  record.gates = at::full({tokens, most}, 99.0f);  // anything where none is chosen
  record.chosen = at::full({tokens, most}, -1, at::kLong);
  for (int64_t t = 0; t < tokens; ++t) {
    for (size_t j = 0; j < choices[t].size(); ++j) {
      const float share = 1.0f / static_cast<float>(choices[t].size());
      record.probabilities[t][choices[t][j]] = share;
      record.gates[t][static_cast<int64_t>(j)] = share;
      record.chosen[t][static_cast<int64_t>(j)] = choices[t][j];
    }
  }
  return record;
}

const RoutingCounts& committed(RoutingStats& stats, const RoutingRecord& record) {
  stats.record(record);
  stats.commit();
  return stats.window(MOE_WINDOW_LAST_STEP);
}

bool same(const RoutingCounts& a, const RoutingCounts& b) {
  return a.tokens == b.tokens && a.assigned == b.assigned && a.computed == b.computed && a.dropped == b.dropped &&
         a.gate_sum == b.gate_sum && a.prob_sum == b.prob_sum && a.entropy_sum == b.entropy_sum &&
         a.by_class == b.by_class && a.unrouted == b.unrouted && a.together == b.together &&
         a.confidence_sum == b.confidence_sum && a.margin_sum == b.margin_sum;
}

bool all_zero(const RoutingSummary& s) {
  return s.assignments == 0 && s.dead_experts == 0 && s.token_entropy == 0 && s.marginal_entropy == 0 &&
         s.load_cv == 0 && s.max_violation == 0 && s.gini == 0 && s.dominant_share == 0 && s.confidence == 0 &&
         s.margin == 0 && s.class_nmi == 0 && s.dropped == 0;
}

}  // namespace

static void balanced(void**) {
  RoutingStats stats = make_stats(4);
  const RoutingCounts& counts = committed(stats, record_of({{0}, {1}, {2}, {3}, {3}, {2}, {1}, {0}}, 4));
  CHECK(counts.tokens == 8 && counts.assigned == std::vector<int64_t>(4, 2) && counts.computed == counts.assigned);
  CHECK(counts.dropped == std::vector<int64_t>(4, 0) && counts.gate_sum == std::vector<double>(4, 2.0));
  const RoutingSummary summary = summarize(counts);
  CHECK(summary.assignments == 8 && summary.dead_experts == 0 && summary.token_entropy == 0);
  CHECK_NEAR(summary.marginal_entropy, 1, 1e-12);
  CHECK(summary.load_cv == 0 && summary.max_violation == 0);
}

// All tokens to one of E experts: CV = sqrt(E - 1), violation = E - 1.
static void collapsed(void**) {
  RoutingStats stats = make_stats(5);
  const RoutingCounts& counts = committed(stats, record_of({{2}, {2}, {2}}, 5));
  const RoutingSummary summary = summarize(counts);
  CHECK(summary.assignments == 3 && summary.dead_experts == 4);
  CHECK_NEAR(summary.load_cv, 2, 1e-12);
  CHECK_NEAR(summary.max_violation, 4, 1e-12);
  CHECK(summary.token_entropy == 0 && summary.marginal_entropy == 0);
}

static void every_expert_for_every_token(void**) {
  RoutingStats stats = make_stats(4, 4);
  const RoutingCounts& counts = committed(stats, record_of({{0, 1, 2, 3}, {0, 1, 2, 3}}, 4));
  const RoutingSummary summary = summarize(counts);
  CHECK(summary.assignments == 8 && summary.load_cv == 0 && summary.max_violation == 0);
  CHECK_NEAR(summary.token_entropy, 1, 1e-12);
  CHECK_NEAR(summary.marginal_entropy, 1, 1e-12);
  CHECK(counts.gate_sum == std::vector<double>(4, 0.5));
}

// Loads 3, 1, 0, 0: mean 1, population variance (4 + 0 + 1 + 1) / 4.
static void uneven_with_dead_experts(void**) {
  RoutingStats stats = make_stats(4);
  const RoutingSummary summary = summarize(committed(stats, record_of({{0}, {0}, {1}, {0}}, 4)));
  CHECK(summary.dead_experts == 2);
  CHECK_NEAR(summary.load_cv, std::sqrt(1.5), 1e-12);
  CHECK_NEAR(summary.max_violation, 2, 1e-12);
  CHECK_NEAR(summary.marginal_entropy, -(0.75 * std::log(0.75) + 0.25 * std::log(0.25)) / std::log(4.0), 1e-12);
}

// Gini of loads 3, 1, 0, 0 (mean 1): pairs differ by 2, 3, 3, 1, 1, 0; twice their sum / (2 * 16 * 1) = 20 / 32. At
// balance 0; of a collapse 1 - 1/E.
static void inequality(void**) {
  RoutingStats stats = make_stats(4);
  const RoutingSummary uneven = summarize(committed(stats, record_of({{0}, {0}, {1}, {0}}, 4)));
  CHECK_NEAR(uneven.gini, 20.0 / 32, 1e-12);
  CHECK_NEAR(uneven.dominant_share, 0.75, 1e-12);
  const RoutingSummary even = summarize(committed(stats, record_of({{0}, {1}, {2}, {3}}, 4)));
  CHECK(even.gini == 0 && even.dominant_share == 0.25);
  const RoutingSummary collapse = summarize(committed(stats, record_of({{2}, {2}}, 4)));
  CHECK_NEAR(collapse.gini, 0.75, 1e-12);
  CHECK(collapse.dominant_share == 1);
}

// Largest and second largest probability; and I(token; expert) = marginal - token entropy: 1 for certain and balanced
// routing, 0 for one distribution of all tokens.
static void confidence_margin_and_information(void**) {
  RoutingStats stats = make_stats(3);
  RoutingRecord record = record_of({{0}, {2}}, 3);
  const float rows[] = {0.5f, 0.125f, 0.375f, 0.25f, 0.0f, 0.75f};
  record.probabilities = at::from_blob(const_cast<float*>(rows), {2, 3}).clone();
  const RoutingSummary summary = summarize(committed(stats, record));
  CHECK_NEAR(summary.confidence, (0.5 + 0.75) / 2, 1e-12);
  CHECK_NEAR(summary.margin, (0.125 + 0.5) / 2, 1e-12);
  CHECK_NEAR(summarize(committed(stats, record_of({{0}, {1}, {2}}, 3))).mutual_information(), 1, 1e-12);
  CHECK_NEAR(summarize(committed(stats, record_of({{0, 1, 2}, {0, 1, 2}}, 3))).mutual_information(), 0, 1e-7);
}

static void pairs_of_experts(void**) {
  RoutingStats stats = make_stats(3, 2);
  const RoutingCounts& counts = committed(stats, record_of({{0, 1}, {0, 2}, {0, 1}, {}}, 3));
  CHECK(counts.together == std::vector<int64_t>({3, 2, 1, 2, 2, 0, 1, 0, 1}));
  CHECK(counts.unrouted == 1);
}

// Class 0 always to expert 1 and class 1 to expert 0: 1. Classes that use both experts alike: 0.
static void class_information(void**) {
  RoutingStats stats = make_stats(2, 1, 2);
  const auto nmi_of = [&](const std::vector<std::vector<int64_t>>& choices, const std::vector<int64_t>& classes) {
    RoutingRecord record = record_of(choices, 2);
    record.class_counts = at::zeros({static_cast<int64_t>(classes.size()), 2}, at::kLong);
    for (size_t t = 0; t < classes.size(); ++t) record.class_counts[static_cast<int64_t>(t)][classes[t]] = 1;
    return summarize(committed(stats, record)).class_nmi;
  };
  CHECK_NEAR(nmi_of({{1}, {0}, {1}}, {0, 1, 0}), 1, 1e-12);
  CHECK_NEAR(nmi_of({{1}, {0}, {1}, {0}}, {0, 0, 1, 1}), 0, 1e-12);
  CHECK(nmi_of({{1}, {1}}, {0, 1}) == 0);  // one expert has all: nothing to tell
  // counts 2 1 / 0 1: H(y) of 3/4, H(e) of 1/2, H(y, e) of 1/2, 1/4, 1/4
  const double classes = 0.75 * std::log(4 / 3.0) + 0.25 * std::log(4.0), experts = std::log(2.0);
  const double joint = 0.5 * std::log(2.0) + 0.5 * std::log(4.0);
  CHECK_NEAR(nmi_of({{0}, {0}, {1}, {1}}, {0, 0, 0, 1}), (classes + experts - joint) / std::sqrt(classes * experts),
             1e-12);
}

// The class of a token says what a row of counts with a single 1 says.
static void labels_are_counts_of_one(void**) {
  RoutingStats by_label = make_stats(3, 2, 2), by_count = make_stats(3, 2, 2);
  RoutingRecord record = record_of({{0, 1}, {1, 2}, {1, 0}, {2, 0}}, 3);
  record.labels = at::tensor({1, -1, 0, 1}, at::kLong);
  const RoutingCounts& one = committed(by_label, record);
  record.labels = at::Tensor();
  record.class_counts = at::tensor({0, 1, 0, 0, 1, 0, 0, 1}, at::kLong).view({4, 2});
  CHECK(same(one, committed(by_count, record)));
  CHECK(one.by_class == (std::vector<int64_t>{1, 1, 0, 2, 1, 1}));
}

// Many tokens, some padded, against loops; the same bits for one and two threads.
static void many_tokens(void**) {
  const int64_t tokens = 20000, experts = 13;
  RoutingRecord record;
  record.probabilities = at::softmax(3 * normal_tensor(Rng(1, "logits"), {tokens, experts}), 1);
  const auto [gates, chosen] = record.probabilities.topk(3, 1);
  record.gates = gates.contiguous();
  record.chosen = chosen.contiguous();
  record.valid = uniform_tensor(Rng(1, "valid"), {tokens}) < 0.9;
  record.labels = at::arange(tokens) % 4;
  RoutingStats stats = make_stats(experts, 3, 4), again = make_stats(experts, 3, 4);
  at::set_num_threads(1);
  const RoutingCounts& counts = committed(stats, record);
  at::set_num_threads(2);
  CHECK(same(counts, committed(again, record)));
  const at::Tensor p = record.probabilities.to(at::kDouble).index({record.valid});
  const at::Tensor entropy = -(p * p.log()).sum(), best = std::get<0>(p.topk(2, 1));
  CHECK(counts.tokens == p.size(0));
  CHECK_NEAR(counts.entropy_sum / entropy.item<double>(), 1, 1e-12);
  CHECK_NEAR(counts.confidence_sum / best.select(1, 0).sum().item<double>(), 1, 1e-12);
  CHECK_NEAR(counts.margin_sum / (best.select(1, 0) - best.select(1, 1)).sum().item<double>(), 1, 1e-12);
  const at::Tensor kept = record.chosen.index({record.valid}), sums = p.sum(0);
  for (int64_t e = 0; e < experts; ++e) {
    CHECK(counts.assigned[e] == (kept == e).sum().item<int64_t>());
    CHECK_NEAR(counts.prob_sum[e] / sums[e].item<double>(), 1, 1e-12);
  }
}

// Closed form: 4 tokens, expert 0 chosen by three of them with gates 0.5, 0.5 and 1.
static void shares_of_an_expert(void**) {
  RoutingStats stats = make_stats(3, 2);
  const std::vector<ExpertShare> shares = expert_shares(committed(stats, record_of({{0, 1}, {1, 0}, {0}, {1}}, 3)));
  CHECK_NEAR(shares[0].share, 3.0 / 6, 1e-12);
  CHECK_NEAR(shares[0].activation_rate, 3.0 / 4, 1e-12);
  CHECK_NEAR(shares[0].gate_mean, 2.0 / 3, 1e-12);
  CHECK_NEAR(shares[0].importance, 2.0 / 4, 1e-12);
  CHECK(shares[2].share == 0 && shares[2].activation_rate == 0 && shares[2].gate_mean == 0 &&
        shares[2].importance == 0);
  for (const ExpertShare& empty : expert_shares(RoutingCounts(2, 0))) CHECK(empty.share == 0 && empty.gate_mean == 0);
}

static void one_expert(void**) {
  RoutingStats stats = make_stats(1);
  const RoutingSummary summary = summarize(committed(stats, record_of({{0}, {0}}, 1)));
  CHECK(summary.assignments == 2 && summary.dead_experts == 0);
  CHECK(summary.token_entropy == 0 && summary.marginal_entropy == 0 && summary.load_cv == 0 &&
        summary.max_violation == 0);
}

static void zero_tokens(void**) {
  RoutingStats stats = make_stats(3, 1, 2);
  RoutingRecord record = record_of({}, 3);
  record.class_counts = at::zeros({0, 2}, at::kLong);
  CHECK(all_zero(summarize(committed(stats, record))));
  CHECK(all_zero(summarize(RoutingCounts())));
  CHECK(all_zero(summarize(RoutingCounts(4, 0))));
}

// Tokens that chose nothing: no load, no NaN.
static void tokens_without_assignment(void**) {
  RoutingStats stats = make_stats(3);
  const RoutingSummary summary = summarize(committed(stats, record_of({{}, {}}, 3)));
  CHECK(summary.assignments == 0 && summary.dead_experts == 3 && summary.load_cv == 0 && summary.max_violation == 0);
  CHECK(summary.token_entropy == 0 && summary.marginal_entropy == 0);
}

static void padded_tokens_are_not_counted(void**) {
  RoutingStats padded = make_stats(3), plain = make_stats(3);
  RoutingRecord record = record_of({{0}, {1}, {2}, {2}}, 3);
  record.valid = at::tensor({1, 0, 1, 0}, at::kLong).to(at::kBool);
  CHECK(same(committed(padded, record), committed(plain, record_of({{0}, {2}}, 3))));
}

static void dropped_and_added(void**) {
  RoutingStats stats = make_stats(3);
  RoutingRecord record = record_of({{0}, {0}, {0}, {1}}, 3);
  record.computed = at::tensor({0, -1, 0, -1, -1, -1, 1, 2}, at::kLong).view({4, 2});  // over capacity; supervised
  const RoutingCounts& counts = committed(stats, record);
  CHECK(counts.assigned == (std::vector<int64_t>{3, 1, 0}));
  CHECK(counts.computed == (std::vector<int64_t>{2, 1, 1}));
  CHECK(counts.dropped == (std::vector<int64_t>{1, 0, 0}));
  CHECK(summarize(counts).dead_experts == 1);
}

// A query is of one class: every column of the table adds up to the expert's assignments.
static void class_table_adds_up(void**) {
  RoutingStats stats = make_stats(3, 2, 2);
  RoutingRecord record = record_of({{0, 1}, {1, 2}, {1, 0}, {2, 0}}, 3);
  record.class_counts = at::tensor({1, 0, 0, 1, 0, 1, 1, 0}, at::kLong).view({4, 2});
  const RoutingCounts& counts = committed(stats, record);
  CHECK(counts.by_class == (std::vector<int64_t>{2, 1, 1, 1, 2, 1}));
  for (int64_t e = 0; e < 3; ++e) CHECK(counts.by_class[e] + counts.by_class[3 + e] == counts.assigned[e]);
  record.class_counts.mul_(3);  // an image holds several objects of a class
  CHECK(committed(stats, record).by_class == (std::vector<int64_t>{6, 3, 3, 3, 6, 3}));
}

static void windows(void**) {
  RoutingStats stats = make_stats(2);
  const RoutingRecord one = record_of({{0}}, 2), two = record_of({{1}, {1}}, 2);
  stats.record(two);
  stats.rollback();
  CHECK(stats.window(MOE_WINDOW_LIFETIME).tokens == 0);
  stats.record(one);
  stats.record(two);  // two micro-batches of one step
  stats.commit();
  CHECK(stats.window(MOE_WINDOW_LAST_STEP).assigned == (std::vector<int64_t>{1, 2}));
  stats.reset();
  stats.record(one);
  stats.commit();
  CHECK(stats.window(MOE_WINDOW_LAST_STEP).tokens == 1 && stats.window(MOE_WINDOW_SINCE_RESET).tokens == 1);
  CHECK(stats.window(MOE_WINDOW_LIFETIME).assigned == (std::vector<int64_t>{2, 2}));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "expected a MOE_WINDOW_ constant (0 to 3), got 4", stats.window(4));
}

static void evaluation_is_apart(void**) {
  RoutingStats stats = make_stats(2);
  stats.record(record_of({{0}}, 2));  // a micro-batch is pending
  stats.begin_eval();
  stats.record(record_of({{1}, {1}}, 2));
  CHECK(stats.window(MOE_WINDOW_LAST_EVAL).tokens == 0);
  stats.end_eval();
  CHECK(stats.window(MOE_WINDOW_LAST_EVAL).assigned == (std::vector<int64_t>{0, 2}));
  stats.commit();
  CHECK(stats.window(MOE_WINDOW_LIFETIME).assigned == (std::vector<int64_t>{1, 0}));
  CHECK(stats.window(MOE_WINDOW_LAST_EVAL).tokens == 2);
  stats.begin_eval();
  stats.end_eval();
  CHECK(stats.window(MOE_WINDOW_LAST_EVAL).tokens == 0);
}

static void recomputation_is_not_counted(void**) {
  RoutingStats stats = make_stats(2);
  const at::Tensor x = at::ones({1}).requires_grad_();
  const TensorFunction block = [&](const std::vector<at::Tensor>& inputs) -> std::vector<at::Tensor> {
    stats.record(record_of({{0}, {1}}, 2));
    return {inputs[0] * 2};
  };
  checkpointed(block, {x})[0].backward();
  stats.commit();
  CHECK(stats.window(MOE_WINDOW_LAST_STEP).tokens == 2);
}

static void save_and_load(void**) {
  RoutingStats stats = make_stats(3, 2, 2), other = make_stats(3, 2, 2);
  RoutingRecord record = record_of({{0, 1}, {1, 2}}, 3);
  record.class_counts = at::tensor({1, 2, 3, 4}, at::kLong).view({2, 2});
  committed(stats, record);
  stats.reset();
  committed(stats, record_of({{2, 0}}, 3));
  committed(stats, record_of({{2, 0}}, 3));
  other.record(record);
  other.load(stats.save_counts(), stats.save_sums());
  for (const int32_t window : {MOE_WINDOW_LAST_STEP, MOE_WINDOW_SINCE_RESET, MOE_WINDOW_LIFETIME}) {
    CHECK(same(stats.window(window), other.window(window)));
  }
  other.commit();  // what was pending before the load is gone
  CHECK(other.window(MOE_WINDOW_LAST_STEP).tokens == 0);
  CHECK(same(stats.window(MOE_WINDOW_LIFETIME), other.window(MOE_WINDOW_LIFETIME)));
}

static void load_of_another_layer(void**) {
  RoutingStats stats = make_stats(3, 2, 2), other = make_stats(4, 2, 2);
  committed(stats, record_of({{0}}, 3));
  const std::vector<int64_t> before = stats.save_counts();
  CHECK_ERROR(MOE_ERR_DATA, "decoder.moe: expected 78 counts and 27 sums for 3 experts and 2 classes, got 114 and 33",
              stats.load(other.save_counts(), other.save_sums()));
  CHECK_ERROR(MOE_ERR_DATA, "got 78 and 33", stats.load(before, other.save_sums()));
  CHECK(stats.save_counts() == before);
}

static void misuse_is_named(void**) {
  RoutingStats stats = make_stats(3);
  RoutingRecord record = record_of({{0}, {1}}, 3);
  record.gates = at::zeros({2, 4});
  CHECK_ERROR(MOE_ERR_INTERNAL, "decoder.moe: gates: expected Float [2, 1] on the CPU, got Float [2, 4]",
              stats.record(record));
  record = record_of({{0}}, 3);
  record.chosen = record.chosen.to(at::kFloat);
  CHECK_ERROR(MOE_ERR_INTERNAL, "chosen: expected Long", stats.record(record));
  record = record_of({{0}}, 3);
  record.chosen[0][0] = 3;
  CHECK_ERROR(MOE_ERR_INTERNAL, "chosen: expected -1 to 2, got 3", stats.record(record));
  record = record_of({{0}}, 3);
  record.labels = at::zeros({1}, at::kLong);
  CHECK_ERROR(MOE_ERR_INTERNAL, "labels: expected -1 to -1, got 0", stats.record(record));
  record = record_of({{0}}, 3);
  record.class_counts = at::zeros({1, 2}, at::kLong);
  CHECK_ERROR(MOE_ERR_INTERNAL, "class_counts: expected Long [1, 0]", stats.record(record));
  CHECK_ERROR(MOE_ERR_INTERNAL, "probabilities: expected a tensor, got none", stats.record({}));
  stats.commit();
  CHECK(stats.window(MOE_WINDOW_LAST_STEP).tokens == 0);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(balanced),
      cmocka_unit_test(collapsed),
      cmocka_unit_test(every_expert_for_every_token),
      cmocka_unit_test(uneven_with_dead_experts),
      cmocka_unit_test(inequality),
      cmocka_unit_test(confidence_margin_and_information),
      cmocka_unit_test(pairs_of_experts),
      cmocka_unit_test(class_information),
      cmocka_unit_test(labels_are_counts_of_one),
      cmocka_unit_test(many_tokens),
      cmocka_unit_test(shares_of_an_expert),
      cmocka_unit_test(one_expert),
      cmocka_unit_test(zero_tokens),
      cmocka_unit_test(tokens_without_assignment),
      cmocka_unit_test(padded_tokens_are_not_counted),
      cmocka_unit_test(dropped_and_added),
      cmocka_unit_test(class_table_adds_up),
      cmocka_unit_test(windows),
      cmocka_unit_test(evaluation_is_apart),
      cmocka_unit_test(recomputation_is_not_counted),
      cmocka_unit_test(save_and_load),
      cmocka_unit_test(load_of_another_layer),
      cmocka_unit_test(misuse_is_named),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
