// RT-DETRv2 without experts against the official code: forward numbers and a training step in fp64 on a hash-filled
// R18, parameter counts and names, anchors, query selection, autocast, checkpointing, post-processing, cost summary.
#include "models/rtdetr/losses.h"
#include "models/rtdetr/network.h"
#include "models/rtdetr/postprocess.h"
#include "models/rtdetr/summary.h"
#include "nn/boxes.h"
#include "rtdetr_golden.h"
#include "support/fail_alloc.h"
#include "tensor/scope.h"

using namespace moe::rtdetr;

static Options options_with(int64_t classes) {
  Options out;
  for (int64_t c = 0; c < classes; ++c) out.classes.push_back(std::to_string(c));
  out.groups = one_group(out.classes);
  out.denoising.queries = 0;
  return out;
}

static std::shared_ptr<Network> hash_filled() {
  auto network = std::make_shared<Network>(options_with(6));
  network->to(at::kDouble);
  hash_fill::fill(*network, "");
  return network;
}

// A small network for tests that need no golden numbers.
static Options small_options() {
  Options out = options_with(3);
  out.backbone.width = 0.125;
  out.encoder.hidden = out.decoder.hidden = 32;
  out.encoder.heads = out.decoder.heads = 4;
  out.encoder.ffn = out.decoder.ffn = 32;
  out.queries = 12;
  return out;
}

template <typename Type>
static Type& part(Network& network, const std::string& name) {
  return *std::dynamic_pointer_cast<Type>(network.named_modules()[name]);
}

static void check_sums(const at::Tensor& x, double sum, double mean_abs, std::vector<double> first) {
  CHECK_NEAR(x.sum().item<double>(), sum, 1e-8);
  CHECK_NEAR(x.abs().mean().item<double>(), mean_abs, 1e-7);
  const at::Tensor flat = x.flatten();
  for (size_t i = 0; i < first.size(); ++i) CHECK_NEAR(flat[static_cast<int64_t>(i)].item<double>(), first[i], 1e-6);
}

static void test_golden_selection(void**) {
  const auto network = hash_filled();
  network->eval();
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> maps =
      part<HybridEncoder>(*network, "encoder")
          .forward(part<Backbone>(*network, "backbone").forward(hash_fill::uniform("input", {1, 3, 256, 256})));
  for (size_t l = 0; l < maps.size(); ++l) {
    maps[l] = part<moe::nn::ConvNorm>(*network, "decoder.input_proj." + std::to_string(l)).forward(maps[l]);
  }
  const Memory memory = flatten_maps(maps);
  CHECK(memory.valid.sum().item<double>() == 1344);
  check_sums(memory.tokens, -1251.622281, 0.06010853, {-.078241, -.011029, .022632});
  const at::Tensor features = part<EncoderOutput>(*network, "decoder.enc_output").forward(memory.tokens);
  const at::Tensor scores = part<ScoreHead>(*network, "decoder.enc_score_head").forward(features);
  check_sums(scores, 2860.220504, 0.77243726, {.967826, -.815924, .512848});
  CHECK_NEAR(scores.max().item<double>(), 2.15848106, 1e-8);
  check_sums(part<BoxHead>(*network, "decoder.enc_bbox_head").forward(features), 522.918580, 0.24205179,
             {.200930, .366984, -.210628});
}

static void test_golden_forward(void**) {
  const auto network = hash_filled();
  network->eval();
  const at::NoGradGuard no_grad;
  const NetworkOutput out =
      network->forward(hash_fill::uniform("input", {1, 3, 256, 256}), nullptr, moe::Rng(0, "test"));
  const Prediction& last = out.experts.at(0).layers.at(0);
  check_sums(last.logits, 664.078212, 0.84893237, {2.184831, -1.117449, -.102158});
  check_sums(last.boxes, 334.600627, 0.27883386, {.952712, .952363, .070358});
  const Detections best = best_detections(out, one_group({"0", "1", "2", "3", "4", "5"}), 1, 300);
  CHECK(best.scores.numel() == 300 && golden::equal(best.labels.slice(0, 0, 5), {0, 0, 0, 0, 0}));
  const double scores[5] = {.905503, .905395, .905392, .903374, .902673}, box[4] = {.944792, .890342, .010240, .013754};
  for (int64_t i = 0; i < 5; ++i) CHECK_NEAR(best.scores[i].item<double>(), scores[i], 1e-6);
  for (int64_t i = 0; i < 4; ++i) CHECK_NEAR(best.boxes[0][i].item<double>(), box[i], 1e-6);
}

// `allocations`: where not NULL, gets the number of tensors that the backward pass allocates.
static std::map<std::string, double> run_losses(Network& network, const Options& options, const at::Tensor& images,
                                                const Targets& targets, int64_t* allocations = nullptr) {
  moe::ForwardContext context;
  context.normalizers = count_boxes(options, targets.labels);
  context.window_samples = static_cast<double>(images.size(0));
  const NetworkOutput out = network.forward(images, &targets, context.rng);
  at::Tensor total = at::zeros({}, at::kDouble);
  std::map<std::string, double> values;
  for (const moe::LossTerm& term : losses(options, out, targets, context)) {
    values[term.name] = term.value.item<double>();
    total = total + term.value;
  }
  values["total"] = total.item<double>();
  if (allocations) fail_alloc::start(fail_alloc::tensors);
  total.backward();
  if (allocations) *allocations = fail_alloc::stop();
  return values;
}

static std::map<std::string, double> gradient_norms(const Network& network) {
  std::map<std::string, double> out;
  double sum = 0;
  for (const auto& item : network.named_parameters()) {
    if (!item.value().grad().defined()) continue;
    const double norm = item.value().grad().to(at::kDouble).norm().item<double>();
    out[item.key()] = norm;
    sum += norm * norm;
  }
  out["total"] = std::sqrt(sum);
  return out;
}

static void test_golden_step(void**) {
  const auto network = hash_filled();
  network->train();
  const auto values =
      run_losses(*network, options_with(6), hash_fill::uniform("input", {2, 3, 256, 256}), golden::targets());
  const std::map<std::string, double> wanted = {
      {"vfl", 298.918165},
      {"bbox", 1.915145},
      {"giou", 2.043880},
      {"vfl_aux", 152.596299 + 170.626965},
      {"bbox_aux", 1.686484 + 1.607518},
      {"giou_aux", 2.418021 + 1.637957},
      {"vfl_enc", 306.952328},
      {"bbox_enc", 1.748765},
      {"giou_enc", 2.040659},
      {"total", 944.1921848},
  };
  CHECK(values.size() == wanted.size());
  for (const auto& [name, value] : wanted) CHECK_NEAR(values.at(name), value, 2e-6);
  CHECK_NEAR(values.at("total"), 944.1921848, 1e-9);

  const auto norms = gradient_norms(*network);
  CHECK_NEAR(norms.at("total"), 5117.300524, 1e-8);
  CHECK_NEAR(norms.at("backbone.conv1.conv1_1.conv.weight"), 933.181111, 1e-7);
  CHECK_NEAR(norms.at("encoder.encoder.0.layers.0.self_attn.in_proj_weight"), 53.200814, 1e-7);
  CHECK_NEAR(norms.at("decoder.enc_bbox_head.layers.0.weight"), 18.195513, 1e-7);
  CHECK_NEAR(norms.at("decoder.dec_bbox_head.0.layers.0.weight"), 20.699714, 1e-7);
  CHECK_NEAR(norms.at("decoder.decoder.layers.0.cross_attn.sampling_offsets.weight"), 15.364123, 1e-7);
  for (const auto& item : network->named_parameters()) {
    CHECK(item.value().grad().defined() == (item.key() != "decoder.denoising_class_embed.weight"));
  }
}

static void test_counts(void**) {
  struct Variant {
    int64_t depth, layers, hidden, ffn, count, decoder;
    double expansion;
    bool frozen;
  };
  const Variant variants[] = {
      {18, 3, 256, 1024, 20184464, 4019376, 0.5, false},
      {50, 6, 256, 1024, 36593772, 7466508, 0.5, true},
  };
  for (const Variant& v : variants) {
    Options options = options_with(80);
    options.backbone.depth = v.depth;
    options.backbone.freeze_norm = v.frozen;
    options.decoder.layers = v.layers;
    options.encoder.expansion = v.expansion;
    const Network network(options);
    int64_t count = 0, decoder = 0;
    for (const auto& item : network.named_parameters()) {
      count += item.value().numel();
      if (item.key().starts_with("decoder.")) decoder += item.value().numel();
      CHECK(at::isfinite(item.value()).all().item<bool>());
    }
    CHECK(count == v.count && decoder == v.decoder);
  }
}

static void test_start(void**) {
  const Options options = small_options();
  const Network network(options);
  const auto values = network.named_parameters();
  const auto filled = [&](const char* name, double value) { return (values[name] == value).all().item<bool>(); };
  CHECK((values["decoder.enc_score_head.bias"] + std::log(99)).abs().max().item<double>() < 1e-6);
  CHECK((values["decoder.dec_score_head.2.bias"] + std::log(99)).abs().max().item<double>() < 1e-6);
  CHECK(filled("decoder.dec_bbox_head.1.layers.2.weight", 0) && filled("decoder.enc_bbox_head.layers.2.bias", 0));
  CHECK((values["decoder.denoising_class_embed.weight"][3] == 0).all().item<bool>());
  const Network same(options);
  for (const auto& item : same.named_parameters()) CHECK(at::equal(item.value(), values[item.key()]));
}

static void test_anchors(void**) {
  const Anchors anchors = make_anchors({{80, 80}, {40, 40}, {20, 20}}, at::kDouble);
  const at::Tensor valid = anchors.valid.flatten() > 0;
  CHECK((valid.logical_not()).sum().item<int64_t>() == 316);
  const at::Tensor first = anchors.logits.index({valid})[0];
  const double wanted[4] = {-3.957633, -3.957633, -2.944439, -2.944439};
  for (int64_t i = 0; i < 4; ++i) CHECK_NEAR(first[i].item<double>(), wanted[i], 1e-6);
  CHECK(at::isfinite(anchors.logits).all().item<bool>());
  const at::Tensor wide = at::sigmoid(make_anchors({{2, 4}}, at::kDouble).logits);
  CHECK_NEAR(wide[1][0].item<double>(), 0.375, 1e-12);  // x over the width, y over the height
  CHECK_NEAR(wide[1][1].item<double>(), 0.25, 1e-12);
}

static void test_ties_take_the_lower_cell(void**) {
  const at::Tensor scores = at::tensor({1.0, 3.0, 3.0, 2.0, 3.0, 2.0}).view({1, 6});
  CHECK(golden::equal(top_tokens(scores, 4)[0], {1, 2, 4, 3}));
  CHECK(top_tokens(scores, 9).size(1) == 6);
}

static Targets two_objects() {
  return {golden::boxes("tgt", {2, 4}).to(at::kFloat), at::tensor({0, 2}, at::kLong), {0, 2, 2}};
}

// Non-square input with odd maps, denoising, an image without objects, bf16: every parameter that should learn does.
static void test_autocast_learns(void**) {
  Options options = small_options();
  options.denoising.queries = 4;
  Network network(options);
  network.train();
  const at::Tensor images = hash_fill::uniform("images", {2, 3, 70, 100}).to(at::kFloat);
  const moe::AutocastScope autocast(at::kBFloat16);
  const auto values = run_losses(network, options, images, two_objects());
  CHECK(values.at("bbox_dn") > 0 && std::isfinite(values.at("total")));
  for (const auto& item : network.named_parameters()) {
    if (!item.value().grad().defined()) std::fprintf(stderr, "no gradient: %s\n", item.key().c_str());
    CHECK(item.value().grad().defined() && at::isfinite(item.value().grad()).all().item<bool>());
  }
  CHECK(gradient_norms(network).at("decoder.enc_output.proj.weight") > 0);
}

static void test_checkpointing_changes_nothing(void**) {
  const at::Tensor images = hash_fill::uniform("images", {2, 3, 64, 96}).to(at::kFloat);
  std::map<std::string, double> norms[2];
  for (const bool checkpoint : {false, true}) {
    Options options = small_options();
    options.denoising.queries = 4;
    options.backbone.checkpoint = options.encoder.checkpoint = options.decoder.checkpoint = checkpoint;
    Network network(options);
    network.train();
    run_losses(network, options, images, two_objects());
    norms[checkpoint] = gradient_norms(network);
  }
  CHECK(norms[0].size() == norms[1].size());
  for (const auto& [name, norm] : norms[0]) CHECK(norms[1].at(name) == norm);
}

static int64_t backward_allocations(bool backbone, bool encoder, bool decoder) {
  Options options = small_options();
  options.backbone.checkpoint = backbone;
  options.encoder.checkpoint = encoder;
  options.decoder.checkpoint = decoder;
  Network network(options);
  network.train();
  int64_t count = 0;
  run_losses(network, options, hash_fill::uniform("images", {2, 3, 64, 96}).to(at::kFloat), two_objects(), &count);
  return count;
}

// Blocks that are run again allocate again.
static void test_checkpointing_runs_blocks_again(void**) {
  const double plain = static_cast<double>(backward_allocations(false, false, false));
  const auto more = [&](bool backbone, bool encoder, bool decoder) {
    return static_cast<double>(backward_allocations(backbone, encoder, decoder)) / plain;
  };
  const double parts[] = {more(true, false, false), more(false, true, false), more(false, false, true)};
  const double all = more(true, true, true);
  print_message("allocations of the backward pass: backbone x%.3f, encoder x%.3f, decoder x%.3f, all x%.3f\n", parts[0],
                parts[1], parts[2], all);
  for (const double part : parts) CHECK(part > 1.03);
  CHECK(all > 1.2);
  CHECK_NEAR(all - 1, parts[0] + parts[1] + parts[2] - 3, 0.02);
}

static void test_original_pixels(void**) {
  Detections found;
  found.boxes = at::tensor({0.5, 0.5, 0.5, 0.25, 0.5, 0.5, 1.0, 1.0}, at::kFloat).view({2, 4});
  found.offsets = at::tensor({0, 0, 2}, at::kLong);
  moe::Batch batch;
  batch.set("images", at::zeros({2, 3, 100, 200}));
  const at::Tensor plain = original_boxes(found, batch);
  CHECK((plain[0] - at::tensor({50.0, 37.5, 150.0, 62.5})).abs().max().item<double>() < 1e-5);
  batch.set("frames", at::tensor({1.0, 1.0, 0.0, 0.0, 0.5, 0.25, 10.0, 20.0}, at::kFloat).view({2, 4}));
  const at::Tensor moved = original_boxes(found, batch);
  CHECK((moved[0] - at::tensor({80.0, 70.0, 280.0, 170.0})).abs().max().item<double>() < 1e-4);
  batch.set("sizes", at::tensor({100, 200, 160, 270}, at::kLong).view({2, 2}));
  const at::Tensor clipped = original_boxes(found, batch);
  CHECK((clipped[0] - at::tensor({80.0, 70.0, 270.0, 160.0})).abs().max().item<double>() < 1e-4);
  CHECK((clipped[1] - at::tensor({0.0, 0.0, 270.0, 160.0})).abs().max().item<double>() < 1e-4);
}

// Published: 60 G operations (2 per multiply-add) at 640 with fused RepVGG; unfused branches and sampling add a little,
// boxes of selected cells alone take a little away.
static void test_costs(void**) {
  const Options options = options_with(80);
  const Network network(options);
  double sum = 0;
  int64_t parameters = 0;
  for (const moe::PartCost& part : part_costs(options, network)) {
    sum += static_cast<double>(part.multiply_adds);
    parameters += part.parameters;
  }
  CHECK(parameters == 20184464);
  CHECK_NEAR(sum * 2e-9, 60.5, 0.05);
  CHECK(summary_text(options, network).find("20184464") != std::string::npos);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_golden_selection),
      cmocka_unit_test(test_golden_forward),
      cmocka_unit_test(test_golden_step),
      cmocka_unit_test(test_counts),
      cmocka_unit_test(test_start),
      cmocka_unit_test(test_anchors),
      cmocka_unit_test(test_ties_take_the_lower_cell),
      cmocka_unit_test(test_autocast_learns),
      cmocka_unit_test(test_checkpointing_changes_nothing),
      cmocka_unit_test(test_checkpointing_runs_blocks_again),
      cmocka_unit_test(test_original_pixels),
      cmocka_unit_test(test_costs),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
