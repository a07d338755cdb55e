// COCO numbers from batches: collects truths and detections as plain structs; evaluate_coco() does the rest.
#include <ATen/ATen.h>

#include <unordered_set>

#include "base/error.h"
#include "eval/coco.h"
#include "eval/coco_metrics.h"
#include "eval/coco_write.h"
#include "eval/evaluator.h"
#include "tensor/truth_fields.h"

namespace moe {

namespace {

using Layout = FieldSpec::Layout;

BatchSpec make_spec() {
  BatchSpec fields = {
      {.name = "image_ids", .dtype = at::kLong, .shape = {}, .doc = "one id an image"},
      {.name = "boxes", .dtype = at::kFloat, .shape = {4}, .layout = Layout::ragged},
      {.name = "scores", .dtype = at::kFloat, .shape = {}, .layout = Layout::ragged},
      {.name = "labels", .dtype = at::kLong, .shape = {}, .layout = Layout::ragged},
      {.name = "offsets", .dtype = at::kLong, .shape = {}, .layout = Layout::offsets},
  };
  BatchSpec truth = truth_fields();
  for (FieldSpec& field : truth) {
    field.optional = field.name == "gt_ids";
    if (field.name == "gt_crowd") field.dtype = at::kBool;
  }
  fields.insert(fields.begin() + 1, truth.begin(), truth.end());
  return fields;
}

const BatchSpec& spec() {
  static const BatchSpec fields = make_spec();
  return fields;
}

bool is_prediction(const std::string& name) {
  return name == "boxes" || name == "scores" || name == "labels" || name == "offsets";
}

// The fields of both batches under one roof, contiguous and checked.
Batch checked(const Batch& targets, const Batch& predictions) {
  check(targets.has("gt_boxes"), MOE_ERR_UNSUPPORTED,
        "evaluation: expected targets with \"gt_boxes\" (float64 [N, 4]), got a batch without truth: use a labelled "
        "split");
  Batch both;
  for (const FieldSpec& field : spec()) {
    const Batch& source = is_prediction(field.name) ? predictions : targets;
    if (source.has(field.name)) both.set(field.name, source.get(field.name).contiguous());
  }
  if (both.has("gt_crowd") && at::isIntegralType(both.get("gt_crowd").scalar_type(), false)) {
    both.set("gt_crowd", both.get("gt_crowd").to(at::kBool));
  }
  check_batch(spec(), both, true);
  return both;
}

// The box of row i of xyxy corners; widened before it is subtracted.
CocoBox box_of_corners(const float* corners, int64_t i) {
  const double x1 = corners[4 * i], y1 = corners[4 * i + 1], x2 = corners[4 * i + 2], y2 = corners[4 * i + 3];
  return {x1, y1, x2 - x1, y2 - y1};
}

class BatchEvaluator : public Evaluator {
 public:
  BatchEvaluator(std::vector<std::string> class_names, std::vector<ClassGroup> groups, std::vector<int64_t> categories)
      : class_names_(std::move(class_names)), groups_(std::move(groups)), categories_(std::move(categories)) {}

  void add(const Batch& targets, const Batch& predictions) override {
    const Batch batch = checked(targets, predictions);
    check_labels(batch, "gt_labels");
    check_labels(batch, "labels");
    add_images(batch.get("image_ids"), targets);
    add_truths(batch);
    add_detections(batch);
  }

  std::vector<Metric> finish() override {
    CocoOptions options;
    options.classes = classes();
    const CocoResult result = evaluate_coco(truths_, detections_, options);
    std::vector<Metric> metrics = coco_metrics(result, class_names_);
    for (const auto& part : {operating_metrics(result, class_names_), group_metrics(result, groups_)}) {
      metrics.insert(metrics.end(), part.begin(), part.end());
    }
    return metrics;
  }

  void save(const std::string& folder) const override {
    write_coco_files(folder, {class_names_, categories_, images_, truths_, detections_});
  }

 private:
  int64_t classes() const { return static_cast<int64_t>(class_names_.size()); }

  void check_labels(const Batch& batch, const std::string& name) const {
    const at::Tensor& labels = batch.get(name);
    const int64_t* values = labels.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < labels.numel(); ++i) {
      check(values[i] >= 0 && values[i] < classes(), MOE_ERR_DATA, "evaluation: ", name,
            ": expected class ids in 0 .. ", classes() - 1, ", got ", values[i], " at row ", i);
    }
  }

  void add_images(const at::Tensor& ids, const Batch& targets) {
    const int64_t* values = ids.const_data_ptr<int64_t>();
    std::unordered_set<int64_t> fresh;
    for (int64_t i = 0; i < ids.numel(); ++i) {
      check(seen_.count(values[i]) == 0 && fresh.insert(values[i]).second, MOE_ERR_DATA,
            "evaluation: image_ids: expected every image once, got ", values[i], " again at row ", i);
    }
    seen_.merge(fresh);
    at::Tensor sizes = at::zeros({ids.numel(), 2}, at::kLong);  // height, width
    if (targets.has("sizes")) sizes = targets.get("sizes").contiguous();
    const int64_t* size = sizes.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < ids.numel(); ++i) images_.push_back({values[i], size[2 * i + 1], size[2 * i]});
  }

  void add_truths(const Batch& batch) {
    const int64_t* images = batch.get("image_ids").const_data_ptr<int64_t>();
    const int64_t* offsets = batch.get("gt_offsets").const_data_ptr<int64_t>();
    const int64_t* labels = batch.get("gt_labels").const_data_ptr<int64_t>();
    const double* boxes = batch.get("gt_boxes").const_data_ptr<double>();
    const double* areas = batch.get("gt_area").const_data_ptr<double>();
    const bool* crowds = batch.get("gt_crowd").const_data_ptr<bool>();
    const int64_t* ids = batch.has("gt_ids") ? batch.get("gt_ids").const_data_ptr<int64_t>() : nullptr;
    for (int64_t b = 0; b < batch.get("image_ids").numel(); ++b) {
      for (int64_t i = offsets[b]; i < offsets[b + 1]; ++i) {
        const CocoBox box = {boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]};
        const int64_t id = ids ? ids[i] : static_cast<int64_t>(truths_.size()) + 1;
        truths_.push_back({images[b], labels[i], box, areas[i], crowds[i], id});
      }
    }
  }

  void add_detections(const Batch& batch) {
    const int64_t* images = batch.get("image_ids").const_data_ptr<int64_t>();
    const int64_t* offsets = batch.get("offsets").const_data_ptr<int64_t>();
    const int64_t* labels = batch.get("labels").const_data_ptr<int64_t>();
    const float* boxes = batch.get("boxes").const_data_ptr<float>();
    const float* scores = batch.get("scores").const_data_ptr<float>();
    for (int64_t b = 0; b < batch.get("image_ids").numel(); ++b) {
      for (int64_t i = offsets[b]; i < offsets[b + 1]; ++i) {
        detections_.push_back({images[b], labels[i], box_of_corners(boxes, i), scores[i]});
      }
    }
  }

  std::vector<std::string> class_names_;
  std::vector<ClassGroup> groups_;
  std::vector<int64_t> categories_;
  std::unordered_set<int64_t> seen_;
  std::vector<CocoImage> images_;
  std::vector<CocoTruth> truths_;
  std::vector<CocoDetection> detections_;
};

}  // namespace

std::unique_ptr<Evaluator> make_coco_evaluator(std::vector<std::string> class_names, std::vector<ClassGroup> groups,
                                               std::vector<int64_t> categories) {
  return std::make_unique<BatchEvaluator>(std::move(class_names), std::move(groups), std::move(categories));
}

}  // namespace moe
