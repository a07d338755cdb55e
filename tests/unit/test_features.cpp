// Feature extractors: what a TorchScript file gets and may give, errors of one line, names; the evaluator of samples
// against the functions it is made of.
#include "eval/features.h"
#include "support/test.h"

#include <torch/script.h>

#include "base/files.h"
#include "eval/generation_evaluator.h"
#include "eval/statistics_file.h"
#include "tensor/random.h"

using namespace moe;
using Range = ExtractorInput::Range;

// A TorchScript file whose forward has this body.
static std::string script(const TemporaryFolder& folder, const std::string& name, const std::string& body) {
  torch::jit::Module module("extractor");
  module.define("def forward(self, x):\n  " + body + "\n");
  module.save(folder / name);
  return folder / name;
}

static at::Tensor pictures(uint64_t seed, int64_t count, int64_t channels = 3, int64_t side = 8) {
  return as_bytes(uniform_tensor(Rng(seed, "pictures"), {count, channels, side, side}));
}

static void test_input(void**) {
  const TemporaryFolder folder;
  const std::string path = script(folder, "flat.pt", "return x.float().flatten(1)");
  const at::Tensor x = pictures(1, 3);
  const auto features = [&](const ExtractorInput& input, const at::Tensor& of) {
    return script_extractor(path, input)(of).features;
  };
  CHECK(at::allclose(features({Range::bytes}, x), x.flatten(1) * 255));
  CHECK(at::allclose(features({Range::unit}, x), x.flatten(1)));
  CHECK(at::allclose(features({Range::symmetric}, x), x.flatten(1) * 2 - 1, 1e-6, 1e-6));
  const at::Tensor grey = pictures(2, 3, 1);
  CHECK(at::equal(features({Range::unit}, grey), grey.expand({3, 3, 8, 8}).flatten(1)));
  // A flat picture stays flat whatever the size; halving averages (with antialiasing more than 2 x 2 pixels).
  const at::Tensor flat = features({Range::unit, 5, 7}, at::full({2, 3, 8, 8}, 0.2F));
  CHECK(flat.size(1) == 105 && at::allclose(flat, at::full_like(flat, 0.2F)));
  CHECK(script_extractor(path, {Range::unit})(x).logits.defined() == false);
  const std::string both = script(folder, "both.pt", "return (x.float().mean([2, 3]), x.float().sum([2, 3]) * 2)");
  const Features found = script_extractor(both, {Range::unit})(x);
  CHECK(at::allclose(found.features, x.mean({2, 3})) && at::allclose(found.logits, x.sum({2, 3}) * 2));
}

static void test_errors(void**) {
  const TemporaryFolder folder;
  const auto refused = [&](const char* part, const std::string& body) {
    const FeatureExtractor extractor = script_extractor(script(folder, "wrong.pt", body), {});
    CHECK_ERROR(MOE_ERR_DATA, part, extractor(pictures(1, 4)));
  };
  refused("wrong.pt: expected features as floats [4, n] from 4 pictures, got Float [4, 3, 8, 8]", "return x.float()");
  refused("expected features as floats [4, n] from 4 pictures, got Byte [4, 192]", "return x.flatten(1)");
  refused("expected features as floats [4, n] from 4 pictures, got Float [3]", "return x.float().mean([0, 2, 3])");
  refused("expected features as floats [4, n] from 4 pictures, got Int", "return 5");
  refused("or a tuple of features and logits, got 3 parts", "return (x, x, x)");
  refused("expected logits as floats", "return (x.float().mean([2, 3]), x)");
  refused("the extractor failed on pictures [4, 3, 8, 8]", "return x.float().view([7, 5])");
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.pt: expected a TorchScript file", script_extractor(folder / "absent.pt", {}));
  write_file_atomic(folder / "text.pt", "no TorchScript");
  CHECK_ERROR(MOE_ERR_DATA, "text.pt: expected a TorchScript file", script_extractor(folder / "text.pt", {}));
  // Found when the model is made, before any training.
  GenerationOptions options{.samples = 4, .extractor = script(folder, "wrong.pt", "return x.float()")};
  CHECK_ERROR(MOE_ERR_DATA, "expected features as floats", GenerationReference(options, {3, 8, 8}));
  options.extractor = folder / "absent.safetensors";
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.safetensors", GenerationReference(options, {3, 8, 8}));
}

static void test_labels(void**) {
  CHECK(feature_label("") == "pixels");
  CHECK(feature_label("models/inception-v3.pt") == "inception-v3");
  CHECK(feature_label("runs/fashion/") == "fashion" && feature_label("runs/fashion") == "fashion");
}

// --- The evaluator ---

static Batch batch_of(const at::Tensor& images, int64_t classes, int64_t first = 0) {
  Batch out;
  out.set("images", images);
  out.set("labels", at::arange(first, first + images.size(0), at::kLong).remainder(classes));
  return out;
}

static double metric(const std::vector<Metric>& metrics, const std::string& name) {
  for (const Metric& m : metrics) {
    if (m.name == name) return m.value;
  }
  fail(MOE_ERR_NOT_FOUND, "no metric ", name);
}

// What a session does, with `generated` for the model's samples.
static std::vector<Metric> evaluate(const GenerationOptions& options, const std::shared_ptr<GenerationReference>& known,
                                    const at::Tensor& training, const at::Tensor& real, const at::Tensor& generated) {
  const auto evaluator = make_generation_evaluator(options, known);
  for (int64_t i = 0; evaluator->wants_training_data() && i < training.size(0); i += 10) {
    evaluator->add_training(batch_of(training.narrow(0, i, 10), options.classes));
  }
  for (int64_t i = 0; i < real.size(0); i += 8) {
    const int64_t count = std::min<int64_t>(8, real.size(0) - i);
    evaluator->add(batch_of(real.narrow(0, i, count), options.classes, i), Batch());
  }
  while (const std::optional<Batch> request = evaluator->next_request()) {
    const at::Tensor indices = request->get("indices");
    CHECK(at::equal(request->get("labels"), indices.remainder(options.classes)) && indices.size(0) <= options.batch);
    evaluator->add_result(*request, batch_of(generated.index_select(0, indices), options.classes));
  }
  return evaluator->finish();
}

static void test_evaluator(void**) {
  const TemporaryFolder folder;
  // The mean of the channels; class logits that always tell the class of a picture as it is made below.
  GenerationOptions options;
  options.samples = 20;
  options.batch = 7;
  options.classes = 3;
  options.extractor = script(folder, "means.pt", "return (x.mean([2, 3]), x[:, :, 0, 0])");
  options.input.range = Range::unit;
  options.reference = folder / "reference.npz";
  options.most_pictures = 40;
  options.neighbours = 3;
  const at::Tensor training = pictures(1, 60), real = pictures(2, 30);
  at::Tensor generated = pictures(3, 20) * 0.5;
  for (int64_t i = 0; i < 20; ++i) generated[i].select(1, 0).select(1, 0).zero_()[i % (i < 15 ? 3 : 1)] = 1;
  generated = as_bytes(generated);
  const auto known = std::make_shared<GenerationReference>(options, at::IntArrayRef{3, 8, 8});
  for (const Metric& m : make_generation_evaluator(options, known)->finish()) CHECK(m.value == -1);
  const std::vector<Metric> metrics = evaluate(options, known, training, real, generated);
  CHECK(metrics.size() == 18 && metrics[0].name == "KID/means" && metrics[9].name == "KID_real/means");

  const at::Tensor a = training.narrow(0, 0, 40).mean({2, 3}), b = generated.mean({2, 3});
  CHECK_NEAR(metric(metrics, "FID/means"), frechet_distance(feature_moments(a), feature_moments(b)), 1e-9);
  CHECK_NEAR(metric(metrics, "KID/means"), kernel_distance(a, b, 100, 1000, Rng(0, "kernel distance")), 1e-9);
  CHECK_NEAR(metric(metrics, "nearest/means"), nearest_neighbours(b, a).distance.mean().item<double>(), 1e-9);
  const at::Tensor half = a.index_select(0, at::arange(20, at::kLong) * 2);
  const ManifoldScores scores = manifold_scores(half, b, 3);
  CHECK_NEAR(metric(metrics, "precision/means"), scores.precision, 1e-12);
  CHECK_NEAR(metric(metrics, "coverage/means"), scores.coverage, 1e-12);
  CHECK_NEAR(metric(metrics, "class_accuracy/means"), (15 + 2) / 20.0, 1e-12);  // 15 and 18 have class 0 again
  CHECK_NEAR(metric(metrics, "IS/means"),
             inception_score(generated.select(3, 0).select(2, 0).to(at::kDouble).softmax(1)), 1e-6);
  const at::Tensor c = real.narrow(0, 0, 20).mean({2, 3});
  CHECK_NEAR(metric(metrics, "FID_real/means"), frechet_distance(feature_moments(a), feature_moments(c)), 1e-9);
  CHECK(metric(metrics, "FID_real/means") < metric(metrics, "FID/means"));

  // The statistics lie in the file now, and what another evaluation finds there decides.
  CHECK(at::allclose(read_statistics(options.reference).mean, a.to(at::kDouble).mean(0), 1e-6, 1e-6));
  CHECK(!make_generation_evaluator(options, known)->wants_training_data());
  write_statistics(options.reference, {at::full({3}, 9, at::kDouble), at::eye(3, at::kDouble)});
  const auto other = std::make_shared<GenerationReference>(options, at::IntArrayRef{3, 8, 8});
  const std::vector<Metric> far = evaluate(options, other, training, real, generated);
  CHECK(metric(far, "FID/means") > 200 && metric(far, "KID/means") == metric(metrics, "KID/means"));
  write_statistics(options.reference, {at::zeros({4}, at::kDouble), at::eye(4, at::kDouble)});
  const auto wide = std::make_shared<GenerationReference>(options, at::IntArrayRef{3, 8, 8});
  CHECK_ERROR(MOE_ERR_DATA, "reference.npz: expected statistics of 3 features, got 4",
              evaluate(options, wide, training, real, generated));
}

// Too few pictures for a number is -1 and no error.
static void test_few(void**) {
  GenerationOptions options{.samples = 4, .classes = 2, .neighbours = 5};
  const auto known = std::make_shared<GenerationReference>(options, at::IntArrayRef{3, 8, 8});
  const std::vector<Metric> metrics = evaluate(options, known, pictures(1, 20), pictures(2, 1), pictures(3, 4));
  CHECK(metric(metrics, "precision/pixels") == -1 && metric(metrics, "FID_real/pixels") == -1);
  CHECK(metric(metrics, "class_accuracy/pixels") == -1 && metric(metrics, "IS/pixels") == -1);
  CHECK(metric(metrics, "FID/pixels") > 0);
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_input), cmocka_unit_test(test_errors),
                              cmocka_unit_test(test_labels), cmocka_unit_test(test_evaluator),
                              cmocka_unit_test(test_few)};
  return cmocka_run_group_tests_name("features", tests, nullptr, nullptr);
}
