#include "models/diffusion/task.h"

#include <ATen/ATen.h>

#include <deque>

#include "base/error.h"
#include "eval/denoising.h"
#include "models/diffusion/denoise.h"
#include "models/diffusion/sampling.h"
#include "models/diffusion/summary.h"
#include "tensor/random.h"

namespace moe::diffusion {

namespace {

// Training pictures whose covariance the linear baselines of an evaluation know, at least.
constexpr int64_t baseline_pictures = 10000;

std::vector<int64_t> integers(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  return {dense.const_data_ptr<int64_t>(), dense.const_data_ptr<int64_t>() + dense.numel()};
}

// [C, H, W] in 0..1 -> [H, W, 3] uint8
at::Tensor picture_of(const at::Tensor& image) {
  const at::Tensor rgb = image.expand({3, image.size(1), image.size(2)}).permute({1, 2, 0});
  return rgb.mul(255).round().clamp(0, 255).to(at::kByte).contiguous();
}

// [rows * columns, C, H, W] -> [C, rows * (H + gap) + gap, ...], on white.
at::Tensor grid_of(const at::Tensor& images, int64_t columns) {
  constexpr int64_t gap = 2;
  const int64_t rows = images.size(0) / columns, height = images.size(2) + gap, width = images.size(3) + gap;
  at::Tensor out = at::ones({images.size(1), rows * height + gap, columns * width + gap});
  for (int64_t i = 0; i < images.size(0); ++i) {
    const int64_t top = i / columns * height + gap, left = i % columns * width + gap;
    out.narrow(1, top, images.size(2)).narrow(2, left, images.size(3)).copy_(images[i]);
  }
  return out;
}

class DiffusionTask : public Task {
 public:
  explicit DiffusionTask(const Config& config)
      : options_(read_options(config)),
        objective_(options_.objective),
        network_(make_network(options_.network, options_.seed)),
        reference_(std::make_shared<GenerationReference>(options_.evaluation, picture_shape())) {
    std::vector<std::string> names;
    for (int64_t e = 0; e < options_.network.experts.count; ++e) names.push_back(text("expert ", e));
    const int64_t top_k = options_.network.experts.router.top_k;
    for (const MixtureLayer& layer : network_->mixture_layers()) {
      stats_.emplace_back(layer.name, layer.unit == "pixel" ? "ffn" : "conv", layer.unit, names, top_k, classes());
      routers_.push_back(layer.router);
    }
  }

  BatchSpec batch_spec() const override {
    BatchSpec spec = {{.name = "images",
                       .dtype = at::kFloat,
                       .shape = picture_shape(),
                       .training_only = true,
                       .doc = "pictures in 0..1; predict() gives the denoising errors of these",
                       .lowest = 0,
                       .highest = 1},
                      {.name = "labels",
                       .dtype = at::kLong,
                       .shape = {},
                       .training_only = true,
                       .optional = classes() == 0,
                       .doc = "class index; predict(): -1 or absent for none"},
                      {.name = "indices",
                       .dtype = at::kLong,
                       .shape = {},
                       .optional = true,
                       .doc = "predict() without images samples these; >= 0"}};
    spec.push_back({.name = "seeds",
                    .dtype = at::kLong,
                    .shape = {},
                    .optional = true,
                    .doc = "seed of each sample; absent: the config's"});
    spec.push_back(
        {.name = "image_ids", .dtype = at::kLong, .shape = {}, .optional = true, .doc = "id in the data set"});
    return spec;
  }

  void check(const Batch& batch) const override {
    moe::check(batch.has("images") || batch.has("indices"), MOE_ERR_NOT_FOUND,
               "batch: expected images to denoise or indices to sample, got neither");
    if (batch.has("labels") && classes() > 0) check_range(batch, "labels", batch.has("images") ? 0 : -1, classes() - 1);
    if (batch.has("indices")) check_range(batch, "indices", 0, std::numeric_limits<int64_t>::max());
  }

  Normalizers normalizers(const Batch&) const override { return {}; }

  std::vector<LossTerm> forward(const Batch& batch, const ForwardContext& context) override {
    const at::Tensor x0 = batch.get("images") * 2 - 1;
    const TrainingDraw draw = draw_of(batch, x0, context);
    LossResult result = losses(options_, *network_, objective_, x0, draw, context);
    record(result.routings, draw.labels);
    return std::move(result.terms);
  }

  bool wants_totals() const override {
    return !routers_.empty() && options_.router_loss.over_window && options_.router_loss.wants_totals();
  }

  std::vector<RoutingTotals> totals(const Batch& batch, const ForwardContext& context) override {
    const at::Tensor x0 = batch.get("images") * 2 - 1;
    return diffusion::totals(options_, *network_, objective_, x0, draw_of(batch, x0, context), context);
  }

  Batch predict(const Batch& batch) override {
    const at::NoGradGuard no_grad;
    network_->eval();
    return batch.has("images") ? denoise(batch) : sample(batch);
  }

  std::unique_ptr<Evaluator> evaluator() const override {
    std::vector<std::unique_ptr<Evaluator>> parts;
    parts.push_back(make_denoising_evaluator(statistics_, NoiseSchedule({}).alphas_cumprod(), baseline_pictures));
    if (options_.evaluation.samples > 0) parts.push_back(make_generation_evaluator(options_.evaluation, reference_));
    return join_evaluators(std::move(parts));
  }
  torch::nn::Module& network() override { return *network_; }
  void commit() noexcept override {
    for (size_t i = 0; i < routers_.size(); ++i) routers_[i]->commit(stats_[i].window(MOE_WINDOW_LAST_STEP).assigned);
  }
  std::vector<RoutingStats*> routing() override {
    std::vector<RoutingStats*> out;
    for (RoutingStats& stats : stats_) out.push_back(&stats);
    return out;
  }
  std::vector<std::string> class_names() const override { return options_.classes; }
  std::string summary() const override { return summary_text(options_, *network_); }
  std::optional<ModelCost> cost() const override { return sum_costs(part_costs(options_.network, *network_)); }

  // A row for each class, or as many rows as columns.
  std::optional<Batch> preview_request() const override {
    const int64_t columns = options_.grid_columns, rows = classes() > 0 ? classes() : columns;
    if (columns == 0) return std::nullopt;
    const at::Tensor place = at::arange(rows * columns, at::kLong);
    Batch out;
    out.set("indices", classes() > 0 ? place.remainder(columns) : place);
    if (classes() > 0) out.set("labels", place.div(columns, "floor"));
    return out;
  }
  at::Tensor preview(const Batch& result) const override {
    return picture_of(grid_of(result.get("images"), options_.grid_columns));
  }

  // A sample as it is, whatever its size; grey ones as RGB.
  at::Tensor draw(const Batch&, const Batch& prediction, int64_t index, double) const override {
    const at::Tensor& images = prediction.get("images");
    moe::check(images.dim() == 4 && index < images.size(0) && (images.size(1) == 3 || images.size(1) == 1),
               MOE_ERR_SHAPE, "prediction: expected images [B, 1 or 3, H, W] with B > ", index, ", got ",
               shape_text(images.sizes()));
    return picture_of(images[index]);
  }

 private:
  int64_t classes() const { return options_.network.classes; }
  std::vector<int64_t> picture_shape() const {
    return {options_.network.image_channels, options_.network.height, options_.network.width};
  }

  TrainingDraw draw_of(const Batch& batch, const at::Tensor& x0, const ForwardContext& context) const {
    const at::Tensor labels = classes() > 0 ? batch.get("labels") : at::Tensor();
    return draw_training(objective_, x0, labels, classes(), options_.label_dropout, context.rng.child("diffusion"));
  }

  static void check_range(const Batch& batch, const std::string& field, int64_t lowest, int64_t highest) {
    const std::vector<int64_t> values = integers(batch.get(field));
    for (size_t i = 0; i < values.size(); ++i) {
      moe::check(values[i] >= lowest && values[i] <= highest, MOE_ERR_DATA, field, ": expected ", lowest, "..", highest,
                 ", got ", values[i], " at sample ", i);
    }
  }

  // -1 and absent become the row of no class.
  at::Tensor labels_of(const Batch& batch, int64_t samples) const {
    if (!batch.has("labels") || classes() == 0) return at::full({samples}, classes(), at::kLong);
    const at::Tensor& labels = batch.get("labels");
    return at::where(labels < 0, at::full_like(labels, classes()), labels);
  }

  // One step of every bucket for each picture, drawn by its id: the same in every evaluation. Levels are those of the
  // linear schedule whatever the network was trained with, so that errors compare.
  Batch denoise(const Batch& batch) {
    const at::Tensor x0 = batch.get("images") * 2 - 1, labels = labels_of(batch, x0.size(0));
    const NoiseSchedule linear({});
    const std::vector<StepBucket> buckets = step_buckets(linear.steps());
    std::vector<at::Tensor> errors, experts;
    std::vector<int64_t> edges = {0};
    for (const StepBucket& bucket : buckets) {
      std::vector<Level> levels;
      std::vector<at::Tensor> noise;
      for (int64_t i = 0; i < x0.size(0); ++i) {
        const int64_t id = batch.has("image_ids") ? batch.get("image_ids")[i].item<int64_t>() : i;
        Rng rng(0, "denoising error", static_cast<uint64_t>(id), static_cast<uint64_t>(bucket.first));
        levels.push_back(linear.level(bucket.first + rng.below(bucket.last - bucket.first)));
        noise.push_back(normal_tensor(rng.child("noise"), x0.sizes().slice(1)));
      }
      const DenoisingResult result = denoising_error(*network_, objective_, x0, levels, at::stack(noise), labels);
      record(result.routings, labels);
      errors.push_back(result.error);
      experts.push_back(choices(result.routings, x0.size(0)));
      edges.push_back(bucket.last);
    }
    Batch out;
    out.set("eps_mse", at::stack(errors, 1));
    out.set("step_edges", at::tensor(edges, at::kLong));
    if (!stats_.empty()) out.set("expert_counts", at::stack(experts, 1));
    if (batch.has("image_ids")) out.set("image_ids", batch.get("image_ids"));
    return out;
  }

  // How often each picture, or its pixels, chose each expert: int64 [B, layers, E].
  static at::Tensor choices(const std::vector<Routing>& routings, int64_t samples) {
    std::vector<at::Tensor> out;
    for (const Routing& routing : routings) {
      const at::Tensor chosen = routing.chosen.reshape({samples, -1});  // -1: none
      const at::Tensor counts = at::zeros({samples, routing.probabilities.size(1)}, at::kLong);
      out.push_back(counts.scatter_add(1, chosen.clamp_min(0), chosen.ge(0).to(at::kLong)));
    }
    return out.empty() ? at::Tensor() : at::stack(out, 1);
  }

  Batch sample(const Batch& batch) {
    SampleRequest request;
    request.indices = integers(batch.get("indices"));
    const auto count = static_cast<int64_t>(request.indices.size());
    request.seeds = batch.has("seeds")
                        ? integers(batch.get("seeds"))
                        : std::vector<int64_t>(request.indices.size(), static_cast<int64_t>(options_.seed));
    const at::Tensor labels = labels_of(batch, count);
    request.labels = integers(labels);
    Batch out;
    out.set("images", sample_pictures(options_, *network_, objective_, request));
    out.set("labels", at::where(labels == classes(), at::full_like(labels, -1), labels));
    out.set("indices", batch.get("indices"));
    return out;
  }

  // labels int64 [B], `classes` for none.
  void record(const std::vector<Routing>& routings, const at::Tensor& labels) {
    for (size_t i = 0; i < routings.size(); ++i) {
      const bool known = classes() > 0;
      stats_[i].record(
          routing_record(routings[i], known ? classes_of_tokens(labels, classes(), routings[i]) : at::Tensor()));
    }
  }

  Options options_;
  Objective objective_;
  std::shared_ptr<Network> network_;
  std::deque<RoutingStats> stats_;          // the session keeps pointers to them
  std::vector<const nn::Router*> routers_;  // of the same layers
  std::shared_ptr<PictureStatistics> statistics_ = std::make_shared<PictureStatistics>();
  std::shared_ptr<GenerationReference> reference_;
};

}  // namespace

std::unique_ptr<Task> create(const Config& config) {
  return std::make_unique<DiffusionTask>(config);
}

}  // namespace moe::diffusion
