#include "data/transform.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/simd.h"

namespace moe {

CornerBox clip(CornerBox box, ImageSize size) {
  const auto width = static_cast<double>(size.width), height = static_cast<double>(size.height);
  return {std::clamp(box.x0, 0.0, width), std::clamp(box.y0, 0.0, height), std::clamp(box.x1, 0.0, width),
          std::clamp(box.y1, 0.0, height)};
}

static int64_t scaled(int64_t size, double factor, int64_t limit) {
  return std::clamp<int64_t>(std::llround(static_cast<double>(size) * factor), 1, limit);
}

InputTransform::InputTransform(ImageSize picture, ImageSize input, Fit fit) : input_(input), resized_(input) {
  if (fit == Fit::letterbox) {
    const double factor = std::min(static_cast<double>(input.width) / static_cast<double>(picture.width),
                                   static_cast<double>(input.height) / static_cast<double>(picture.height));
    resized_ = {scaled(picture.height, factor, input.height), scaled(picture.width, factor, input.width)};
    left_ = (input.width - resized_.width) / 2;
    top_ = (input.height - resized_.height) / 2;
  }
  // Of the whole pixels really written, not the unrounded factor: pixels and boxes agree to the last bit.
  scale_x_ = static_cast<double>(resized_.width) / static_cast<double>(picture.width);
  scale_y_ = static_cast<double>(resized_.height) / static_cast<double>(picture.height);
}

CornerBox InputTransform::box(CornerBox picture) const {
  const auto left = static_cast<double>(left_), top = static_cast<double>(top_);
  return {picture.x0 * scale_x_ + left, picture.y0 * scale_y_ + top, picture.x1 * scale_x_ + left,
          picture.y1 * scale_y_ + top};
}

CornerBox InputTransform::invert(CornerBox input) const {
  const auto left = static_cast<double>(left_), top = static_cast<double>(top_);
  return {(input.x0 - left) / scale_x_, (input.y0 - top) / scale_y_, (input.x1 - left) / scale_x_,
          (input.y1 - top) / scale_y_};
}

at::Tensor InputTransform::frame() const {
  const auto values = {static_cast<float>(scale_x_), static_cast<float>(scale_y_), static_cast<float>(left_),
                       static_cast<float>(top_)};
  return at::tensor(at::ArrayRef<float>(values), at::kFloat);
}

// Division, as torchvision scales: a product with 1/255 would differ in the last bit.
MOE_MULTIVERSION static void to_unit(const uint8_t* in, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(in[i]) / 255.0f;
}

// The picture as uint8 [1, 3, h, w] in h, w, 3 memory order, sharing its memory.
static at::Tensor view_of(const Image& picture) {
  const int64_t h = picture.height, w = picture.width;
  auto* data = const_cast<uint8_t*>(picture.pixels.data());
  return at::from_blob(data, {1, 3, h, w}, {h * w * 3, 1, w * 3, 3}, at::TensorOptions(at::kByte));
}

static void reverse_row(const uint8_t* in, uint8_t* out, int64_t width) {
  out += (width - 1) * 3;
  for (int64_t x = 0; x < width; ++x, in += 3, out -= 3) {
    out[0] = in[0];
    out[1] = in[1];
    out[2] = in[2];
  }
}

at::Tensor InputTransform::pixels(const Image& picture, bool mirrored) const {
  at::Tensor small = view_of(picture);  // uint8 [1, 3, h, w]
  if (resized_.height != picture.height || resized_.width != picture.width) {
    small = at::_upsample_bilinear2d_aa(small, {resized_.height, resized_.width}, false, std::nullopt, std::nullopt)
                .contiguous(at::MemoryFormat::ChannelsLast);
  }
  const bool filled = resized_.height == input_.height && resized_.width == input_.width;
  const std::vector<int64_t> shape = {input_.height, input_.width, 3};
  at::Tensor out = filled ? at::empty(shape, at::kFloat) : at::zeros(shape, at::kFloat);  // [H, W, 3]
  const int64_t left = mirrored ? input_.width - left_ - resized_.width : left_;
  const uint8_t* from = small.const_data_ptr<uint8_t>();
  float* to = out.mutable_data_ptr<float>() + (top_ * input_.width + left) * 3;
  std::vector<uint8_t> reversed(static_cast<size_t>(mirrored ? resized_.width * 3 : 0));
  for (int64_t y = 0; y < resized_.height; ++y, from += resized_.width * 3, to += input_.width * 3) {
    if (mirrored) reverse_row(from, reversed.data(), resized_.width);
    to_unit(mirrored ? reversed.data() : from, to, resized_.width * 3);
  }
  return out.permute({2, 0, 1});
}

CornerBox mirror(CornerBox input, int64_t input_width) {
  const auto width = static_cast<double>(input_width);
  return {width - input.x1, input.y0, width - input.x0, input.y1};
}

at::Tensor normalised_cxcywh(const std::vector<CornerBox>& boxes, ImageSize input) {
  at::Tensor out = at::empty({static_cast<int64_t>(boxes.size()), 4}, at::kFloat);
  float* row = out.mutable_data_ptr<float>();
  const auto width = static_cast<double>(input.width), height = static_cast<double>(input.height);
  for (const CornerBox& box : boxes) {
    *row++ = static_cast<float>((box.x0 + box.x1) / 2 / width);
    *row++ = static_cast<float>((box.y0 + box.y1) / 2 / height);
    *row++ = static_cast<float>(box.width() / width);
    *row++ = static_cast<float>(box.height() / height);
  }
  return out;
}

}  // namespace moe
