// The dense twin of class-partitioned experts, which answers what the same computation does without experts: it costs
// the same, trains and predicts, and routes nothing.
#include "models/rtdetr/options.h"
#include "models/rtdetr/summary.h"
#include "models/rtdetr/task.h"
#include "support/test.h"
#include "support/tiny.h"

using namespace moe;

using Settings = std::vector<std::pair<std::string, std::string>>;

// Sums over the parts.
static PartCost cost(const Settings& settings) {
  const rtdetr::Options options = rtdetr::read_options(tiny::config(settings));
  PartCost sum;
  for (const PartCost& part : rtdetr::part_costs(options, rtdetr::Network(options))) {
    sum.parameters += part.parameters;
    sum.multiply_adds += part.multiply_adds;
  }
  return sum;
}

static void test_costs_what_the_experts_cost(void**) {
  for (const char* groups : {"by_class", "by_size"}) {
    for (const char* shared : {"0", "1"}) {
      Settings settings = {{"model.experts.groups", groups},
                           {"model.experts.shared_layers", shared},
                           {"model.experts.queries", "100"},
                           {"model.hidden", "128"},
                           {"model.decoder.ffn", "512"},
                           {"model.encoder.ffn", "512"},
                           {"model.decoder.layers", "3"},
                           {"model.backbone.width", "0.5"},
                           {"data.size", "[320, 320]"}};
      const PartCost experts = cost(settings);
      settings.emplace_back("model.experts.kind", "dense_twin");
      const PartCost twin = cost(settings);
      const double ratio = static_cast<double>(twin.multiply_adds) / static_cast<double>(experts.multiply_adds);
      print_message("%s, %s shared layers: the twin costs x%.4f\n", groups, shared, ratio);
      CHECK(std::abs(ratio - 1) < 0.015 && twin.parameters < experts.parameters);
    }
  }
}

static void test_trains_and_predicts(void**) {
  const auto task = rtdetr::create(tiny::config({{"model.experts.kind", "dense_twin"}, {"model.max_detections", "9"}}));
  CHECK(task->routing().empty());
  const Batch batch = tiny::batch(1, {2, 0});
  ForwardContext context;
  context.normalizers = task->normalizers(batch);
  context.window_samples = 2;
  task->network().train();
  at::Tensor total = at::zeros({});
  for (const LossTerm& term : task->forward(batch, context)) {
    CHECK(term.name != "gate" && std::isfinite(term.value.item<double>()));
    total = total + term.value;
  }
  total.backward();
  for (const char* name : {"decoder.decoder.layers.0.linear1.weight", "backbone.conv1.conv1_1.conv.weight"}) {
    CHECK(task->network().named_parameters()[name].grad().abs().max().item<double>() > 0);
  }
  task->network().eval();
  const at::Tensor offsets = task->predict(tiny::batch(2, {1, 1})).get("offsets");
  CHECK(at::equal(offsets, at::tensor({0, 9, 18}, at::kLong)));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_costs_what_the_experts_cost),
                              cmocka_unit_test(test_trains_and_predicts)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
