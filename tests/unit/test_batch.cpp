// Batches: order of fields, every line that check_batch() can say, collation and description.
#include "tensor/batch.h"

#include <ATen/ATen.h>

#include <limits>

#include "support/test.h"
#include "tensor/copy_range.h"

using namespace moe;

namespace {

using Layout = FieldSpec::Layout;

BatchSpec detection_spec() {
  return {
      {.name = "images", .dtype = at::kFloat, .shape = {3, -1, -1}, .doc = "RGB in 0..1"},
      {.name = "boxes",
       .dtype = at::kFloat,
       .shape = {4},
       .layout = Layout::ragged,
       .training_only = true,
       .doc = "cxcywh"},
      {.name = "labels",
       .dtype = at::kLong,
       .shape = {},
       .layout = Layout::ragged,
       .training_only = true,
       .doc = "class ids"},
      {.name = "offsets",
       .dtype = at::kLong,
       .shape = {},
       .layout = Layout::offsets,
       .training_only = true,
       .doc = "rows"},
      {.name = "image_ids", .dtype = at::kLong, .shape = {}, .optional = true, .doc = "ids"},
  };
}

// Two images with 2 and 1 objects.
Batch good_batch() {
  Batch batch;
  batch.set("images", at::rand({2, 3, 8, 6}));
  batch.set("boxes", at::rand({3, 4}));
  batch.set("labels", at::zeros({3}, at::kLong));
  batch.set("offsets", at::tensor({0, 2, 3}, at::kLong));
  return batch;
}

void expect(moe_status status, const std::string& part, const char* name, const at::Tensor& value) {
  Batch batch = good_batch();
  batch.set(name, value);
  CHECK_ERROR(status, part, check_batch(detection_spec(), batch, true));
}

at::Tensor offsets(std::vector<int64_t> values) {
  return at::tensor(values, at::kLong);
}

}  // namespace

static void fields_keep_their_order(void**) {
  Batch batch = good_batch();
  batch.set("boxes", at::zeros({1, 4}));  // replaces in place
  CHECK(batch.fields().size() == 4 && batch.fields()[1].first == "boxes" && batch.get("boxes").size(0) == 1);
  CHECK(batch.has("labels") && !batch.has("label"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected a tensor \"label\", got images, boxes, labels, offsets", batch.get("label"));
  batch.clear();
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected a tensor \"images\", got none", batch.get("images"));
}

static void good_batches_pass(void**) {
  Batch batch = good_batch();
  check_batch(detection_spec(), batch, true);
  CHECK(batch_size(detection_spec(), batch) == 2);
  batch.set("image_ids", at::zeros({2}, at::kLong));
  check_batch(detection_spec(), batch, true);
  batch.set("boxes", at::zeros({0, 4}));  // no object at all
  batch.set("labels", at::zeros({0}, at::kLong));
  batch.set("offsets", offsets({0, 0, 0}));
  check_batch(detection_spec(), batch, true);
  Batch images_only;
  images_only.set("images", at::rand({1, 3, 1, 1}));
  check_batch(detection_spec(), images_only, false);
  images_only.set("images", at::full({1, 3, 2, 2}, 3e38f));  // finite, though the sum is not
  check_batch(detection_spec(), images_only, false);
}

static void missing_tensors(void**) {
  Batch batch;
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected a tensor \"images\" [B, 3, H, W], got none",
              check_batch(detection_spec(), batch, false));
  batch.set("images", at::rand({2, 3, 8, 6}));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected a tensor \"boxes\" [N, 4], got none",
              check_batch(detection_spec(), batch, true));
  batch.set("bboxes", at::rand({3, 4}));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "got none (there is \"bboxes\", a name that is not used)",
              check_batch(detection_spec(), batch, true));
  batch.set("boxes", at::rand({3, 4}));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "expected a tensor \"offsets\" for the rows of \"boxes\", got none",
              check_batch(detection_spec(), batch, true));
}

static void wrong_types(void**) {
  expect(MOE_ERR_DTYPE, "images: expected float32, got float64", "images", at::rand({2, 3, 8, 6}, at::kDouble));
  expect(MOE_ERR_DTYPE, "images: expected float32, got int32", "images", at::zeros({2, 3, 8, 6}, at::kInt));
  expect(MOE_ERR_DTYPE, "labels: expected int64, got int32", "labels", at::zeros({3}, at::kInt));
  expect(MOE_ERR_DTYPE, "images: expected float32, got uint8", "images", at::zeros({2, 3, 8, 6}, at::kByte));
}

static void wrong_shapes(void**) {
  expect(MOE_ERR_SHAPE, "images: expected [B, 3, H, W] with B = 2, got [2, 4, 8, 6]", "images", at::rand({2, 4, 8, 6}));
  expect(MOE_ERR_SHAPE, "got [2, 3, 8]", "images", at::rand({2, 3, 8}));
  expect(MOE_ERR_SHAPE, "got [2, 3, 0, 6]", "images", at::rand({2, 3, 0, 6}));
  expect(MOE_ERR_SHAPE, "B = 0, got [0, 3, 8, 6]", "images", at::rand({0, 3, 8, 6}));
  expect(MOE_ERR_SHAPE, "images: expected [B, 3, H, W], got []", "images", at::rand({}));
  expect(MOE_ERR_SHAPE, "boxes: expected [N, 4] with B = 2, got [3, 5]", "boxes", at::rand({3, 5}));
  expect(MOE_ERR_SHAPE, "labels: expected [N], got [3, 1]", "labels", at::zeros({3, 1}, at::kLong));
  expect(MOE_ERR_SHAPE, "image_ids: expected [B] with B = 2, got [3]", "image_ids", at::zeros({3}, at::kLong));
}

static void wrong_offsets(void**) {
  expect(MOE_ERR_SHAPE, "offsets: expected [B+1] with B = 2, got [4]", "offsets", offsets({0, 1, 2, 3}));
  expect(MOE_ERR_DTYPE, "offsets: expected int64, got float32", "offsets", at::zeros({3}));
  expect(MOE_ERR_DTYPE, "offsets: expected int64, got int32", "offsets", at::zeros({3}, at::kInt));
  expect(MOE_ERR_DATA, "offsets: expected the first offset to be 0, got 1", "offsets", offsets({1, 2, 3}));
  expect(MOE_ERR_DATA, "expected rising offsets, got 4 then 3 at sample 1", "offsets", offsets({0, 4, 3}));
  expect(MOE_ERR_DATA, "expected the last offset to be the 3 rows of boxes, got 2", "offsets", offsets({0, 2, 2}));
  expect(MOE_ERR_DATA, "expected the last offset to be the 2 rows of labels, got 3", "labels",
         at::zeros({2}, at::kLong));
}

static void not_finite(void**) {
  at::Tensor images = at::rand({2, 3, 8, 6});
  images[1][2][0][5] = std::numeric_limits<float>::quiet_NaN();
  images[1][2][7][5] = std::numeric_limits<float>::infinity();
  expect(MOE_ERR_NUMERIC, "images: expected finite values, got 2 NaN or infinite ones, the first at [1, 2, 0, 5]",
         "images", images);
  at::Tensor boxes = at::rand({3, 4});
  boxes[2][3] = -std::numeric_limits<float>::infinity();
  expect(MOE_ERR_NUMERIC, "the first at [2, 3]", "boxes", boxes);
}

static void out_of_range(void**) {
  BatchSpec spec = detection_spec();
  spec[0].lowest = 0;
  spec[0].highest = 1;
  Batch batch = good_batch();
  check_batch(spec, batch, true);
  batch.set("images", at::full({2, 3, 8, 6}, 255.0f));
  CHECK_ERROR(MOE_ERR_DATA, "images: expected values of 0 to 1, got 255 to 255: divide 8-bit pictures by 255",
              check_batch(spec, batch, true));
  batch.set("images", at::rand({2, 8, 6, 6}).slice(3, 0, 6, 2).permute({0, 3, 1, 2}) - 0.5);  // not dense
  CHECK_ERROR(MOE_ERR_DATA, "images: expected values of 0 to 1, got -0.", check_batch(spec, batch, true));
}

// The range that a copy has seen is that of the values, whatever their number; one odd value leaves none.
static void copies_know_their_range(void**) {
  struct Case {
    int64_t n, first = 0;
  };
  const int64_t large = 3000001;  // one that is copied past the caches
  for (const auto& [n, first] : {Case{1}, {15}, {16}, {17}, {8191}, {8193}, {300001}, {large}, {large, 1}}) {
    const at::Tensor from = at::rand({n}) * 3 - 1;
    at::Tensor to = at::empty({first + n}).slice(0, first);
    const std::optional<ValueRange> range =
        copy_with_range(from.const_data_ptr<float>(), to.mutable_data_ptr<float>(), n);
    CHECK(to.equal(from) && range && range->low == from.min().item<double>() &&
          range->high == from.max().item<double>());
    for (const float odd : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
        at::Tensor bad = from.clone();
        bad[at] = odd;
        CHECK(!copy_with_range(bad.const_data_ptr<float>(), to.mutable_data_ptr<float>(), n));
      }
    }
  }
  CHECK(!copy_with_range(nullptr, nullptr, 0));
}

static void known_ranges_are_checked_and_forgotten(void**) {
  BatchSpec spec = detection_spec();
  spec[0].highest = 1;
  Batch batch = good_batch();
  batch.set("images", at::rand({2, 3, 8, 6}), ValueRange{0, 7});
  CHECK_ERROR(MOE_ERR_DATA, "images: expected values of -inf to 1, got 0 to 7", check_batch(spec, batch, true));
  batch.set("images", at::rand({2, 3, 8, 6}));
  check_batch(spec, batch, true);
  batch.set("images", at::rand({2, 3, 8, 6}), ValueRange{0, 7});
  batch.clear();
  CHECK(!batch.range("images"));
}

static void strided_views_are_accepted(void**) {
  Batch batch = good_batch();
  batch.set("images", at::rand({2, 8, 6, 3}).permute({0, 3, 1, 2}));
  batch.set("offsets", offsets({0, 9, 2, 9, 3, 9}).view({3, 2}).select(1, 0));
  check_batch(detection_spec(), batch, true);
}

static void collation(void**) {
  std::vector<Batch> samples(3);
  const int64_t objects[] = {2, 0, 1};
  for (int64_t i = 0; i < 3; ++i) {
    samples[i].set("images", at::full({3, 4, 5}, static_cast<double>(i)));
    samples[i].set("boxes", at::full({objects[i], 4}, static_cast<double>(i)));
    samples[i].set("labels", at::full({objects[i]}, i, at::kLong));
    samples[i].set("image_ids", at::scalar_tensor(10 + i, at::kLong));
  }
  const Batch batch = collate(detection_spec(), samples);
  check_batch(detection_spec(), batch, true);
  CHECK(batch.get("images").sizes() == at::IntArrayRef({3, 3, 4, 5}));
  CHECK(at::equal(batch.get("offsets"), offsets({0, 2, 2, 3})));
  CHECK(at::equal(batch.get("labels"), offsets({0, 0, 2})));
  CHECK(at::equal(batch.get("image_ids"), offsets({10, 11, 12})));
  CHECK(collate(detection_spec(), {}).fields().empty());
}

static void descriptions(void**) {
  CHECK(describe(detection_spec()) ==
        "images: float32 [B, 3, H, W]  RGB in 0..1\n"
        "boxes: float32 [N, 4]  cxcywh (training)\n"
        "labels: int64 [N]  class ids (training)\n"
        "offsets: int64 [B+1]  rows (training)\n"
        "image_ids: int64 [B]  ids (optional)\n");
  CHECK(shape_text({}) == "[]" && shape_text({4, 3}) == "[4, 3]");
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(fields_keep_their_order),
      cmocka_unit_test(good_batches_pass),
      cmocka_unit_test(missing_tensors),
      cmocka_unit_test(wrong_types),
      cmocka_unit_test(wrong_shapes),
      cmocka_unit_test(wrong_offsets),
      cmocka_unit_test(not_finite),
      cmocka_unit_test(out_of_range),
      cmocka_unit_test(copies_know_their_range),
      cmocka_unit_test(known_ranges_are_checked_and_forgotten),
      cmocka_unit_test(strided_views_are_accepted),
      cmocka_unit_test(collation),
      cmocka_unit_test(descriptions),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
