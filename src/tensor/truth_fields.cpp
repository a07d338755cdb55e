#include "tensor/truth_fields.h"

namespace moe {

BatchSpec truth_fields() {
  using enum FieldSpec::Layout;
  BatchSpec out;
  const auto rows = [&](const char* name, at::ScalarType type, std::vector<int64_t> shape, const char* doc) {
    out.push_back({name, type, std::move(shape), ragged, "gt_offsets", false, true, doc});
  };
  rows("gt_boxes", at::kDouble, {4}, "x, y, width, height in original pixels");
  rows("gt_labels", at::kLong, {}, "class index");
  rows("gt_area", at::kDouble, {}, "pixels^2");
  rows("gt_crowd", at::kLong, {}, "1: detections inside count neither way");
  rows("gt_ids", at::kLong, {}, "id of the annotation");
  out.push_back({"gt_offsets", at::kLong, {}, offsets, "", false, true, "first row of each sample in gt_*"});
  return out;
}

}  // namespace moe
