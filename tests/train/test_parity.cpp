// RT-DETRv2 against transformers in fp32 (fixtures/rtdetr/make.py): weights under transformers' names are loaded
// through model.pretrained, then the outputs of both modes, every loss term and every gradient are compared, R18 with
// learning and R50 with frozen batch normalisation, on pictures that are not square.
#include <torch/torch.h>

#include "models/rtdetr/losses.h"
#include "models/rtdetr/names.h"
#include "models/rtdetr/network.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "train/schema.h"
#include "train/session.h"

using namespace moe;
using namespace moe::rtdetr;

namespace {

struct Variant {
  const char* depth;
  const char* layers;
  const char* expansion;
  const char* frozen;
  double gradients;  // what their relative differences may be
};

Config settings(const Variant& variant, const std::string& weights) {
  Config config = Config::parse(R"(
task: rtdetr
data: {size: [96, 128], classes: [a, b, c, d, e]}
model:
  backbone: {width: 0.25}
  hidden: 64
  queries: 30
  encoder: {ffn: 96}
  decoder: {ffn: 96}
  denoising: {queries: 0}
)",
                                "parity.yml", task_schema);
  config.set("model.backbone.depth", variant.depth);
  config.set("model.backbone.frozen_norm", variant.frozen);
  config.set("model.encoder.expansion", variant.expansion);
  config.set("model.decoder.layers", variant.layers);
  config.set("model.pretrained", weights);
  return config;
}

// The fixture of a variant and our model with its weights.
class Parity {
 public:
  explicit Parity(const Variant& variant) {
    const char* root = std::getenv("MOE_SOURCE_DIR");
    fixture_ =
        load_safetensors(std::string(root ? root : ".") + "/tests/fixtures/rtdetr/r" + variant.depth + ".safetensors");
    SafetensorsFile weights;
    for (const auto& [key, shape] : fixture_.tensors) {
      if (!key.starts_with("weight/")) continue;
      const std::string name = key.substr(7);
      const std::vector<int64_t> sizes(shape.const_data_ptr<int64_t>(),
                                       shape.const_data_ptr<int64_t>() + shape.numel());
      weights.tensors.emplace_back(name, hash_fill::parameter_value(name, sizes).to(at::kFloat));
    }
    save_safetensors(folder_ / "weights.safetensors", weights);
    session_ = std::make_unique<Session>(settings(variant, folder_ / "weights.safetensors"), Log());
    options_ = read_options(session_->config());
    const std::string images = text("images", want("images").item<int64_t>());
    images_ = hash_fill::uniform(images, {2, 3, 96, 128}).to(at::kFloat);
  }

  at::Tensor want(const std::string& name) const {
    const at::Tensor* found = fixture_.find(name);
    if (!found) std::fprintf(stderr, "the fixture has no %s\n", name.c_str());
    CHECK(found != nullptr);
    return *found;
  }
  bool has(const std::string& name) const { return fixture_.find(name) != nullptr; }
  std::string report() const { return session_->get("model.pretrained"); }
  Network& network() { return dynamic_cast<Network&>(session_->task().network()); }
  const Options& options() const { return options_; }
  const at::Tensor& images() const { return images_; }

 private:
  TemporaryFolder folder_;
  SafetensorsFile fixture_;
  std::unique_ptr<Session> session_;
  Options options_;
  at::Tensor images_;
};

// Three objects in the first picture, two in the second.
Targets targets() {
  const at::Tensor u = hash_fill::uniform("targets", {5, 4});
  const at::Tensor boxes = at::cat({0.2 + 0.6 * u.slice(1, 0, 2), 0.05 + 0.3 * u.slice(1, 2, 4)}, 1);
  return {boxes.to(at::kFloat), at::tensor({0, 3, 4, 1, 1}, at::kLong), {0, 3, 5}};
}

void check_close(const std::string& what, const at::Tensor& got, const at::Tensor& want, double tolerance) {
  CHECK(got.sizes() == want.sizes());
  const double error = (got.detach() - want).abs().max().item<double>();
  std::printf("%-22s largest difference %.2e\n", what.c_str(), error);
  CHECK(error <= tolerance);
}

void check_loaded(const Parity& parity) {
  const std::string report = parity.report();
  CHECK(report.find("mis-shaped") == std::string::npos && report.find("unexpected") == std::string::npos);
  size_t missing = 0;
  for (size_t at = report.find("missing"); at != std::string::npos; at = report.find("missing", at + 1)) ++missing;
  CHECK(missing == 1 && report.find("missing decoder.denoising_class_embed.weight") != std::string::npos);
}

void check_eval(Parity& parity) {
  parity.network().eval();
  const at::NoGradGuard no_grad;
  const NetworkOutput out = parity.network().forward(parity.images(), nullptr, Rng(0, "parity"));
  const Prediction& last = out.experts.at(0).layers.at(0);
  check_close("eval logits", last.logits, parity.want("eval/logits"), 5e-5);
  check_close("eval boxes", last.boxes, parity.want("eval/boxes"), 2e-5);
}

// Batch statistics over maps of a few cells enlarge what rounding leaves, above all in logits.
void check_outputs(Parity& parity, const NetworkOutput& out) {
  const auto& layers = out.experts.at(0).layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    check_close(text("train logits ", i), layers[i].logits, parity.want("train/logits").select(1, layer), 5e-4);
    check_close(text("train boxes ", i), layers[i].boxes, parity.want("train/boxes").select(1, layer), 1e-4);
  }
  check_close("encoder logits", out.encoder.logits, parity.want("train/encoder_logits"), 5e-4);
  check_close("encoder boxes", out.encoder.boxes, parity.want("train/encoder_boxes"), 1e-4);
}

// transformers counts the layers before the last, then the selected cells, as _aux_0, _aux_1 ...
double wanted_term(const Parity& parity, const std::string& name) {
  const size_t end = name.find('_');
  const std::string kind = "loss/loss_" + name.substr(0, end),
                    suffix = end == std::string::npos ? "" : name.substr(end);
  if (suffix.empty()) return parity.want(kind).item<double>();
  int64_t last = 0;
  while (parity.has(text(kind, "_aux_", last + 1))) ++last;
  if (suffix == "_enc") return parity.want(text(kind, "_aux_", last)).item<double>();
  double sum = 0;
  for (int64_t i = 0; i < last; ++i) sum += parity.want(text(kind, "_aux_", i)).item<double>();
  return sum;
}

void check_losses(const Parity& parity, const std::vector<LossTerm>& terms) {
  CHECK(terms.size() == 9);
  for (const LossTerm& term : terms) {
    const double got = term.value.item<double>(), want = wanted_term(parity, term.name);
    std::printf("%-22s %.6f, transformers %.6f\n", term.name.c_str(), got, want);
    CHECK_NEAR(got, want, 2e-5 * std::max(1.0, std::abs(want)));
  }
}

// The difference of a gradient may be a small share of its norm, seen as the norm and in one direction of length about
// sqrt(n / 3).
void check_gradients(Parity& parity, double limit) {
  double worst = 0;
  int64_t compared = 0;
  for (const auto& item : parity.network().named_parameters()) {
    const auto parts = transformers_name(item.key());
    CHECK(parts.has_value());
    if (!item.value().grad().defined()) {
      CHECK(item.key() == "decoder.denoising_class_embed.weight");
      continue;
    }
    const std::vector<at::Tensor> grads =
        item.value().grad().to(at::kDouble).chunk(static_cast<int64_t>(parts->size()), 0);
    for (size_t i = 0; i < parts->size(); ++i) {
      const std::string& name = (*parts)[i];
      const at::Tensor want = parity.want("gradient/" + name);
      const double norm = want[0].item<double>(), scale = std::max(norm, 1e-3);
      const double along = (grads[i] * hash_fill::uniform(name, grads[i].sizes())).sum().item<double>();
      const double length = std::sqrt(static_cast<double>(grads[i].numel()) / 3 + 1);
      const double error = std::max(std::abs(grads[i].norm().item<double>() - norm) / scale,
                                    std::abs(along - want[1].item<double>()) / (scale * length));
      if (error > limit) std::fprintf(stderr, "%s: norm %.6g, relative difference %.2e\n", name.c_str(), norm, error);
      CHECK(error <= limit);
      worst = std::max(worst, error);
      ++compared;
    }
  }
  std::printf("%lld gradients, largest relative difference %.2e\n", static_cast<long long>(compared), worst);
  CHECK(compared > 200);
}

void check_variant(const Variant& variant) {
  Parity parity(variant);
  check_loaded(parity);
  check_eval(parity);
  parity.network().train();
  const Targets truth = targets();
  ForwardContext context;
  context.normalizers = count_boxes(parity.options(), truth.labels);
  context.window_samples = 2;
  const NetworkOutput out = parity.network().forward(parity.images(), &truth, context.rng);
  check_outputs(parity, out);
  const std::vector<LossTerm> terms = losses(parity.options(), out, truth, context);
  check_losses(parity, terms);
  at::Tensor total = at::zeros({}, at::kFloat);
  for (const LossTerm& term : terms) total = total + term.value;
  total.backward();
  check_gradients(parity, variant.gradients);
}

}  // namespace

static void test_r18(void**) {
  // Batch statistics of few cells: rounding of 1e-6 has grown to 3e-4 in the logits, and the gradients follow.
  check_variant({"18", "3", "0.5", "false", 3e-2});
}

static void test_r50(void**) {
  check_variant({"50", "2", "1.0", "true", 2e-3});
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_r18), cmocka_unit_test(test_r50)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
