// The task diffusion in a session: batches, exact accumulation of the denoising loss, errors by field, evaluation
// against the baselines, samples through predict(), a run that is stopped and resumed to the bit.
#include "support/stripes.h"
#include "support/test.h"

#include "train/run.h"

using namespace moe;
using namespace moe::striped;

static double term(const StepInfo& info, const std::string& name) {
  for (const auto& [key, value] : info.terms) {
    if (key == name) return value;
  }
  fail(MOE_ERR_NOT_FOUND, "no term ", name);
}

static void test_loss_falls(void**) {
  Session session(tiny_config({{"data.augment.flip", "0"}}), Log());
  double first = 0, last = 0;
  for (int i = 0; i < 80; ++i) {
    session.feed(stripes(static_cast<uint64_t>(i), 16));
    const StepInfo info = session.step();
    (i < 10 ? first : last) += i < 10 || i >= 70 ? term(info, "denoising") / 10 : 0;
    CHECK_NEAR(term(info, "balance"), 0.01, 0.02);
  }
  std::printf("denoising loss: %.3f -> %.3f\n", first, last);
  CHECK(last < 0.6 * first);
}

static void test_routing_is_counted(void**) {
  Session session(tiny_config(), Log());
  session.feed(stripes(1, 16));
  session.step();
  CHECK(session.routing().size() == 3);
  for (const RoutingStats* stats : session.routing()) {
    const RoutingCounts& counts = stats->window(MOE_WINDOW_LAST_STEP);
    CHECK(stats->unit() == "image" && counts.tokens == 16);
    int64_t by_class = 0;
    for (const int64_t n : counts.by_class) by_class += n;
    CHECK(by_class <= 32 && by_class >= 20);  // two experts a picture, some classes hidden
  }
}

static void test_same_bits_again(void**) {
  uint64_t digest = 0;
  for (int repeat = 0; repeat < 2; ++repeat) {
    Session session(tiny_config(), Log());
    for (uint64_t i = 0; i < 3; ++i) {
      session.feed(stripes(i, 4));
      session.feed(stripes(i + 9, 3));
      session.step();
    }
    if (repeat == 0) digest = session.digest();
    CHECK(session.digest() == digest);
  }
}

static Batch indices(const std::vector<int64_t>& values, const std::vector<int64_t>& labels = {}) {
  Batch out;
  out.set("indices", at::tensor(values, at::kLong));
  if (!labels.empty()) out.set("labels", at::tensor(labels, at::kLong));
  return out;
}

static void test_samples(void**) {
  Session session(tiny_config(), Log());
  session.feed(stripes(1, 16));
  session.step();
  const uint64_t before = session.digest();
  const Batch all = session.predict(indices({0, 1, 2, 3}, {0, 1, 2, -1})), one = session.predict(indices({2}, {2}));
  CHECK(all.get("images").sizes() == at::IntArrayRef({4, 3, 8, 8}));
  CHECK(at::allclose(one.get("images")[0], all.get("images")[2], 0, 1e-4));
  CHECK(all.get("labels")[3].item<int64_t>() == -1);
  CHECK(session.digest() == before);
  const at::Tensor picture = session.task().draw(indices({0}), all, 1, 0);
  CHECK(picture.sizes() == at::IntArrayRef({8, 8, 3}) && picture.scalar_type() == at::kByte);
  CHECK_ERROR(MOE_ERR_SHAPE, "B > 4", session.task().draw(indices({0}), all, 4, 0));
}

static void test_batches_are_checked(void**) {
  Session session(tiny_config(), Log());
  Batch batch = stripes(1, 4);
  batch.set("labels", at::tensor({0, 1, 3, 0}, at::kLong));
  CHECK_ERROR(MOE_ERR_DATA, "labels: expected 0..2, got 3 at sample 2", session.feed(batch));
  batch = stripes(1, 4);
  batch.set("images", at::zeros({4, 3, 16, 8}));
  CHECK_ERROR(MOE_ERR_SHAPE, "images: expected [B, 3, 8, 8]", session.feed(batch));
  batch.set("images", at::full({4, 3, 8, 8}, 200.0F));
  CHECK_ERROR(MOE_ERR_DATA, "divide 8-bit pictures by 255", session.feed(batch));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "images", session.feed(indices({0}, {0})));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected images to denoise or indices to sample", session.predict(Batch()));
  CHECK_ERROR(MOE_ERR_DATA, "indices: expected 0..", session.predict(indices({-1})));
  CHECK_ERROR(MOE_ERR_DATA, "labels: expected -1..2, got 5", session.predict(indices({0}, {5})));
}

static void test_configs_are_checked(void**) {
  const auto refused = [](const char* part, const Overrides& overrides) {
    CHECK_ERROR(MOE_ERR_CONFIG, part, Session(tiny_config(overrides), Log()));
  };
  refused("model.experts.top_k: expected 1 to 4 (the experts), got 5", {{"model.experts.top_k", "5"}});
  refused("sample.steps: sampler: expected at least 1 step, got 0", {{"sample.steps", "0"}});
  refused("expected multiples of 2 for the 2 levels of model.unet, got 9 x 8", {{"data.size", "[9, 8]"}});
  refused("expected euler for a network of objective flow, got ddim",
          {{"diffusion.prediction", "flow"}, {"sample.sampler", "ddim"}});
  refused("diffusion.label_dropout: expected 0 with model.unet.topology = paper", {{"model.unet.topology", "paper"}});
  CHECK_ERROR(MOE_ERR_CONFIG, "sample.sampler", tiny_config({{"sample.sampler", "dim"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "data.format", tiny_config({{"data.format", "coco"}}));
}

static void test_checkpoint_of_another_preset(void**) {
  const TemporaryFolder folder;
  Session wide(tiny_config({{"model.unet.channels", "16"}}), Log()), narrow(tiny_config(), Log());
  wide.save(folder / "wide.safetensors");
  const uint64_t before = narrow.digest();
  CHECK_ERROR(MOE_ERR_DATA, "wide.safetensors", narrow.load(folder / "wide.safetensors"));
  CHECK(narrow.digest() == before);
}

static Overrides data_in(const TemporaryFolder& folder) {
  return {{"data.root", folder.path()}};
}

static double metric(const std::vector<Metric>& metrics, const std::string& name) {
  for (const Metric& m : metrics) {
    if (m.name == name) return m.value;
  }
  fail(MOE_ERR_NOT_FOUND, "no metric ", name);
}

static void test_evaluation(void**) {
  const TemporaryFolder folder;
  write_cifar(folder.path());
  const Config config = tiny_config(data_in(folder));
  Session session(config, Log());
  Loader val(open_source(config, "val"), loader_options(config, false), Log());
  const std::vector<Metric> metrics = session.evaluate(val), again = session.evaluate(val);
  CHECK(metrics.front().name == "skill" && metrics.size() == 19);
  CHECK(metrics.size() == session.task().evaluator()->finish().size());
  for (size_t i = 0; i < metrics.size(); ++i) CHECK(metrics[i].value == again[i].value);
  // An untrained v-network predicts v = 0: the error of the noise is the share of the signal, 1 - a for pictures of
  // deviation 1 and less for others.
  CHECK(metric(metrics, "eps_mse/0-99") > metric(metrics, "eps_mse/750-999"));
  CHECK(metric(metrics, "eps_mse_wiener") < metric(metrics, "eps_mse_gaussian"));
  CHECK_NEAR(metrics.front().value, 1 - metric(metrics, "eps_mse") / metric(metrics, "eps_mse_wiener"), 1e-12);
}

static void test_stop_and_resume_to_the_bit(void**) {
  const TemporaryFolder folder;
  write_cifar(folder.path());
  const Config config = tiny_config(data_in(folder));
  uint64_t whole = 0;
  {
    Run run(&config, folder / "whole", RunMode::fresh, Log());
    RunEvent event;
    while (run.next(event)) continue;
    whole = run.session().digest();
    CHECK(run.session().steps() == 6);
  }
  for (int steps = 1; steps <= 6; ++steps) {  // a run that loses its process after every step
    Run run(&config, folder / "cut", RunMode::automatic, Log());
    RunEvent event;
    while (run.session().steps() < steps && run.next(event)) continue;
  }
  Run run(&config, folder / "cut", RunMode::automatic, Log());
  RunEvent event;
  while (run.next(event)) continue;
  CHECK(run.session().digest() == whole);
}

static void test_bf16_trains(void**) {
  Session session(tiny_config({{"train.amp", "bf16"}}), Log());
  for (uint64_t i = 0; i < 3; ++i) {
    session.feed(stripes(i, 8));
    CHECK(std::isfinite(session.step().loss));
  }
  CHECK(session.predict(indices({0, 1}, {0, 1})).get("images").isfinite().all().item<bool>());
}

static void test_summary(void**) {
  const Session session(tiny_config(), Log());
  const std::string summary = session.get("model.summary");
  for (const char* part : {"2 of 4 convolution experts", "routers", "resampling", "total"}) {
    CHECK(summary.find(part) != std::string::npos);
  }
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_loss_falls),
                              cmocka_unit_test(test_routing_is_counted),
                              cmocka_unit_test(test_same_bits_again),
                              cmocka_unit_test(test_samples),
                              cmocka_unit_test(test_batches_are_checked),
                              cmocka_unit_test(test_configs_are_checked),
                              cmocka_unit_test(test_checkpoint_of_another_preset),
                              cmocka_unit_test(test_evaluation),
                              cmocka_unit_test(test_stop_and_resume_to_the_bit),
                              cmocka_unit_test(test_bf16_trains),
                              cmocka_unit_test(test_summary)};
  return cmocka_run_group_tests_name("diffusion task", tests, nullptr, nullptr);
}
