#include "eval/generation_evaluator.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "eval/statistics_file.h"
#include "tensor/batch.h"

namespace moe {

constexpr int64_t kernel_subsets = 100, kernel_subset_size = 1000;  // torchmetrics' defaults

GenerationReference::GenerationReference(const GenerationOptions& options, at::IntArrayRef picture) {
  if (options.samples == 0) return;
  if (options.extractor.empty()) {
    extractor = pixel_extractor();
  } else if (!is_own_model(options.extractor)) {
    extractor = script_extractor(options.extractor, options.input);
    extractor(at::zeros({2, picture[0], picture[1], picture[2]}));
  } else {
    check(exists(options.extractor), MOE_ERR_NOT_FOUND, options.extractor,
          ": expected the run folder, checkpoint or TorchScript file of a feature extractor, got no such file");
  }
  if (!options.reference.empty() && exists(options.reference)) moments = read_statistics(options.reference);
}

namespace {

// Pictures seen so far: their features, and where the network gives them logits and classes.
struct PictureSet {
  std::vector<at::Tensor> features, logits, labels;
  int64_t count = 0;

  void add(const Features& found, const at::Tensor& classes) {
    features.push_back(found.features);
    if (found.logits.defined()) logits.push_back(found.logits);
    if (classes.defined()) labels.push_back(classes);
    count += found.features.size(0);
  }
};

// `count` rows spread evenly over all.
at::Tensor spread_rows(const at::Tensor& features, int64_t count) {
  if (count >= features.size(0)) return features;
  const at::Tensor rows = at::arange(count, at::kLong) * features.size(0) / count;
  return features.index_select(0, rows.floor().to(at::kLong));
}

class GenerationEvaluator : public Evaluator {
 public:
  GenerationEvaluator(GenerationOptions options, std::shared_ptr<GenerationReference> reference)
      : options_(std::move(options)), reference_(std::move(reference)), extractor_(reference_->extractor) {}

  std::string other_model() const override { return is_own_model(options_.extractor) ? options_.extractor : ""; }
  void use_model(std::function<Batch(const Batch&)> predict) override {
    extractor_ = [path = options_.extractor, predict = std::move(predict)](const at::Tensor& pictures) {
      Batch batch;
      batch.set("images", pictures);
      try {
        const Batch found = predict(batch);
        return Features{found.get("features"), found.has("logits") ? found.get("logits") : at::Tensor()};
      } catch (const Error& error) {
        fail(error.status(), path, ": expected a classifier of these pictures: ", error.what());
      }
    };
  }

  bool wants_training_data() const override {
    return !reference_->complete && reference_->count < options_.most_pictures;
  }
  void add_training(const Batch& batch) override {
    reference_->batches.push_back(extractor_(as_bytes(batch.get("images"))).features);
    reference_->count += batch.get("images").size(0);
  }

  void add(const Batch& targets, const Batch&) override {
    const int64_t taken = std::min(options_.samples - real_.count, targets.get("images").size(0));
    if (taken <= 0) return;
    const at::Tensor labels = targets.has("labels") ? targets.get("labels").narrow(0, 0, taken) : at::Tensor();
    real_.add(extractor_(as_bytes(targets.get("images").narrow(0, 0, taken))), labels);
  }

  // Sample i has index i and class i modulo the classes, whatever the batch.
  std::optional<Batch> next_request() override {
    const int64_t first = generated_.count, last = std::min(options_.samples, first + options_.batch);
    if (first >= last) return std::nullopt;
    Batch out;
    const at::Tensor indices = at::arange(first, last, at::kLong);
    out.set("indices", indices);
    if (options_.classes > 0) out.set("labels", indices.remainder(options_.classes));
    return out;
  }
  void add_result(const Batch& request, const Batch& result) override {
    const at::Tensor labels = request.has("labels") ? request.get("labels") : at::Tensor();
    generated_.add(extractor_(as_bytes(result.get("images"))), labels);
  }

  std::vector<Metric> finish() override {
    if (generated_.count > 0) complete_reference();
    std::vector<Metric> out = scores(generated_, "");
    const std::vector<Metric> real = scores(generated_.count > 0 ? real_ : PictureSet(), "_real");
    out.insert(out.end(), real.begin(), real.end());
    return out;
  }

 private:
  void complete_reference() {
    GenerationReference& r = *reference_;
    if (r.complete) return;
    check(r.count >= 2, MOE_ERR_DATA, "evaluation: expected at least 2 training pictures, got ", r.count);
    r.features = at::cat(r.batches);
    r.batches.clear();
    if (!r.moments.mean.defined()) {
      r.moments = feature_moments(r.features);
      if (!options_.reference.empty()) write_statistics(options_.reference, r.moments);
    }
    check(r.moments.mean.size(0) == r.features.size(1), MOE_ERR_DATA, options_.reference, ": expected statistics of ",
          r.features.size(1), " features, got ", r.moments.mean.size(0), "; they belong to another extractor");
    r.complete = true;
  }

  // -1: the set is too small for this number, or there are no logits.
  std::vector<Metric> scores(const PictureSet& set, const std::string& kind) const {
    std::vector<Metric> out;
    const auto put = [&](const char* name, double value) {
      out.push_back({text(name, kind, "/", feature_label(options_.extractor)), value});
    };
    const bool any = set.count >= 2,
               enough = any && set.count > options_.neighbours && reference_->features.size(0) > options_.neighbours;
    const at::Tensor features = any ? at::cat(set.features) : at::Tensor();
    put("KID", any ? kernel_distance(reference_->features, features, kernel_subsets, kernel_subset_size,
                                     Rng(0, "kernel distance"))
                   : -1);
    put("FID", any ? frechet_distance(reference_->moments, feature_moments(features)) : -1);
    ManifoldScores manifold{-1, -1, -1, -1};
    if (enough) {
      const int64_t rows = std::max(set.count, options_.neighbours + 1);
      manifold = manifold_scores(spread_rows(reference_->features, rows), features, options_.neighbours);
    }
    put("precision", manifold.precision);
    put("recall", manifold.recall);
    put("density", manifold.density);
    put("coverage", manifold.coverage);
    put("IS", any && !set.logits.empty() ? inception_score(at::cat(set.logits).to(at::kDouble).softmax(1)) : -1);
    put("class_accuracy", any ? class_accuracy(set) : -1);
    put("nearest", any ? nearest_neighbours(features, reference_->features).distance.mean().item<double>() : -1);
    return out;
  }

  double class_accuracy(const PictureSet& set) const {
    if (set.logits.empty() || set.labels.empty() || set.logits.front().size(1) != options_.classes) return -1;
    return at::cat(set.logits).argmax(1).eq(at::cat(set.labels)).to(at::kDouble).mean().item<double>();
  }

  GenerationOptions options_;
  std::shared_ptr<GenerationReference> reference_;
  FeatureExtractor extractor_;
  PictureSet real_, generated_;
};

}  // namespace

std::unique_ptr<Evaluator> make_generation_evaluator(GenerationOptions options,
                                                     std::shared_ptr<GenerationReference> reference) {
  return std::make_unique<GenerationEvaluator>(std::move(options), std::move(reference));
}

}  // namespace moe
