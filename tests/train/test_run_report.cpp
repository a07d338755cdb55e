// Lines of metrics.jsonl: what they say of the routers is what the statistics hold.
#include "train/run_report.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "support/test.h"

using namespace moe;
using Json = nlohmann::json;

// Four tokens of two classes choose two of three experts; the last one is not counted.
static RoutingRecord some_record() {
  RoutingRecord record;
  record.probabilities =
      at::tensor({0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.125, 0.375, 0.5, 1., 0., 0.}, at::kFloat).view({4, 3});
  record.chosen = at::tensor({0, 1, 1, 0, 2, 1, 0, 1}, at::kLong).view({4, 2});
  record.gates = at::tensor({0.75, 0.25, 0.5, 0.5, 0.625, 0.375, 1., 0.}, at::kFloat).view({4, 2});
  record.computed = at::tensor({0, 1, 1, -1, 2, 1, 0, 1}, at::kLong).view({4, 2});
  record.valid = at::tensor({1, 1, 1, 0}, at::kLong).to(at::kBool);
  record.labels = at::tensor({0, 1, 1, 0}, at::kLong);
  return record;
}

static void check_layer(const Json& layer, const RoutingCounts& counts, bool tables) {
  const RoutingSummary summary = summarize(counts);
  const std::vector<ExpertShare> shares = expert_shares(counts);
  CHECK(layer["tokens"] == counts.tokens && layer["unrouted"] == counts.unrouted &&
        layer["dropped"] == summary.dropped);
  CHECK(layer["token_entropy"] == summary.token_entropy && layer["marginal_entropy"] == summary.marginal_entropy);
  CHECK(layer["mutual_information"] == summary.mutual_information() && layer["load_cv"] == summary.load_cv);
  CHECK(layer["max_violation"] == summary.max_violation && layer["gini"] == summary.gini);
  CHECK(layer["dominant_share"] == summary.dominant_share && layer["confidence"] == summary.confidence);
  CHECK(layer["margin"] == summary.margin && layer["class_nmi"] == summary.class_nmi);
  CHECK(layer["dead_experts"] == summary.dead_experts);
  for (size_t e = 0; e < 3; ++e) {
    const Json& expert = layer["experts"][std::string(1, static_cast<char>('a' + e))];
    CHECK(expert["tokens"] == counts.assigned[e] && expert["computed"] == counts.computed[e]);
    CHECK(expert["dropped"] == counts.dropped[e] && expert["share"] == shares[e].share);
    CHECK(expert["activation_rate"] == shares[e].activation_rate && expert["gate_mean"] == shares[e].gate_mean);
    CHECK(expert["importance"] == shares[e].importance);
  }
  CHECK(layer.contains("coactivation") == tables && layer.contains("class_routing") == tables);
}

static void test_routing(void**) {
  RoutingStats stats("layer", "ffn", "token", {"a", "b", "c"}, 2, 2);
  const std::vector<RoutingStats*> routing = {&stats};
  stats.record(some_record());
  stats.commit();
  stats.begin_eval();
  stats.record(some_record());
  stats.end_eval();
  RunEvent event;
  event.step = 7;
  const Json step = Json::parse(step_json(event, {}, routing)), epoch = Json::parse(epoch_json(event, routing)),
             eval = Json::parse(eval_json(event, {{"score", 0.5}}, true, routing));
  CHECK(step["step"] == 7 && eval["metrics"]["score"] == 0.5 && eval["best"] == true);
  check_layer(step["routing"]["layer"], stats.window(MOE_WINDOW_LAST_STEP), false);
  check_layer(epoch["routing"]["layer"], stats.window(MOE_WINDOW_SINCE_RESET), true);
  check_layer(eval["routing"]["layer"], stats.window(MOE_WINDOW_LAST_EVAL), true);
  for (const Json& line : {epoch, eval}) {
    CHECK(line["routing"]["layer"]["coactivation"] == Json({{2, 2, 0}, {2, 3, 1}, {0, 1, 1}}));
    CHECK(line["routing"]["layer"]["class_routing"] == Json({{1, 1, 0}, {1, 2, 1}}));
    CHECK(line["routing"]["layer"]["experts"]["a"]["dropped"] == 1);
  }
}

// A layer that knows no classes has no table of them.
static void test_without_classes(void**) {
  RoutingStats stats("layer", "ffn", "token", {"a", "b", "c"}, 2, 0);
  const Json layer = Json::parse(epoch_json({}, {&stats}))["routing"]["layer"];
  CHECK(!layer.contains("class_routing") && layer["coactivation"] == Json({{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_routing), cmocka_unit_test(test_without_classes)};
  return cmocka_run_group_tests_name("run report", tests, nullptr, nullptr);
}
