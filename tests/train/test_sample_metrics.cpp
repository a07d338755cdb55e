// Samples judged by a classifier of libmoe itself: the classifier learns its pictures, a diffusion model is evaluated
// through it, and what cannot judge is refused. And the pictures that a run keeps.
#include "support/stripes.h"
#include "support/test.h"

#include "image/image.h"
#include "train/run.h"

using namespace moe;
using namespace moe::striped;

static Config classifier_config(const Overrides& overrides = {}) {
  const char* yaml = R"(
task: classifier
seed: 1
data: {classes: [a, b, c], size: [8, 8], augment: {flip: 0}}
model: {classifier: {channels: 8, multipliers: [2]}}
optimizer: {lr: 1e-2}
train: {batch_size: 13, epochs: 20, clip_norm: 0, eval_every: 0}
)";
  Config out = Config::parse(yaml, "classifier.yml", task_schema);
  for (const auto& [key, value] : overrides) out.set(key, value);
  return out;
}

static double metric(const std::vector<Metric>& metrics, const std::string& name) {
  for (const Metric& m : metrics) {
    if (m.name == name) return m.value;
  }
  fail(MOE_ERR_NOT_FOUND, "no metric ", name);
}

static void finish(Run& run) {
  RunEvent event;
  while (run.next(event)) continue;
}

static std::vector<Metric> evaluate(Session& session) {
  Loader val(open_source(session.config(), "val"), loader_options(session.config(), false), Log());
  return session.evaluate(val);
}

static void train_classifier(const TemporaryFolder& folder) {
  write_cifar(folder.path());
  const Config config = classifier_config({{"data.root", folder.path()}});
  Run run(&config, folder / "judge", RunMode::fresh, Log());
  finish(run);
  CHECK(metric(evaluate(run.session()), "accuracy") == 1);
}

static void test_classifier(void**) {
  const TemporaryFolder folder;
  train_classifier(folder);
  const auto session = Session::open(folder / "judge", Log());
  const std::vector<Metric> metrics = evaluate(*session);
  CHECK(metrics.size() == 4 && metrics[0].name == "accuracy" && metrics[1].name == "accuracy/a");
  const Batch fresh = stripes(9, 30), found = session->predict(fresh);
  CHECK(found.get("features").sizes() == at::IntArrayRef({30, 16}) && found.get("logits").size(1) == 3);
  CHECK(at::equal(found.get("logits").argmax(1), found.get("labels")));
  CHECK(found.get("labels").eq(fresh.get("labels")).to(at::kDouble).mean().item<double>() > 0.8);
  Batch wrong = stripes(1, 3);
  wrong.set("labels", at::tensor({0, 3, 1}, at::kLong));
  CHECK_ERROR(MOE_ERR_DATA, "labels: expected 0..2, got 3 at sample 1", session->feed(wrong));
  CHECK_ERROR(MOE_ERR_CONFIG, "data.classes: expected the names of at least 2 classes, got 1",
              Session(classifier_config({{"data.classes", "[a]"}}), Log()));
  CHECK(session->get("model.summary").find("classifier of 3 x 8 x 8 pictures, 3 classes") != std::string::npos);
}

// First loss: ln 3 for three classes alike, up to what the first weights tell.
static void test_first_loss(void**) {
  Session session(classifier_config(), Log());
  session.set_length(1, 1);
  session.feed(stripes(1, 12));
  CHECK_NEAR(session.step().loss, std::log(3.0), 0.5);
}

static void test_samples_are_judged(void**) {
  const TemporaryFolder folder;
  train_classifier(folder);
  const auto config = [&](const Overrides& more) {
    Overrides all = {{"data.root", folder.path()}, {"evaluate.samples", "8"}, {"evaluate.neighbours", "2"}};
    all.insert(all.end(), more.begin(), more.end());
    return tiny_config(all);
  };
  Session session(config({{"evaluate.extractor", folder / "judge"}, {"evaluate.reference", folder / "own.npz"}}),
                  Log());
  const size_t expected = session.task().evaluator()->finish().size();
  const std::vector<Metric> metrics = evaluate(session), again = evaluate(session);
  CHECK(metrics.size() == expected && expected == 19 + 18 && metrics[0].name == "skill");
  for (size_t i = 0; i < metrics.size(); ++i) CHECK(metrics[i].value == again[i].value);
  CHECK(metric(metrics, "class_accuracy_real/judge") == 1);
  CHECK(metric(metrics, "class_accuracy/judge") >= 0 && metric(metrics, "IS/judge") >= 1);
  CHECK(metric(metrics, "FID/judge") > metric(metrics, "FID_real/judge"));
  CHECK(exists(folder / "own.npz"));

  Session pixels(config({}), Log());
  CHECK(metric(evaluate(pixels), "class_accuracy/pixels") == -1);
  // A model that judges nothing, one of other pictures.
  Session diffusion(config({{"evaluate.samples", "0"}}), Log());
  diffusion.save(folder / "diffusion.safetensors");
  Session by_diffusion(config({{"evaluate.extractor", folder / "diffusion.safetensors"}}), Log());
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "diffusion.safetensors: expected a classifier of these pictures",
              evaluate(by_diffusion));
  Session larger(classifier_config({{"data.size", "[16, 16]"}}), Log());
  larger.save(folder / "larger.safetensors");
  Session by_larger(config({{"evaluate.extractor", folder / "larger.safetensors"}}), Log());
  CHECK_ERROR(MOE_ERR_SHAPE,
              "larger.safetensors: expected a classifier of these pictures: images: expected [B, 3, 16, 16]",
              evaluate(by_larger));
}

// A run keeps a grid of each evaluation, and may be evaluated otherwise when it is resumed.
static void test_pictures_of_a_run(void**) {
  const TemporaryFolder folder;
  write_cifar(folder.path());
  Config config = tiny_config({{"data.root", folder.path()}, {"sample.grid", "2"}, {"train.epochs", "1"}});
  {
    Run run(&config, folder / "run", RunMode::fresh, Log());
    finish(run);
  }
  const Image first = read_image(folder / "run/pictures/step-00000003.png");
  CHECK(first.width == 2 * 10 + 2 && first.height == 3 * 10 + 2);
  config.set("sample.grid", "3");
  config.set("sample.steps", "3");
  config.set("train.epochs", "2");
  Run run(&config, folder / "run", RunMode::resume, Log());
  finish(run);
  CHECK(read_image(folder / "run/pictures/step-00000006.png").width == 3 * 10 + 2);
  CHECK(run.session().digest() != 0);
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_classifier), cmocka_unit_test(test_first_loss),
                              cmocka_unit_test(test_samples_are_judged), cmocka_unit_test(test_pictures_of_a_run)};
  return cmocka_run_group_tests_name("sample metrics", tests, nullptr, nullptr);
}
