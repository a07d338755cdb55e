#include "pictures.h"

#include <vector>

#include "base/rng.h"

namespace bench {

namespace {

constexpr int64_t boxes_each = 10;

std::vector<float> uniform(const char* name, int64_t count) {
  moe::Rng rng(1, name);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = static_cast<float>(rng.uniform());
  return out;
}

// cxcywh inside the picture, sides of 0.02 to 0.27.
std::vector<float> random_boxes(int64_t count) {
  std::vector<float> boxes = uniform("boxes", count * 4);
  for (size_t i = 0; i < boxes.size(); i += 4) {
    for (size_t k = i; k < i + 2; ++k) {
      boxes[k + 2] = 0.25F * boxes[k + 2] + 0.02F;
      boxes[k] = boxes[k + 2] / 2 + boxes[k] * (1 - boxes[k + 2]);
    }
  }
  return boxes;
}

}  // namespace

std::shared_ptr<moe_batch> random_pictures(const PictureSizes& sizes) {
  const int64_t count = sizes.images * boxes_each, image_shape[] = {sizes.images, 3, sizes.height, sizes.width};
  const int64_t box_shape[] = {count, 4}, offset_shape = sizes.images + 1;
  const std::vector<float> pixels = uniform("pixels", sizes.images * 3 * sizes.height * sizes.width);
  const std::vector<float> boxes = random_boxes(count);
  std::vector<int64_t> labels, offsets;
  moe::Rng rng(1, "labels");
  for (int64_t i = 0; i < count; ++i) labels.push_back(rng.below(sizes.classes));
  for (int64_t i = 0; i <= sizes.images; ++i) offsets.push_back(i * boxes_each);
  moe_batch* batch = nullptr;
  check(moe_batch_create(&batch));
  const auto set = [&](const char* name, const moe_tensor_view& values) { check(moe_batch_set(batch, name, &values)); };
  set("images", view(MOE_F32, pixels.data(), image_shape, 4));
  set("boxes", view(MOE_F32, boxes.data(), box_shape, 2));
  set("labels", view(MOE_I64, labels.data(), &count, 1));
  set("offsets", view(MOE_I64, offsets.data(), &offset_shape, 1));
  return {batch, moe_batch_free};
}

}  // namespace bench
