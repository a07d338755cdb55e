#include "models/rtdetr/task.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <deque>

#include "base/error.h"
#include "eval/coco.h"
#include "models/rtdetr/draw.h"
#include "models/rtdetr/join_views.h"
#include "models/rtdetr/losses.h"
#include "models/rtdetr/names.h"
#include "models/rtdetr/network.h"
#include "models/rtdetr/postprocess.h"
#include "models/rtdetr/summary.h"
#include "tensor/scope.h"
#include "tensor/truth_fields.h"

namespace moe::rtdetr {

namespace {

Targets targets_in(const Batch& batch, const std::string& boxes, const std::string& labels,
                   const std::string& offsets) {
  const at::Tensor rows = batch.get(offsets).contiguous();
  Targets out;
  out.boxes = batch.get(boxes);
  out.labels = batch.get(labels);
  out.offsets.assign(rows.const_data_ptr<int64_t>(), rows.const_data_ptr<int64_t>() + rows.numel());
  return out;
}

void check_labels(const at::Tensor& labels, const std::string& field, int64_t classes) {
  const at::Tensor dense = labels.contiguous();
  const int64_t* ids = dense.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < dense.numel(); ++i) {
    check(ids[i] >= 0 && ids[i] < classes, MOE_ERR_DATA, field, ": expected class ids 0..", classes - 1, ", got ",
          ids[i], " at row ", i);
  }
}

// Rounding of a box that touches the border may leave it a little outside.
void check_boxes(const at::Tensor& boxes) {
  constexpr float slack = 1e-3F;
  const at::Tensor dense = boxes.contiguous();
  const float* box = dense.const_data_ptr<float>();
  for (int64_t i = 0; i < dense.size(0); ++i, box += 4) {
    const bool centre = box[0] >= -slack && box[0] <= 1 + slack && box[1] >= -slack && box[1] <= 1 + slack;
    const bool sides = box[2] > 0 && box[2] <= 1 + slack && box[3] > 0 && box[3] <= 1 + slack;
    check(centre && sides, MOE_ERR_DATA, "boxes: expected cx, cy in 0..1 and w, h in (0, 1] of the input, got [",
          box[0], ", ", box[1], ", ", box[2], ", ", box[3], "] at row ", i);
  }
}

BatchSpec input_fields() {
  using enum FieldSpec::Layout;
  return {
      {.name = "images",
       .dtype = at::kFloat,
       .shape = {3, -1, -1},
       .doc = "RGB in 0..1, sides of 32 pixels or more",
       .lowest = 0,
       .highest = 1},
      {.name = "image_ids", .dtype = at::kLong, .shape = {}, .optional = true, .doc = "id in the data set"},
      {.name = "sizes",
       .dtype = at::kLong,
       .shape = {2},
       .optional = true,
       .doc = "height, width of the original, pixels"},
      {.name = "frames",
       .dtype = at::kFloat,
       .shape = {4},
       .optional = true,
       .doc = "scale x, y, shift x, y: input = original * scale + shift"},
  };
}

// Of a large picture that is looked at in parts as well; one picture a batch.
BatchSpec view_fields() {
  using enum FieldSpec::Layout;
  return {
      {.name = "pictures", .dtype = at::kByte, .shape = {-1, -1, 3}, .optional = true, .doc = "RGB of the original"},
      {.name = "slices",
       .dtype = at::kLong,
       .shape = {4},
       .layout = ragged,
       .offsets = "slice_offsets",
       .optional = true,
       .doc = "parts of the original to look at as well: x0, y0, x1, y1, pixels"},
      {.name = "slice_offsets",
       .dtype = at::kLong,
       .shape = {},
       .layout = offsets,
       .optional = true,
       .doc = "first row of each sample in slices"},
  };
}

void check_views(const Batch& batch) {
  if (!batch.has("slices")) return;
  moe::check(batch.has("pictures") && batch.get("images").size(0) == 1, MOE_ERR_SHAPE,
             "slices: expected one picture in the batch, with its original as \"pictures\", got ",
             batch.has("pictures") ? "several" : "none");
  const at::Tensor slices = batch.get("slices").contiguous();
  const int64_t height = batch.get("pictures").size(1), width = batch.get("pictures").size(2);
  const int64_t* row = slices.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < slices.size(0); ++i, row += 4) {
    const bool inside =
        row[0] >= 0 && row[1] >= 0 && row[0] < row[2] && row[1] < row[3] && row[2] <= width && row[3] <= height;
    moe::check(inside, MOE_ERR_DATA, "slices: expected x0 < x1 and y0 < y1 inside the ", width, " x ", height,
               " picture, got [", row[0], ", ", row[1], ", ", row[2], ", ", row[3], "] at row ", i);
  }
}

BatchSpec target_fields() {
  using enum FieldSpec::Layout;
  return {
      {.name = "boxes",
       .dtype = at::kFloat,
       .shape = {4},
       .layout = ragged,
       .training_only = true,
       .doc = "cx, cy, w, h as shares of the input"},
      {.name = "labels",
       .dtype = at::kLong,
       .shape = {},
       .layout = ragged,
       .training_only = true,
       .doc = "class index"},
      {.name = "offsets",
       .dtype = at::kLong,
       .shape = {},
       .layout = offsets,
       .training_only = true,
       .doc = "first row of each sample in boxes and labels"},
  };
}

class RtdetrTask : public Task {
 public:
  explicit RtdetrTask(const Config& config)
      : options_(read_options(config)), network_(std::make_shared<Network>(options_)) {
    if (options_.mixture) {
      stats_.emplace_back("decoder.gate", "class_partitioned", "image", options_.groups.names, options_.gate.top_k,
                          classes());
    }
    routers_ = network_->decoder().routers();
    for (size_t i = 0; i < routers_.size(); ++i) {
      stats_.emplace_back(text("decoder.decoder.layers.", i, ".experts"), "ffn", "query", expert_names(),
                          options_.decoder.ffn_router.top_k, classes());
    }
  }

  BatchSpec batch_spec() const override {
    BatchSpec spec = input_fields();
    for (const BatchSpec& part : {view_fields(), target_fields(), truth_fields()})
      spec.insert(spec.end(), part.begin(), part.end());
    return spec;
  }

  void check(const Batch& batch) const override {
    const at::Tensor& images = batch.get("images");
    moe::check(images.size(2) >= 32 && images.size(3) >= 32, MOE_ERR_SHAPE,
               "images: expected sides of 32 pixels or more, got ", shape_text(images.sizes()));
    if (batch.has("labels")) check_labels(batch.get("labels"), "labels", classes());
    if (batch.has("boxes")) check_boxes(batch.get("boxes"));
    check_views(batch);
  }

  Normalizers normalizers(const Batch& batch) const override {
    Normalizers out = count_boxes(options_, batch.get("labels"));
    if (!routers_.empty()) out["router_tokens"] = static_cast<double>(routed_tokens(batch));
    return out;
  }

  bool wants_totals() const override {
    return !routers_.empty() && options_.router_loss.over_window && options_.router_loss.wants_totals();
  }

  std::vector<RoutingTotals> totals(const Batch& batch, const ForwardContext& context) override {
    const Targets targets = targets_in(batch, "boxes", "labels", "offsets");
    return layer_totals(options_, network_->forward(batch.get("images"), &targets, context.rng), targets);
  }

  std::vector<LossTerm> forward(const Batch& batch, const ForwardContext& context) override {
    const Targets targets = targets_in(batch, "boxes", "labels", "offsets");
    const NetworkOutput output = network_->forward(batch.get("images"), &targets, context.rng);
    std::vector<at::Tensor> token_classes;
    std::vector<LossTerm> terms = losses(options_, output, targets, context, &token_classes);
    if (options_.mixture) record_gate(output, class_counts(targets, classes()));
    record_layers(output, token_classes);
    return terms;
  }

  Batch predict(const Batch& batch) override {
    const at::NoGradGuard no_grad;
    network_->eval();
    const at::Tensor& images = batch.get("images");
    const NetworkOutput output = network_->forward(images, nullptr, Rng(options_.seed, "predict"));
    if (options_.mixture) record_gate(output, true_counts(batch));
    record_layers(output, {});
    const Detections best = best_detections(output, options_.groups, images.size(0), options_.max_detections);
    Batch out;
    out.set("boxes", original_boxes(best, batch));
    out.set("scores", best.scores);
    out.set("labels", best.labels);
    out.set("offsets", best.offsets);
    for (const char* name : {"image_ids", "sizes"}) {
      if (batch.has(name)) out.set(name, batch.get(name));
    }
    return out;
  }

  Batch join_views(const std::vector<Batch>& predictions, const at::Tensor& windows) const override {
    Batch out = joined_prediction(predictions, windows, options_.same_object);
    for (const char* name : {"image_ids", "sizes"}) {
      if (predictions.front().has(name)) out.set(name, predictions.front().get(name));
    }
    return out;
  }

  std::unique_ptr<Evaluator> evaluator() const override {
    return make_coco_evaluator(options_.classes, class_groups(), options_.categories);
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
  std::optional<ModelCost> cost() const override { return sum_costs(part_costs(options_, *network_)); }
  at::Tensor draw(const Batch& batch, const Batch& prediction, int64_t index, double min_score) const override {
    return draw_detections(batch, prediction, index, min_score, options_.classes);
  }

  std::vector<TensorParts> other_names(const std::string& name) const override { return rtdetr::other_names(name); }
  bool is_redundant(const std::string& name) const override { return rtdetr::is_redundant(name); }
  bool is_head(const std::string& name) const override { return rtdetr::is_head(name); }
  std::vector<std::string> export_formats() const override { return {"transformers"}; }
  ExportedModel export_as(const std::string&, const NamedTensors& weights) const override {
    return export_to_transformers(options_, weights);
  }

 private:
  int64_t classes() const { return static_cast<int64_t>(options_.classes.size()); }

  // Tokens of a decoder layer in training: the queries, and the denoising queries that have a target.
  int64_t routed_tokens(const Batch& batch) const {
    const at::Tensor& images = batch.get("images");
    const Targets targets = targets_in(batch, "boxes", "labels", "offsets");
    int64_t cells = 0, most = 0;
    for (const int64_t stride : network_->strides()) {
      cells += ((images.size(2) + stride - 1) / stride) * ((images.size(3) + stride - 1) / stride);
    }
    for (int64_t i = 0; i < targets.images(); ++i) most = std::max(most, targets.count(i));
    const int64_t groups = denoising_groups(options_.denoising.queries, most);
    return images.size(0) * std::min(options_.queries, cells) + 2 * groups * targets.count();
  }

  // Objects of each class in each image, for the class x expert table; undefined where the batch does not say.
  at::Tensor true_counts(const Batch& batch) const {
    if (batch.has("gt_labels") && batch.has("gt_offsets")) return truth_counts(batch);
    if (!batch.has("labels") || !batch.has("boxes") || !batch.has("offsets")) return {};
    return class_counts(targets_in(batch, "boxes", "labels", "offsets"), classes());
  }

  at::Tensor truth_counts(const Batch& batch) const {
    const at::Tensor labels = batch.get("gt_labels").contiguous(), offsets = batch.get("gt_offsets").contiguous();
    const at::Tensor crowd =
        batch.has("gt_crowd") ? batch.get("gt_crowd").to(at::kBool) : at::zeros_like(labels, at::kBool);
    const int64_t images = offsets.numel() - 1;
    at::Tensor counts = at::zeros({images, classes()}, at::kLong);
    const int64_t *label = labels.const_data_ptr<int64_t>(), *first = offsets.const_data_ptr<int64_t>();
    const at::Tensor dense = crowd.contiguous();
    for (int64_t i = 0; i < images; ++i) {
      for (int64_t row = first[i]; row < first[i + 1]; ++row) {
        const bool counted = !dense.const_data_ptr<bool>()[row] && label[row] >= 0 && label[row] < classes();
        if (counted) ++counts.mutable_data_ptr<int64_t>()[i * classes() + label[row]];
      }
    }
    return counts;
  }

  // Of the experts, where they stand for classes and one of them for several.
  std::vector<ClassGroup> class_groups() const {
    const bool taught = options_.mixture || options_.router_loss.class_guided > 0;
    const ExpertGroups& groups = options_.mixture ? options_.groups : options_.class_groups;
    std::vector<ClassGroup> out;
    for (int64_t e = 0; taught && e < groups.size(); ++e) out.push_back({groups.names[e], groups.classes[e]});
    const bool single = std::ranges::all_of(out, [](const ClassGroup& group) { return group.classes.size() == 1; });
    return single ? std::vector<ClassGroup>() : out;
  }

  // Only experts that are taught a group of classes have its name.
  std::vector<std::string> expert_names() const {
    if (options_.router_loss.class_guided > 0) return options_.class_groups.names;
    std::vector<std::string> names;
    for (int64_t e = 0; e < options_.decoder.ffn_experts; ++e) names.push_back(text("expert ", e));
    return names;
  }

  void record_gate(const NetworkOutput& output, const at::Tensor& counts) {
    const at::Tensor p = output.gate.probabilities.detach().to(at::kFloat);
    const at::Tensor distribution = p / p.sum(1, /*keepdim=*/true).clamp_min(1e-12);
    stats_.front().record(
        {distribution, expert_indices(output.gate.chosen), p, expert_indices(output.gate.computed), {}, {}, counts});
  }

  // token_classes: by layer, the class of each token or -1; empty: not known.
  void record_layers(const NetworkOutput& output, const std::vector<at::Tensor>& token_classes) {
    if (options_.decoder.ffn_experts == 0) return;
    const std::vector<Routing>& routings = output.experts.front().routings;
    for (size_t i = 0; i < routings.size(); ++i) {
      stats_[i].record(routing_record(routings[i], i < token_classes.size() ? token_classes[i] : at::Tensor()));
    }
  }

  Options options_;
  std::shared_ptr<Network> network_;
  std::deque<RoutingStats> stats_;          // the session keeps pointers to them
  std::vector<const nn::Router*> routers_;  // of feed-forward experts, of the same layers
};

}  // namespace

std::unique_ptr<Task> create(const Config& config) {
  return std::make_unique<RtdetrTask>(config);
}

}  // namespace moe::rtdetr
