#include "models/classifier/task.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "eval/accuracy.h"
#include "models/classifier/network.h"
#include "models/cost_table.h"
#include "models/labelled_keys.h"
#include "tensor/scope.h"

namespace moe::classifier {

Schema schema() {
  using enum KeyType;
  Schema all = labelled_keys();
  const Schema own = {
      {"model.classifier.channels", integer, "32", ">= 1, <= 4096", "Channels of the stem."},
      {"model.classifier.multipliers", integers, "[2, 4]", ">= 1, <= 64",
       "Channels of each level, which halves the map, over those of the stem; the last ones are the features."},
      {"loss.smoothing", number, "0", ">= 0, < 1", "Label smoothing of the cross-entropy."},
  };
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

namespace {

class ClassifierTask : public Task {
 public:
  explicit ClassifierTask(const Config& config)
      : classes_(config.texts("data.classes")),
        size_(picture_size(config)),
        smoothing_(config.number("loss.smoothing")) {
    if (classes_.size() < 2) {
      config.fail_at("data.classes", text("expected the names of at least 2 classes, got ", classes_.size()));
    }
    options_.image_channels = config.integer("data.channels");
    options_.channels = config.integer("model.classifier.channels");
    options_.multipliers = config.integers("model.classifier.multipliers");
    options_.classes = static_cast<int64_t>(classes_.size());
    network_ = std::make_shared<Network>(options_);
    nn::init_parameters(*network_, static_cast<uint64_t>(config.integer("seed")));
  }

  BatchSpec batch_spec() const override {
    return {{.name = "images",
             .dtype = at::kFloat,
             .shape = {options_.image_channels, size_[0], size_[1]},
             .doc = "pictures in 0..1",
             .lowest = 0,
             .highest = 1},
            {.name = "labels", .dtype = at::kLong, .shape = {}, .training_only = true, .doc = "class index"},
            {.name = "image_ids", .dtype = at::kLong, .shape = {}, .optional = true, .doc = "id in the data set"}};
  }

  void check(const Batch& batch) const override {
    if (!batch.has("labels")) return;
    const at::Tensor labels = batch.get("labels").contiguous();
    const int64_t* values = labels.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < labels.numel(); ++i) {
      moe::check(values[i] >= 0 && values[i] < options_.classes, MOE_ERR_DATA, "labels: expected 0..",
                 options_.classes - 1, ", got ", values[i], " at sample ", i);
    }
  }

  Normalizers normalizers(const Batch&) const override { return {}; }

  std::vector<LossTerm> forward(const Batch& batch, const ForwardContext& context) override {
    const at::Tensor logits = network_->forward(batch.get("images")).logits;
    const Float32Scope precise;
    const at::Tensor sum = at::cross_entropy_loss(logits.to(at::kFloat), batch.get("labels"), {}, at::Reduction::Sum,
                                                  /*ignore_index=*/-100, smoothing_);
    return {{"cross_entropy", sum / context.window_samples}};
  }

  Batch predict(const Batch& batch) override {
    const at::NoGradGuard no_grad;
    network_->eval();
    const Judgement judgement = network_->forward(batch.get("images"));
    const at::Tensor logits = judgement.logits.to(at::kFloat);
    Batch out;
    out.set("features", judgement.features);
    out.set("logits", logits);
    out.set("labels", logits.argmax(1));
    return out;
  }

  std::unique_ptr<Evaluator> evaluator() const override { return make_accuracy_evaluator(classes_); }
  torch::nn::Module& network() override { return *network_; }
  std::vector<RoutingStats*> routing() override { return {}; }
  std::vector<std::string> class_names() const override { return classes_; }
  at::Tensor draw(const Batch&, const Batch&, int64_t, double) const override {
    fail(MOE_ERR_UNSUPPORTED, "draw: task classifier has nothing to draw");
  }

  std::string summary() const override {
    PartCost convolutions{"convolutions"}, head{"head"};
    for (const auto& item : network_->named_parameters()) {
      const at::Tensor& weight = item.value();
      const bool in_head = item.key().starts_with("head");
      PartCost& part = in_head ? head : convolutions;
      const int64_t level = item.key().starts_with("stem") ? 0 : level_of(item.key()) + 1;
      const int64_t positions = in_head ? 1 : halved(size_[0], level) * halved(size_[1], level);
      part.parameters += weight.numel();
      if (weight.dim() >= 2) part.multiply_adds += weight.numel() * positions;
    }
    for (PartCost* part : {&convolutions, &head}) part->active_parameters = part->parameters;
    return text("classifier of ", options_.image_channels, " x ", size_[0], " x ", size_[1], " pictures, ",
                options_.classes, " classes\n", cost_table({convolutions, head}));
  }

 private:
  // "halve1.conv.weight" -> 1
  static int64_t level_of(const std::string& name) {
    const size_t digit = name.find_first_of("0123456789");
    return digit < name.find('.') ? std::stoll(name.substr(digit)) : 0;
  }

  static int64_t halved(int64_t side, int64_t times) {
    for (; times > 0; --times) side = (side + 1) / 2;
    return side;
  }

  std::vector<std::string> classes_;
  std::vector<int64_t> size_;  // height, width
  double smoothing_;
  NetworkOptions options_;
  std::shared_ptr<Network> network_;
};

}  // namespace

std::unique_ptr<Task> create(const Config& config) {
  return std::make_unique<ClassifierTask>(config);
}

}  // namespace moe::classifier
