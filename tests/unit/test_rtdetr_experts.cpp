// Experts of both kinds. Class-partitioned: class tables, the gate's choice, shared layers, one expert against the
// dense decoder, ruled-out experts, exact accumulation, and defects that must not come back. Feed-forward: one expert
// against the dense layer, router losses, settings, cost.
#include "models/rtdetr/losses.h"
#include "models/rtdetr/network.h"
#include "models/rtdetr/postprocess.h"
#include "models/rtdetr/summary.h"
#include "models/rtdetr/task.h"
#include "rtdetr_golden.h"
#include "tensor/batch.h"

using namespace moe::rtdetr;
using moe::Batch;
using moe::Config;

using Settings = std::vector<std::pair<std::string, std::string>>;

static moe::Schema lookup(const std::string&) {
  using enum moe::KeyType;
  moe::Schema all = schema();
  all.push_back({"task", text, "", "", "Name."});
  all.push_back({"seed", integer, "0", ">= 0", "Seed."});
  all.push_back({"data.classes", texts, "[car, truck, bus, person, bicycle, motorcycle]", "", "Classes."});
  all.push_back({"data.category_ids", integers, "[]", ">= 0", "Ids."});
  all.push_back({"data.size", integers, "[64, 64]", "", "Size."});
  all.push_back({"train.checkpoint_activations", boolean, "false", "", "Checkpoint."});
  return all;
}

// A small mixture; more settings as YAML lines.
static Config config_with(const Settings& settings) {
  Config out = Config::parse(
      "task: rtdetr\n"
      "model:\n"
      "  backbone: {width: 0.125}\n"
      "  hidden: 32\n"
      "  heads: 4\n"
      "  encoder: {ffn: 32}\n"
      "  decoder: {ffn: 32, layers: 2}\n"
      "  denoising: {queries: 0}\n"
      "  experts: {kind: class_partitioned, groups: by_size, queries: 12}\n",
      "test.yml", lookup);
  for (const auto& [key, value] : settings) out.set(key, value);
  return out;
}

static Options options_with(const Settings& settings = {}) {
  return read_options(config_with(settings));
}

// `counts[i]` objects in image i, classes taken in turn from `labels`.
static Batch batch_of(const std::vector<int64_t>& counts, const std::vector<int64_t>& labels) {
  const auto images = static_cast<int64_t>(counts.size());
  std::vector<int64_t> offsets = {0}, ids;
  for (const int64_t count : counts) {
    for (int64_t k = 0; k < count; ++k) ids.push_back(labels[ids.size() % labels.size()]);
    offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  Batch out;
  out.set("images", hash_fill::uniform("images", {images, 3, 64, 64}).to(at::kFloat));
  out.set("boxes", golden::boxes("objects", {static_cast<int64_t>(ids.size()), 4}).to(at::kFloat));
  out.set("labels", at::tensor(ids, at::kLong));
  out.set("offsets", at::tensor(offsets, at::kLong));
  return out;
}

static Batch rows(const Batch& batch, int64_t begin, int64_t end) {
  const at::Tensor offsets = batch.get("offsets").slice(0, begin, end + 1);
  const int64_t first = offsets[0].item<int64_t>(), last = offsets[-1].item<int64_t>();
  Batch out;
  out.set("images", batch.get("images").slice(0, begin, end));
  out.set("boxes", batch.get("boxes").slice(0, first, last));
  out.set("labels", batch.get("labels").slice(0, first, last));
  out.set("offsets", offsets - first);
  return out;
}

// Gate logits that depend on the bias alone.
static void set_gate(torch::nn::Module& network, const std::vector<double>& logits) {
  const at::NoGradGuard no_grad;
  auto values = network.named_parameters();
  values["decoder.gate.layers.1.weight"].zero_();
  values["decoder.gate.scale"].zero_();
  values["decoder.gate.layers.1.bias"].copy_(at::tensor(logits));
}

// Head biases and last box layers get values, so that boxes and scores differ from query to query.
static void stir(torch::nn::Module& network) {
  const at::NoGradGuard no_grad;
  for (const auto& item : network.named_parameters()) {
    if (item.key().find("bbox_head") == std::string::npos) continue;
    item.value().copy_(hash_fill::parameter_value(item.key(), item.value().sizes()));
  }
}

// Batch statistics see a micro-batch alone, so exact accumulation needs the running ones.
static void fix_norms(torch::nn::Module& network) {
  for (const auto& module : network.modules()) {
    if (std::dynamic_pointer_cast<moe::nn::BatchNorm2d>(module)) module->eval();
  }
}

static std::map<std::string, double> step(moe::Task& task, const std::vector<Batch>& window, bool fixed_norms = false) {
  moe::ForwardContext context;
  context.window_samples = 0;
  for (const Batch& batch : window) {
    for (const auto& [name, value] : task.normalizers(batch)) context.normalizers[name] += value;
    context.window_samples += static_cast<double>(batch.get("images").size(0));
  }
  task.network().train();
  if (fixed_norms) fix_norms(task.network());
  if (task.wants_totals() && window.size() > 1) {
    const at::NoGradGuard no_grad;
    std::vector<moe::RoutingTotals> sums(task.routing().size());
    for (const Batch& batch : window) {
      const auto own = task.totals(batch, context);
      for (size_t i = 0; i < own.size(); ++i) sums[i] += own[i];
    }
    for (const moe::RoutingTotals& sum : sums)
      CHECK(static_cast<double>(sum.tokens) == context.normalizers.at("router_tokens"));
    context.routing = sums;
  }
  std::map<std::string, double> values;
  for (const Batch& batch : window) {
    at::Tensor total = at::zeros({}, at::kFloat);
    for (const moe::LossTerm& term : task.forward(batch, context)) {
      values[term.name] += term.value.item<double>();
      total = total + term.value;
    }
    total.backward();
  }
  return values;
}

static double gradient(moe::Task& task, const std::string& prefix) {
  double sum = 0;
  for (const auto& item : task.network().named_parameters()) {
    if (!item.key().starts_with(prefix) || !item.value().grad().defined()) continue;
    sum += item.value().grad().to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(sum);
}

static void test_tables(void**) {
  const auto groups = [](const char* name) { return options_with({{"model.experts.groups", name}}).groups; };
  using Classes = std::vector<std::vector<int64_t>>;
  CHECK(groups("by_class").classes == Classes({{0}, {1}, {2}, {3}, {4}, {5}}));
  CHECK(groups("by_class").names[5] == "motorcycle");
  CHECK(groups("by_complexity").classes == Classes({{0, 1, 2}, {3}, {4, 5}}));
  CHECK(groups("by_size").classes == Classes({{1, 2}, {0}, {3, 4, 5}}));
  const ExpertGroups part =
      options_with({{"data.classes", "[person, car]"}, {"model.experts.groups", "by_complexity"}}).groups;
  CHECK(part.classes == Classes({{1}, {0}}) && part.names[1] == "people");
}

static void test_custom_tables(void**) {
  Config config = config_with({{"model.experts.groups", "custom"}, {"data.classes", "[cat, dog, cow]"}});
  CHECK_ERROR(MOE_ERR_CONFIG, "custom needs model.experts.table", read_options(config));
  config.set("model.experts.table.pets", "[cat, dog]");
  CHECK_ERROR(MOE_ERR_CONFIG, "expected class \"cow\" in exactly one group of custom, got it in 0",
              read_options(config));
  config.set("model.experts.table.farm", "[cow, dgo]");
  CHECK_ERROR(MOE_ERR_CONFIG, "did you mean \"dog\"", read_options(config));
  config.set("model.experts.table.farm", "[cow, dog]");
  CHECK_ERROR(MOE_ERR_CONFIG, "got it in 2", read_options(config));
  config.set("model.experts.table.farm", "[cow]");
  CHECK(read_options(config).groups.classes == std::vector<std::vector<int64_t>>({{0, 1}, {2}}));
  config.set("model.experts.top_k", "3");
  CHECK_ERROR(MOE_ERR_CONFIG,
              "expected at most the 2 experts that model.experts.groups: custom makes of data.classes, got 3",
              read_options(config));
  const auto odd = [] { options_with({{"data.classes", "[car, tram]"}}); };
  CHECK_ERROR(MOE_ERR_CONFIG, "use custom", odd());
}

static void test_choice(void**) {
  const at::Tensor p = at::tensor({0.5, 0.5, 0.5, 0.01, 0.02, 0.01, 0.9, 0.04, 0.06}).view({3, 3});
  const at::Tensor chosen = choose_experts(p, 2, 0.05);
  const std::vector<int64_t> wanted = {1, 1, 0, 0, 1, 0, 1, 0, 1};
  CHECK(golden::equal(chosen.flatten().to(at::kLong), wanted));
}

static void check_same_detections(Network& mixture, const ExpertGroups& groups, Network& dense,
                                  const ExpertGroups& all) {
  const at::NoGradGuard no_grad;
  mixture.eval();
  dense.eval();
  const at::Tensor images = hash_fill::uniform("images", {2, 3, 64, 96}).to(at::kFloat);
  const moe::Rng rng(0, "test");
  const Detections a = best_detections(mixture.forward(images, nullptr, rng), groups, 2, 300);
  const Detections b = best_detections(dense.forward(images, nullptr, rng), all, 2, 300);
  CHECK(at::equal(a.labels, b.labels));
  CHECK((a.boxes - b.boxes).abs().max().item<double>() < 1e-5);
  CHECK((a.scores - b.scores).abs().max().item<double>() < 1e-5);
}

// Layer i of the mixture of one expert is layer i of the dense decoder, whether its stack is the shared one or the
// expert's.
static std::string dense_name(const std::string& name, int64_t shared_layers) {
  const std::string value = "decoder.value_proj.";
  if (name.starts_with(value)) {
    return "decoder.decoder.layers." + name.substr(value.size(), 1) + ".cross_attn.value_proj" +
           name.substr(value.size() + 1);
  }
  for (const std::string stack : {"decoder.shared.", "decoder.experts.0."}) {
    if (!name.starts_with(stack)) continue;
    std::string part = name.substr(stack.size());
    const size_t dot = part.find_first_of("0123456789");
    const int64_t first = stack == "decoder.shared." ? 0 : shared_layers;
    if (!part.starts_with("query_pos_head")) part.replace(dot, 1, std::to_string(part[dot] - '0' + first));
    return (part.starts_with("layers.") ? "decoder.decoder." : "decoder.") + part;
  }
  return name;
}

// The dense decoder's weights inside a mixture of one expert with an open gate: the same code, the same numbers.
static void check_one_expert(const std::string& shared_layers) {
  const std::string all = "[car, truck, bus, person, bicycle, motorcycle]";
  const Options one = options_with({{"model.experts.groups", "custom"},
                                    {"model.experts.table.all", all},
                                    {"model.experts.top_k", "1"},
                                    {"model.experts.shared_layers", shared_layers}});
  const Options plain = options_with({{"model.experts.kind", "none"}, {"model.queries", "12"}});
  Network mixture(one), dense(plain);
  stir(dense);
  set_gate(mixture, {60});
  {
    const at::NoGradGuard no_grad;
    const auto from = dense.named_parameters();
    for (const auto& item : mixture.named_parameters()) {
      if (item.key().starts_with("decoder.gate.")) continue;
      item.value().copy_(from[dense_name(item.key(), std::stoll(shared_layers))]);
    }
  }
  check_same_detections(mixture, one.groups, dense, plain.groups);
}

static void test_one_expert_is_the_dense_model(void**) {
  check_one_expert("0");
  check_one_expert("1");
}

// Shared layers learn all classes; an expert after them learns its own, from the same denoising queries.
static void test_shared_layers(void**) {
  const auto task = create(config_with(
      {{"model.experts.shared_layers", "1"}, {"model.experts.top_k", "1"}, {"model.denoising.queries", "6"}}));
  set_gate(task->network(), {-9, 4, -9});
  const auto values = step(*task, {batch_of({1, 1}, {1, 0})});  // a truck, a car
  CHECK(values.at("vfl_dn") > 0 && values.at("bbox_aux") > 0 && values.at("bbox") > 0);
  CHECK(gradient(*task, "decoder.shared.layers.") > 0 && gradient(*task, "decoder.shared.dec_score_head.") > 0);
  CHECK(gradient(*task, "decoder.experts.0.layers.") > 0 && gradient(*task, "decoder.experts.1.layers.") > 0);
  CHECK(gradient(*task, "decoder.experts.2.") == 0);
  CHECK(options_with({{"model.experts.shared_layers", "1"}, {"model.experts.kind", "dense_twin"}}).queries == 18);
  const auto wrong = [] { options_with({{"model.experts.shared_layers", "2"}}); };
  CHECK_ERROR(MOE_ERR_CONFIG, "expected fewer than the 2 decoder layers, got 2", wrong());
}

static void test_matches_of_an_expert(void**) {
  const Targets all = golden::targets();  // labels 0 3 5 | 1 1
  const Matches matches = {at::tensor({0, 0, 0, 1, 1}, at::kLong), at::tensor({4, 2, 9, 1, 3}, at::kLong),
                           at::tensor({0, 1, 2, 3, 4}, at::kLong)};
  const Matches small = matches_of(matches, all, {3, 4, 5}, {0, 1});
  CHECK(golden::equal(small.image, {0, 0}) && golden::equal(small.query, {2, 9}) &&
        golden::equal(small.target, {0, 1}));
  const Matches large = matches_of(matches, all, {1, 2}, {1});
  CHECK(golden::equal(large.image, {0, 0}) && golden::equal(large.query, {1, 3}) &&
        golden::equal(large.target, {0, 1}));
  CHECK(matches_of(matches, all, {4}, {0, 1}).target.numel() == 0);
  CHECK(!matches_of({}, all, {4}, {0}).target.defined());
}

static const Settings ffn = {{"model.experts.kind", "ffn"}, {"model.queries", "12"}, {"model.denoising.queries", "6"}};

static Settings ffn_with(const Settings& more) {
  Settings all = ffn;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// One expert that always has the gate 1 is the feed-forward part it stands for.
static void test_one_ffn_expert_is_the_dense_layer(void**) {
  const Options one = options_with(
      ffn_with({{"model.experts.count", "1"}, {"model.experts.top_k", "1"}, {"model.experts.gate", "raw"}}));
  const Options plain = options_with({{"model.experts.kind", "none"}, {"model.queries", "12"}});
  Network mixture(one), dense(plain);
  stir(dense);
  const at::NoGradGuard no_grad;
  const auto from = dense.named_parameters();
  const std::map<std::string, std::string> part_of = {
      {"w1", "linear1.weight"}, {"bias1", "linear1.bias"}, {"w2", "linear2.weight"}, {"bias2", "linear2.bias"}};
  for (const auto& item : mixture.named_parameters()) {
    const size_t at = item.key().find("experts.");
    if (at == std::string::npos) {
      item.value().copy_(from[item.key()]);
    } else if (part_of.count(item.key().substr(at + 8))) {
      item.value()[0].copy_(from[item.key().substr(0, at) + part_of.at(item.key().substr(at + 8))]);
    }
  }
  check_same_detections(mixture, one.groups, dense, plain.groups);
}

// Every router learns from the detection losses and from its own; what it did is counted by class. The second image has
// fewer objects, so some of its denoising queries are padding, which no expert computes.
static void test_ffn_experts_learn(void**) {
  const auto task = create(config_with(ffn_with({{"loss.class_guided", "0.1"}, {"loss.router_z", "0.001"}})));
  const auto values = step(*task, {batch_of({3, 1}, {0, 3, 1})});
  for (const char* term : {"balance", "router_z", "class_guided"}) CHECK(values.at(term) > 0);
  for (const std::string layer : {"0", "1"}) {
    CHECK(gradient(*task, "decoder.decoder.layers." + layer + ".experts.router") > 0);
    CHECK(gradient(*task, "decoder.decoder.layers." + layer + ".experts.w1") > 0);
  }
  const auto stats = task->routing();
  CHECK(stats.size() == 2 && stats[0]->name() == "decoder.decoder.layers.0.experts" && stats[0]->unit() == "query");
  for (moe::RoutingStats* layer : stats) {
    layer->commit();
    const moe::RoutingCounts& counts = layer->window(MOE_WINDOW_LAST_STEP);
    const int64_t groups = 2, tokens = 2 * 12 + groups * 2 * (3 + 1);
    CHECK(counts.tokens == tokens);
    int64_t assigned = 0, with_class = 0;
    for (const int64_t count : counts.assigned) assigned += count;
    for (const int64_t count : counts.by_class) with_class += count;
    CHECK(assigned == 2 * tokens);
    CHECK(with_class == 2 * (4 + groups * 4));  // matched queries and denoising positives, two experts each
  }
  task->predict(batch_of({1}, {0}));

  const auto plain = create(config_with(ffn_with({{"loss.balance", "0"}})));
  step(*plain, {batch_of({3, 1}, {0, 3, 1})});
  for (const std::string layer : {"0", "1"}) {
    CHECK(gradient(*plain, "decoder.decoder.layers." + layer + ".experts.router") > 0);
  }
}

// The window's tokens are known before any forward pass: images of any size and number of objects.
static void test_routed_tokens_are_known_ahead(void**) {
  const auto task = create(config_with(ffn_with({{"model.queries", "90"}, {"loss.balance_over", "micro_batch"}})));
  for (const auto& counts : {std::vector<int64_t>{3, 1}, {0, 0}, {7, 0}}) {
    const Batch batch = batch_of(counts, {0, 3, 1});
    moe::ForwardContext context;
    context.normalizers = task->normalizers(batch);
    for (const moe::RoutingTotals& layer : task->totals(batch, context)) {
      CHECK(static_cast<double>(layer.tokens) == context.normalizers.at("router_tokens"));
    }
  }
}

static moe::PartCost costs(const Options& options) {
  const Network network(options);
  moe::PartCost sum;
  for (const moe::PartCost& part : part_costs(options, network)) {
    sum.parameters += part.parameters;
    sum.active_parameters += part.active_parameters;
    sum.multiply_adds += part.multiply_adds;
  }
  return sum;
}

// A query costs what it costs without experts, and the routers.
static void test_cost_of_ffn_experts(void**) {
  const moe::PartCost with = costs(options_with(ffn_with({{"model.experts.count", "4"}})));
  const moe::PartCost plain = costs(options_with({{"model.experts.kind", "none"}, {"model.queries", "12"}}));
  const int64_t hidden = 32, layers = 2, experts = 4, queries = 12;
  CHECK(with.multiply_adds - plain.multiply_adds == layers * experts * hidden * queries);
  CHECK(with.active_parameters - plain.active_parameters ==
        layers * (experts * hidden + hidden));  // and a second bias2
  CHECK(with.parameters > with.active_parameters);
}

static void test_ffn_settings(void**) {
  CHECK(options_with(ffn_with({{"model.experts.groups", "by_class"}})).decoder.ffn_experts == 6);
  const auto fails = [](const char* part, const char* key, const char* value) {
    CHECK_ERROR(MOE_ERR_CONFIG, part, options_with(ffn_with({{key, value}})));
  };
  fails("model.experts.top_k: expected 1 to 3 (the experts), got 4", "model.experts.top_k", "4");
  fails("model.experts.gate: expected raw with top_k 1", "model.experts.top_k", "1");
  fails("model.experts.shared_layers: expected 0", "model.experts.shared_layers", "1");
  fails("expected a multiple of model.experts.top_k + shared = 3, got 32", "model.experts.top_k", "3");
  const auto guided = [] { options_with(ffn_with({{"loss.class_guided", "0.1"}, {"model.experts.count", "4"}})); };
  CHECK_ERROR(MOE_ERR_CONFIG, "expected model.experts.count to be the 3 groups", guided());
  const auto text = create(config_with(ffn))->summary();
  CHECK(text.find("2 of 3 feed-forward experts a query") != std::string::npos);
}

// Weights of an expert that the gate rules out are never read: they may be NaN.
static void test_ruled_out_experts_are_not_computed(void**) {
  const auto task = create(config_with({}));
  set_gate(task->network(), {-9, 4, -9});
  const at::NoGradGuard no_grad;
  for (const auto& item : task->network().named_parameters()) {
    if (item.key().starts_with("decoder.experts.0.") || item.key().starts_with("decoder.experts.2.")) {
      item.value().fill_(std::nan(""));
    }
  }
  moe::RoutingStats& stats = *task->routing().at(0);
  stats.begin_eval();
  const Batch found = task->predict(batch_of({2, 3}, {0, 1, 3}));
  stats.end_eval();
  CHECK(at::isfinite(found.get("scores")).all().item<bool>() && at::isfinite(found.get("boxes")).all().item<bool>());
  CHECK((found.get("labels") == 0).all().item<bool>());
  const moe::RoutingCounts& counts = stats.window(MOE_WINDOW_LAST_EVAL);
  CHECK(counts.tokens == 2);
  CHECK(counts.computed == std::vector<int64_t>({0, 2, 0}));
}

// In training an expert also sees the images that hold its classes, whatever the gate says.
static void test_truth_is_always_computed(void**) {
  const auto task = create(config_with({{"model.experts.top_k", "1"}}));
  set_gate(task->network(), {-9, 4, -9});
  step(*task, {batch_of({1, 1}, {1, 0})});  // a truck, a car
  task->routing()[0]->commit();
  const moe::RoutingCounts& counts = task->routing()[0]->window(MOE_WINDOW_LAST_STEP);
  CHECK(counts.assigned == std::vector<int64_t>({0, 2, 0}));
  CHECK(counts.computed == std::vector<int64_t>({1, 2, 0}));
  CHECK(gradient(*task, "decoder.experts.0.") > 0 && gradient(*task, "decoder.experts.2.") == 0);
}

static void test_gate_multiplies_scores(void**) {
  const auto task = create(config_with({{"model.experts.top_k", "1"}}));
  stir(task->network());
  set_gate(task->network(), {-9, 40, -9});
  const at::Tensor open = task->predict(batch_of({1}, {0})).get("scores");
  set_gate(task->network(), {-9, 0, -9});
  const at::Tensor half = task->predict(batch_of({1}, {0})).get("scores");
  CHECK((open * 0.5 - half).abs().max().item<double>() < 1e-6);
}

// Not-a-number would be sorted somewhere among the probabilities, and the experts it picks would look chosen.
static void test_broken_gate_is_named(void**) {
  const auto task = create(config_with({}));
  set_gate(task->network(), {0, std::nan(""), 0});
  CHECK_ERROR(MOE_ERR_NUMERIC, "router of decoder.gate: expected finite logits, got NaN or infinity in 2 token(s)",
              task->predict(batch_of({1, 2}, {0})));
}

static void test_no_objects(void**) {
  for (const char* kind : {"none", "ffn", "class_partitioned"}) {
    const auto task = create(config_with({{"model.experts.kind", kind}, {"model.denoising.queries", "6"}}));
    const auto values = step(*task, {batch_of({0, 0}, {0})});
    for (const auto& [name, value] : values) CHECK(std::isfinite(value));
    CHECK(values.at("vfl") > 0 && values.at("bbox") == 0 && values.at("vfl_dn") == 0);
    CHECK(std::isfinite(gradient(*task, "")) && gradient(*task, "backbone.") > 0);
  }
}

// Four micro-batches of 2 against one batch of 8, boxes spread unevenly, one micro-batch without any; fp64 shows that
// nothing but rounding differs.
static void test_accumulation_is_exact(void**) {
  const Batch whole = batch_of({0, 0, 7, 1, 2, 0, 1, 12}, {0, 3, 1, 5, 0});
  const std::vector<Settings> variants = {
      {{"loss.normalize", "all"}},
      {{"loss.normalize", "expert"}},
      {{"model.experts.shared_layers", "1"}},
      {{"model.experts.kind", "ffn"}, {"model.queries", "12"}, {"loss.balance", "1"}, {"loss.router_z", "1"}},
      {{"model.experts.kind", "ffn"},
       {"model.queries", "12"},
       {"model.experts.score", "sigmoid"},
       {"model.experts.shared", "2"},
       {"loss.gshard", "1"},
       {"loss.importance", "1"},
       {"loss.token_entropy", "1"},
       {"loss.marginal_entropy", "1"},
       {"loss.mutual_information", "1"},
       {"loss.limoe", "1"},
       {"loss.class_mutual_information", "1"},
       {"loss.class_guided", "1"}},
      // sums over tokens are exact also where balance is asked for within each micro-batch
      {{"model.experts.kind", "ffn"},
       {"model.queries", "12"},
       {"loss.balance", "0"},
       {"loss.router_z", "1"},
       {"loss.balance_over", "micro_batch"}}};
  for (const auto& settings : variants) {
    std::map<std::string, double> values[2];
    std::vector<at::Tensor> gradients[2];
    for (const bool split : {false, true}) {
      const auto task = create(config_with(settings));
      stir(task->network());
      task->network().to(at::kDouble);
      Batch exact = whole;
      exact.set("images", whole.get("images").to(at::kDouble));
      std::vector<Batch> window = {exact};
      if (split) window = {rows(exact, 0, 2), rows(exact, 2, 4), rows(exact, 4, 6), rows(exact, 6, 8)};
      values[split] = step(*task, window, /*fixed_norms=*/true);
      for (const auto& item : task->network().named_parameters()) {
        if (item.value().grad().defined()) gradients[split].push_back(item.value().grad().flatten());
      }
    }
    for (const auto& [name, value] : values[0]) CHECK_NEAR(values[1].at(name), value, 1e-9);
    const at::Tensor one = at::cat(gradients[0]), many = at::cat(gradients[1]);
    CHECK((one - many).norm().item<double>() < 1e-6 * one.norm().item<double>());
  }
}

static void test_bad_batches(void**) {
  const auto task = create(config_with({}));
  Batch batch = batch_of({4}, {0});
  moe::check_batch(task->batch_spec(), batch, true);
  task->check(batch);
  batch.set("labels", at::tensor({0, 1, 2, 9}, at::kLong));
  CHECK_ERROR(MOE_ERR_DATA, "labels: expected class ids 0..5, got 9 at row 3", task->check(batch));
  batch = batch_of({4}, {0});
  batch.get("boxes")[2][2] = 0;
  CHECK_ERROR(MOE_ERR_DATA, "at row 2", task->check(batch));
  batch.set("images", at::zeros({1, 3, 16, 64}));
  CHECK_ERROR(MOE_ERR_SHAPE, "32 pixels or more", task->check(batch));
}

static void test_prediction_and_picture(void**) {
  const auto task = create(config_with({{"model.max_detections", "20"}}));
  Batch batch = batch_of({1, 2}, {0, 3});
  batch.set("image_ids", at::tensor({7, 8}, at::kLong));
  const Batch found = task->predict(batch);
  CHECK(golden::equal(found.get("offsets"), {0, 20, 40}) && found.has("image_ids"));
  const at::Tensor scores = found.get("scores").slice(0, 0, 20);
  CHECK((scores.diff() <= 0).all().item<bool>());
  const at::Tensor picture = task->draw(batch, found, 1, 0.0);
  CHECK(picture.sizes() == at::IntArrayRef({64, 64, 3}) && picture.scalar_type() == at::kByte);
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "expected a sample 0..1, got 2", task->draw(batch, found, 2, 0.0));
  const auto refuse = [&](moe_status status, const char* part, const char* name, const at::Tensor& value) {
    Batch wrong = found;
    wrong.set(name, value);
    CHECK_ERROR(status, part, task->draw(batch, wrong, 0, 0.0));
  };
  refuse(MOE_ERR_DATA, "labels: expected class ids 0..5, got 6 at row 0", "labels", at::full({40}, 6, at::kLong));
  refuse(MOE_ERR_DATA, "40 rows of boxes", "offsets", at::tensor({0, 20, 80}, at::kLong));
  refuse(MOE_ERR_DATA, "39 rows of scores", "scores", at::zeros({39}));
  refuse(MOE_ERR_SHAPE, "boxes: expected [N, 4]", "boxes", at::zeros({40}));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected a tensor \"boxes\"", task->draw(batch, Batch(), 0, 0.0));
  CHECK(task->summary().find("expert 2 small: person, bicycle, motorcycle") != std::string::npos);
}

// The router had no path from any loss; now it learns which classes are in the image.
static void defect_10_gate_learns(void**) {
  const auto task = create(config_with({}));
  const Batch batch = batch_of({2, 1}, {0, 3});
  const double before = step(*task, {batch}).at("gate");
  CHECK(gradient(*task, "decoder.gate.") > 0);
  const at::NoGradGuard no_grad;
  for (const auto& item : task->network().named_parameters()) {
    if (item.key().starts_with("decoder.gate.")) item.value().sub_(0.02 * item.value().grad());
  }
  at::AutoGradMode with_grad(true);
  CHECK(step(*task, {batch}).at("gate") < before);
}

// Every expert was trained on every object; now on those of its classes.
static void defect_13_experts_see_their_own_classes(void**) {
  const Options options = options_with();
  const Targets all = golden::targets();  // labels 0 3 5 | 1 1
  const Targets small = targets_of(all, options.groups.classes[2], {0, 1});
  CHECK(golden::equal(small.labels, {0, 2}) && small.offsets == std::vector<int64_t>({0, 2, 2}));
  CHECK(at::equal(small.boxes, all.boxes.slice(0, 1, 3)));
  const Targets large = targets_of(all, options.groups.classes[0], {1});
  CHECK(golden::equal(large.labels, {0, 0}) && large.offsets == std::vector<int64_t>({0, 2}));
  const at::Tensor present = presence(all, options.groups).to(at::kLong).flatten();
  CHECK(golden::equal(present, {0, 1, 1, 1, 0, 0}));
}

// Validation took a softmax over classes, which finds an object everywhere; scores of an untrained model stay at the
// prior.
static void defect_16_background_scores_low(void**) {
  const auto task = create(config_with({}));
  set_gate(task->network(), {9, 9, 9});
  const at::Tensor scores = task->predict(batch_of({0}, {0})).get("scores");
  CHECK(scores.max().item<double>() < 0.1);
}

// Outputs of different experts' queries were averaged; now every detection is one query of one expert.
static void defect_9_experts_are_merged_by_score(void**) {
  const Prediction first = {at::full({1, 1, 1}, 2.0), at::full({1, 1, 4}, 0.1)};
  const Prediction second = {at::full({1, 1, 1}, 3.0), at::full({1, 1, 4}, 0.9)};
  NetworkOutput out;
  for (const Prediction& prediction : {first, second}) {
    ExpertOutput expert;
    expert.expert = static_cast<int64_t>(out.experts.size());
    expert.images = {0};
    expert.layers = {prediction};
    out.experts.push_back(expert);
  }
  out.gate.probabilities = at::tensor({1.0, 0.5}).view({1, 2});
  const Detections best = best_detections(out, {{"a", "b"}, {{1}, {0}}}, 1, 300);
  CHECK(golden::equal(best.labels, {1, 0}));
  CHECK_NEAR(best.boxes[0][0].item<double>(), 0.1, 1e-6);
  CHECK_NEAR(best.boxes[1][0].item<double>(), 0.9, 1e-6);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_tables),
      cmocka_unit_test(test_custom_tables),
      cmocka_unit_test(test_choice),
      cmocka_unit_test(test_one_expert_is_the_dense_model),
      cmocka_unit_test(test_shared_layers),
      cmocka_unit_test(test_matches_of_an_expert),
      cmocka_unit_test(test_one_ffn_expert_is_the_dense_layer),
      cmocka_unit_test(test_ffn_experts_learn),
      cmocka_unit_test(test_routed_tokens_are_known_ahead),
      cmocka_unit_test(test_cost_of_ffn_experts),
      cmocka_unit_test(test_ffn_settings),
      cmocka_unit_test(test_ruled_out_experts_are_not_computed),
      cmocka_unit_test(test_truth_is_always_computed),
      cmocka_unit_test(test_gate_multiplies_scores),
      cmocka_unit_test(test_broken_gate_is_named),
      cmocka_unit_test(test_no_objects),
      cmocka_unit_test(test_accumulation_is_exact),
      cmocka_unit_test(test_bad_batches),
      cmocka_unit_test(test_prediction_and_picture),
      cmocka_unit_test(defect_10_gate_learns),
      cmocka_unit_test(defect_13_experts_see_their_own_classes),
      cmocka_unit_test(defect_16_background_scores_low),
      cmocka_unit_test(defect_9_experts_are_merged_by_score),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
