// The training transaction on a small MoE RT-DETR: a failed step leaves every byte as it was, accumulation equals a
// large batch, checkpoints restore the session to the bit, and the two learning rates go where they should.
#include "support/test.h"
#include "support/tiny.h"

#include "base/files.h"
#include "tensor/scope.h"
#include "train/safetensors.h"
#include "train/session.h"

using namespace moe;

using Settings = std::vector<std::pair<std::string, std::string>>;

static std::unique_ptr<Session> make(const Settings& overrides = {}) {
  return std::make_unique<Session>(tiny::config(overrides), Log());
}

static StepInfo train(Session& session, const std::vector<Batch>& window) {
  for (const Batch& batch : window) session.feed(batch);
  return session.step();
}

static void test_same_seed_same_bits(void**) {
  const auto a = make(), b = make();
  CHECK(a->digest() == b->digest());
  const uint64_t before = a->digest();
  for (uint64_t i = 0; i < 3; ++i) {
    const StepInfo one = train(*a, {tiny::batch(i, {2, 3})});
    const StepInfo two = train(*b, {tiny::batch(i, {2, 3})});
    CHECK(one.loss == two.loss);
    CHECK(one.step == static_cast<int64_t>(i) + 1);
  }
  CHECK(a->digest() == b->digest());
  CHECK(a->digest() != before);
}

static void test_loss_falls(void**) {
  const auto session = make();
  const Batch batch = tiny::batch(1, {2, 3});
  const double first = train(*session, {batch}).loss;
  double last = 0;
  for (int i = 0; i < 80; ++i) last = train(*session, {batch}).loss;
  print_message("loss %g, after 80 steps %g\n", first, last);
  CHECK(last < 0.7 * first);
}

static Settings with(Settings settings, const Settings& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

// No decay, no clipping.
static Settings sgd(const std::string& momentum) {
  return {{"optimizer.kind", "sgd"},
          {"optimizer.momentum", momentum},
          {"optimizer.weight_decay", "0"},
          {"train.clip_norm", "0"}};
}

// SGD's momentum starts at zero, so after one step it is the gradient. fp64, all parameters in one row.
static at::Tensor gradients_of_first_step(Session& session) {
  TemporaryFolder folder;
  session.save(folder / "c.safetensors");
  std::vector<at::Tensor> all;
  for (const auto& [name, tensor] : load_safetensors(folder / "c.safetensors").tensors) {
    if (name.starts_with("optimizer.momentum.")) all.push_back(tensor.to(at::kDouble).flatten());
  }
  return at::cat(all);
}

static std::vector<Batch> pairs_of_images(const Batch& whole, int64_t images) {
  std::vector<Batch> parts;
  for (int64_t i = 0; i < images; i += 2) {
    const at::Tensor offsets = whole.get("offsets");
    const int64_t from = offsets[i].item<int64_t>(), to = offsets[i + 2].item<int64_t>();
    Batch part;
    part.set("images", whole.get("images").slice(0, i, i + 2));
    part.set("boxes", whole.get("boxes").slice(0, from, to));
    part.set("labels", whole.get("labels").slice(0, from, to));
    part.set("offsets", (offsets.slice(0, i, i + 3) - from).contiguous());
    parts.push_back(part);
  }
  return parts;
}

// The same gradient from one batch of 8 and from four of 2 with unevenly spread boxes. BatchNorm is frozen, because it
// sees micro-batches; denoising is off, because its groups depend on the micro-batch.
static void check_accumulation(Settings settings) {
  settings = with(with(settings, sgd("0.9")), {{"train.freeze_norm", "true"}, {"model.denoising.queries", "0"}});
  const Batch whole = tiny::batch(11, {5, 0, 1, 1, 0, 0, 7, 2});
  const auto one = make(settings), four = make(settings);
  const StepInfo a = train(*one, {whole}), b = train(*four, pairs_of_images(whole, 8));
  CHECK(b.micro_batches == 4 && b.samples == 8);
  CHECK_NEAR(b.loss / a.loss, 1.0, 1e-6);
  CHECK_NEAR(b.grad_norm / a.grad_norm, 1.0, 1e-6);
  for (size_t i = 0; i < a.terms.size(); ++i) CHECK_NEAR(b.terms[i].second, a.terms[i].second, 1e-5);
  const at::Tensor wanted = gradients_of_first_step(*one), got = gradients_of_first_step(*four);
  const double error = (got - wanted).norm().item<double>() / wanted.norm().item<double>();
  print_message("relative error of the gradient %g\n", error);
  CHECK(error < 1e-6);
  CHECK_NEAR(wanted.norm().item<double>() / a.grad_norm, 1.0, 1e-6);
}

static void test_accumulation_equals_large_batch(void**) {
  check_accumulation({});
  check_accumulation({{"model.experts.kind", "ffn"}, {"loss.balance", "1"}, {"loss.class_guided", "1"}});
}

static const Settings with_bias = {
    {"model.experts.kind", "ffn"}, {"model.experts.score", "sigmoid"}, {"model.experts.bias_rate", "0.125"}};

static at::Tensor router_bias(Session& session, int64_t layer) {
  return session.task().network().named_buffers()[text("decoder.decoder.layers.", layer, ".experts.router_bias")];
}

// Balance without a loss: once a step, by the sign of what the step's whole window counted. A pass that asks for the
// window's totals, and one that recomputes activations, count nothing.
static void test_bias_moves_once_a_step(void**) {
  const auto session = make(with_bias), saved = make(with(with_bias, {{"train.checkpoint_activations", "true"}}));
  at::Tensor wanted[2] = {at::zeros({3}), at::zeros({3})};
  for (uint64_t step = 0; step < 3; ++step) {
    const std::vector<Batch> window = {tiny::batch(step, {2, 3}), tiny::batch(step + 9, {1})};
    train(*session, window);
    train(*saved, window);
    for (int64_t layer = 0; layer < 2; ++layer) {
      const RoutingCounts& counts = session->routing()[static_cast<size_t>(layer)]->window(MOE_WINDOW_LAST_STEP);
      const at::Tensor chosen = at::tensor(counts.assigned).to(at::kDouble);
      CHECK(counts.tokens >= 3 * 20);
      wanted[layer] += 0.125 * (chosen.mean() - chosen).sign().to(at::kFloat);
      CHECK(at::equal(router_bias(*session, layer), wanted[layer]));
      CHECK(at::equal(router_bias(*saved, layer), wanted[layer]));
    }
  }
  CHECK(wanted[0].abs().max().item<double>() > 0);
  CHECK(session->digest() == saved->digest());
}

static void test_bias_is_part_of_the_transaction(void**) {
  TemporaryFolder folder;
  const auto session = make(with(with_bias, {{"ema.decay", "0.9"}}));
  train(*session, {tiny::batch(1, {2, 3})});
  const uint64_t before = session->digest();
  const at::Tensor bias = router_bias(*session, 0).clone();
  session->request_stop();
  CHECK_ERROR(MOE_ERR_CANCELLED, "nothing was changed", train(*session, {tiny::batch(2, {1}), tiny::batch(3, {1})}));
  CHECK(session->digest() == before && at::equal(router_bias(*session, 0), bias));
  session->predict(tiny::batch(2, {1}));
  CHECK(session->digest() == before);
  session->save(folder / "c.safetensors");
  for (uint64_t i = 2; i < 5; ++i) train(*session, {tiny::batch(i, {2, 1}), tiny::batch(i + 9, {3})});
  CHECK(!at::equal(router_bias(*session, 0), bias));
  const auto again = Session::open(folder / "c.safetensors", Log());
  for (uint64_t i = 2; i < 5; ++i) train(*again, {tiny::batch(i, {2, 1}), tiny::batch(i + 9, {3})});
  CHECK(again->digest() == session->digest());
}

// The pass ahead leaves BatchNorm's buffers and the statistics as they were.
static void test_totals_leave_no_trace(void**) {
  const Settings ffn = {{"model.experts.kind", "ffn"}, {"loss.balance", "0"}};
  const std::vector<Batch> window = {tiny::batch(1, {2, 3}), tiny::batch(2, {1, 1})};
  const auto plain = make(ffn), tiny_weight = make(with(ffn, {{"loss.balance", "1e-30"}}));
  train(*plain, window);
  train(*tiny_weight, window);
  CHECK(plain->routing()[0]->save_counts() == tiny_weight->routing()[0]->save_counts());
  const auto buffers = tiny_weight->task().network().named_buffers();
  for (const auto& item : plain->task().network().named_buffers()) CHECK(at::equal(item.value(), buffers[item.key()]));
}

static void test_bad_batches_are_refused_and_nothing_is_queued(void**) {
  const auto session = make();
  const uint64_t before = session->digest();
  Batch bad = tiny::batch(1, {2, 3});
  bad.get("images")[0][0][0][0] = std::nan("");
  CHECK_ERROR(MOE_ERR_NUMERIC, "images: expected finite values", session->feed(bad));
  bad = tiny::batch(1, {2, 3});
  bad.get("labels")[1] = 9;
  CHECK_ERROR(MOE_ERR_DATA, "labels", session->feed(bad));
  bad = tiny::batch(1, {2, 3});
  bad.set("boxes", bad.get("boxes").to(at::kDouble));
  CHECK_ERROR(MOE_ERR_DTYPE, "boxes: expected float32, got float64", session->feed(bad));
  bad = tiny::batch(1, {2, 3});
  bad.set("offsets", at::tensor(std::vector<int64_t>{0, 2, 4}, at::kLong));
  CHECK_ERROR(MOE_ERR_DATA, "offsets", session->feed(bad));
  bad = tiny::batch(1, {2, 3});
  bad.set("images", bad.get("images").slice(1, 0, 2));
  CHECK_ERROR(MOE_ERR_SHAPE, "images: expected [B, 3, H, W]", session->feed(bad));
  CHECK(session->queued() == 0);
  CHECK_ERROR(MOE_ERR_STATE, "step: expected at least one batch", session->step());
  CHECK(session->digest() == before);
  train(*session, {tiny::batch(1, {2, 3})});
}

static at::Tensor weight(Session& session, const std::string& name) {
  return session.task().network().named_parameters(true)[name];
}

// Everything a step may touch, as bytes: weights, buffers, optimizer, EMA, and the statistics.
static std::string state_of(Session& session) {
  std::string out =
      std::to_string(session.digest()) + "/" + session.get("state.step") + "/" + session.get("state.samples");
  for (const RoutingStats* stats : session.routing()) {
    for (const int64_t count : stats->save_counts()) out += "," + std::to_string(count);
  }
  return out;
}

static void test_non_finite_loss_leaves_every_byte(void**) {
  const auto session = make({{"ema.decay", "0.9"}, {"model.experts.kind", "none"}});
  train(*session, {tiny::batch(1, {2, 3})});
  at::Tensor scores = weight(*session, "decoder.dec_score_head.1.weight");
  const at::Tensor good = scores.detach().clone();
  {
    at::NoGradGuard no_grad;
    scores.fill_(std::numeric_limits<float>::infinity());
  }
  const std::string before = state_of(*session);
  CHECK_ERROR(MOE_ERR_NUMERIC, "decoder layer 1: expected finite logits and boxes",
              train(*session, {tiny::batch(2, {2, 3})}));
  CHECK(state_of(*session) == before);
  CHECK(session->queued() == 0);
  {
    at::NoGradGuard no_grad;
    scores.copy_(good);
  }
  const auto twin = make({{"ema.decay", "0.9"}, {"model.experts.kind", "none"}});
  train(*twin, {tiny::batch(1, {2, 3})});
  CHECK(train(*session, {tiny::batch(2, {2, 3})}).loss == train(*twin, {tiny::batch(2, {2, 3})}).loss);
  CHECK(state_of(*session) == state_of(*twin));
}

// The loss is finite, one gradient is not: the error names its parameter.
static void test_non_finite_loss_is_named(void**) {
  const auto session = make({{"loss.giou", "1e39"}, {"train.amp", "off"}});
  const std::string before = state_of(*session);
  session->feed(tiny::batch(1, {2, 3}));
  session->feed(tiny::batch(2, {9, 9}));
  CHECK_ERROR(MOE_ERR_NUMERIC, "loss term giou: expected a finite value, got inf in micro-batch", session->step());
  CHECK(state_of(*session) == before && session->queued() == 0);
}

static void test_non_finite_gradient_is_named(void**) {
  const auto session = make({{"ema.decay", "0.9"}}), twin = make({{"ema.decay", "0.9"}});
  for (Session* each : {session.get(), twin.get()}) train(*each, {tiny::batch(1, {2, 3})});
  const std::string name = "encoder.input_proj.1.conv.weight", before = state_of(*session);
  const at::Tensor parameter = weight(*session, name);
  const unsigned hook = parameter.register_hook(
      [](const at::Tensor& gradient) { return gradient * std::numeric_limits<float>::infinity(); });
  CHECK_ERROR(MOE_ERR_NUMERIC, "gradient of \"" + name + "\": expected finite values",
              train(*session, {tiny::batch(2, {2, 3})}));
  CHECK(state_of(*session) == before);
  parameter.remove_hook(hook);
  for (Session* each : {session.get(), twin.get()}) train(*each, {tiny::batch(2, {2, 3})});
  CHECK(state_of(*session) == state_of(*twin));
}

static at::Tensor all_weights(Session& session) {
  std::vector<at::Tensor> all;
  for (const auto& item : session.task().network().named_parameters(true)) {
    all.push_back(item.value().detach().to(at::kDouble).flatten());
  }
  return at::cat(all);
}

// Plain SGD moves the weights by rate x clipped gradient, whose norm is the limit.
static void test_gradients_are_clipped_to_the_norm(void**) {
  const auto session = make(with(sgd("0"), {{"optimizer.lr", "100"}, {"train.clip_norm", "1e-3"}}));
  const at::Tensor before = all_weights(*session);
  const StepInfo info = train(*session, {tiny::batch(1, {2, 3})});
  CHECK(info.grad_norm > 1);
  CHECK_NEAR((all_weights(*session) - before).norm().item<double>() / (100 * 1e-3), 1.0, 1e-4);
}

static void test_stop_request_changes_nothing(void**) {
  const auto session = make();
  train(*session, {tiny::batch(1, {2, 3})});
  const std::string before = state_of(*session);
  session->request_stop();
  CHECK_ERROR(MOE_ERR_CANCELLED, "nothing was changed", train(*session, {tiny::batch(2, {1}), tiny::batch(3, {1})}));
  CHECK(state_of(*session) == before);
  train(*session, {tiny::batch(2, {1})});
}

static void test_fp16_overflow_skips_the_step(void**) {
  const auto session = make({{"train.amp", "fp16"}, {"scaler.initial", "1e30"}});
  const std::string digest = session->get("state.digest");
  const at::Tensor before = session->task().network().named_parameters(true)[0].value().detach().clone();
  const StepInfo info = train(*session, {tiny::batch(1, {1, 1}, 32)});
  CHECK(info.skipped);
  CHECK(session->get("scaler.scale") == "5e+29");
  CHECK(at::equal(before, session->task().network().named_parameters(true)[0].value()));
  CHECK(session->steps() == 1);
}

// The gradients are those of fp32 but for half precision, nothing is skipped, and the scale doubles every third step.
static void test_fp16_trains(void**) {
  const Batch batch = tiny::batch(1, {2, 3});
  const auto session = make({{"train.amp", "fp16"}, {"scaler.initial", "256"}, {"scaler.growth_interval", "3"}});
  const double exact = train(*make(), {batch}).grad_norm;
  StepInfo info = train(*session, {batch});
  const double first = info.loss;
  print_message("gradient norm %g in fp16, %g in fp32\n", info.grad_norm, exact);
  CHECK_NEAR(info.grad_norm / exact, 1.0, 0.02);
  for (int i = 1; i < 10; ++i) {
    info = train(*session, {batch});
    CHECK(!info.skipped);
  }
  CHECK(info.loss < first);
  CHECK(session->get("scaler.scale") == "2048");
}

static void test_checkpoint_restores_to_the_bit(void**) {
  TemporaryFolder folder;
  const Settings settings = {{"ema.decay", "0.99"}, {"train.amp", "bf16"}};
  const auto a = make(settings);
  for (uint64_t i = 0; i < 3; ++i) train(*a, {tiny::batch(i, {2, 3})});
  a->save(folder / "c.safetensors");
  for (uint64_t i = 3; i < 5; ++i) train(*a, {tiny::batch(i, {2, 3})});

  const auto b = make(settings);
  b->load(folder / "c.safetensors");
  for (uint64_t i = 3; i < 5; ++i) train(*b, {tiny::batch(i, {2, 3})});
  CHECK(state_of(*a) == state_of(*b));

  const auto c = Session::open(folder / "c.safetensors", Log());
  for (uint64_t i = 3; i < 5; ++i) train(*c, {tiny::batch(i, {2, 3})});
  CHECK(state_of(*a) == state_of(*c));
}

// The C boundary keeps the caller's autocast out with a scope around the whole call, which may train many steps: each
// must cast the weights that the one before has changed.
static void test_every_step_casts_the_new_weights(void**) {
  const auto alone = make({{"train.amp", "bf16"}}), within = make({{"train.amp", "bf16"}});
  for (uint64_t i = 0; i < 3; ++i) train(*alone, {tiny::batch(i, {2, 3})});
  {
    const AutocastScope caller(std::nullopt);
    for (uint64_t i = 0; i < 3; ++i) train(*within, {tiny::batch(i, {2, 3})});
  }
  CHECK(state_of(*alone) == state_of(*within));
}

static void test_wrong_checkpoints_change_nothing(void**) {
  TemporaryFolder folder;
  const auto session = make();
  train(*session, {tiny::batch(1, {2, 3})});
  const std::string before = state_of(*session);
  make({{"model.hidden", "64"}})->save(folder / "other.safetensors");
  CHECK_ERROR(MOE_ERR_DATA, "the checkpoint is of another model", session->load(folder / "other.safetensors"));
  make({{"model.decoder.layers", "3"}, {"ema.decay", "0.9"}})->save(folder / "larger.safetensors");
  CHECK_ERROR(
      MOE_ERR_DATA,
      "expected no tensor model.decoder.experts.0.dec_bbox_head.2.layers.0.bias: the checkpoint is of another model",
      session->load(folder / "larger.safetensors"));
  make({{"ema.decay", "0.9"}})->save(folder / "averaged.safetensors");
  CHECK_ERROR(MOE_ERR_DATA, "expected no tensor ema.", session->load(folder / "averaged.safetensors"));
  session->save(folder / "own.safetensors");
  const std::string whole = read_file(folder / "own.safetensors");
  write_file_atomic(folder / "short.safetensors", whole.substr(0, whole.size() - 7));
  CHECK_ERROR(MOE_ERR_DATA, "short.safetensors", session->load(folder / "short.safetensors"));
  std::string flipped = whole;
  flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 4);
  write_file_atomic(folder / "flipped.safetensors", flipped);
  CHECK_ERROR(MOE_ERR_DATA, "checksum", session->load(folder / "flipped.safetensors"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.safetensors", session->load(folder / "absent.safetensors"));
  CHECK(state_of(*session) == before);
  session->load(folder / "own.safetensors");
  CHECK(state_of(*session) == before);
}

static void test_pretrained_tensors_get_their_own_rate(void**) {
  TemporaryFolder folder;
  make({{"seed", "9"}})->save(folder / "old.safetensors");
  const Settings settings = {{"model.pretrained", folder / "old.safetensors"},
                             {"model.experts.groups", "by_class"},
                             {"optimizer.groups.pretrained.lr", "1e-5"},
                             {"optimizer.groups.new.lr", "1e-4"}};
  const auto session = make(settings);
  CHECK(session->get("optimizer.groups.pretrained.lr") == "1e-05");
  CHECK(session->get("optimizer.groups.new.lr") == "1e-04");
  CHECK(std::stoll(session->get("optimizer.groups.pretrained.parameters")) > 0);
  CHECK(std::stoll(session->get("optimizer.groups.new.parameters")) > 0);
  const auto source = make({{"seed", "9"}});
  CHECK(at::equal(weight(*session, "backbone.conv1.conv1_1.conv.weight"),
                  weight(*source, "backbone.conv1.conv1_1.conv.weight")));

  // A resumed session knows the origin of its tensors although the file is gone.
  session->save(folder / "c.safetensors");
  remove_file(folder / "old.safetensors");
  const auto again = Session::open(folder / "c.safetensors", Log());
  CHECK(again->get("optimizer.groups.pretrained.parameters") == session->get("optimizer.groups.pretrained.parameters"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "old.safetensors", make(settings));
}

// One feed-forward expert has the biases of the layer it stands for.
static void test_biases_of_experts_do_not_decay(void**) {
  const auto count = [](const Settings& settings) {
    return std::stoll(make(settings)->get("optimizer.groups.default/no_decay.parameters"));
  };
  const int64_t dense = count({{"model.experts.kind", "none"}});
  CHECK(dense > 0 && dense == count({{"model.experts.kind", "ffn"},
                                     {"model.experts.count", "1"},
                                     {"model.experts.top_k", "1"},
                                     {"model.experts.gate", "raw"}}));
}

static void test_rates_and_keys(void**) {
  const auto session = make({{"schedule.warmup_steps", "4"}});
  const StepInfo info = train(*session, {tiny::batch(1, {2, 3})});
  CHECK(!info.rates.empty());
  CHECK_NEAR(info.rates[0].second, 1e-3 / 4, 1e-9);
  session->set("optimizer.groups.default.lr", "0.5");
  CHECK(session->get("optimizer.groups.default.lr") == "0.5");
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "expected a number > 0", session->set("optimizer.groups.default.lr", "-1"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "did you mean", (void)session->get("state.stepp"));
  CHECK_ERROR(MOE_ERR_CONFIG, "fits none", make({{"train.freeze", "[nothing_like_this]"}}));
  const auto frozen = make({{"train.freeze", "[^backbone]"}});
  CHECK(std::stoll(frozen->get("model.trainable")) < std::stoll(frozen->get("model.parameters")));
  const at::Tensor before = weight(*frozen, "backbone.conv1.conv1_1.conv.weight").detach().clone();
  train(*frozen, {tiny::batch(1, {2, 3})});
  CHECK(at::equal(before, weight(*frozen, "backbone.conv1.conv1_1.conv.weight")));
}

static void test_activation_checkpointing_keeps_the_bits(void**) {
  const auto plain = make(), saved = make({{"train.checkpoint_activations", "true"}});
  for (uint64_t i = 0; i < 2; ++i) {
    CHECK(train(*plain, {tiny::batch(i, {2, 3})}).loss == train(*saved, {tiny::batch(i, {2, 3})}).loss);
  }
  CHECK(plain->digest() == saved->digest());
}

static void test_predictions_touch_nothing(void**) {
  const auto session = make({{"ema.decay", "0.9"}});
  train(*session, {tiny::batch(1, {2, 3})});
  const std::string before = state_of(*session);
  const Batch out = session->predict(tiny::batch(2, {1, 1, 1}));
  CHECK(out.get("offsets").numel() == 4);
  CHECK(state_of(*session) == before);
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {cmocka_unit_test(test_same_seed_same_bits),
                              cmocka_unit_test(test_loss_falls),
                              cmocka_unit_test(test_accumulation_equals_large_batch),
                              cmocka_unit_test(test_bias_moves_once_a_step),
                              cmocka_unit_test(test_bias_is_part_of_the_transaction),
                              cmocka_unit_test(test_totals_leave_no_trace),
                              cmocka_unit_test(test_bad_batches_are_refused_and_nothing_is_queued),
                              cmocka_unit_test(test_non_finite_loss_leaves_every_byte),
                              cmocka_unit_test(test_non_finite_loss_is_named),
                              cmocka_unit_test(test_non_finite_gradient_is_named),
                              cmocka_unit_test(test_gradients_are_clipped_to_the_norm),
                              cmocka_unit_test(test_stop_request_changes_nothing),
                              cmocka_unit_test(test_fp16_overflow_skips_the_step),
                              cmocka_unit_test(test_fp16_trains),
                              cmocka_unit_test(test_checkpoint_restores_to_the_bit),
                              cmocka_unit_test(test_every_step_casts_the_new_weights),
                              cmocka_unit_test(test_wrong_checkpoints_change_nothing),
                              cmocka_unit_test(test_pretrained_tensors_get_their_own_rate),
                              cmocka_unit_test(test_biases_of_experts_do_not_decay),
                              cmocka_unit_test(test_rates_and_keys),
                              cmocka_unit_test(test_activation_checkpointing_keeps_the_bits),
                              cmocka_unit_test(test_predictions_touch_nothing)};
  return cmocka_run_group_tests_name("session", tests, nullptr, nullptr);
}
