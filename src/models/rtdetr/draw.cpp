#include "models/rtdetr/draw.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "image/canvas.h"
#include "nn/boxes.h"

namespace moe::rtdetr {

namespace {

// input pixels = original pixels * scale + shift
struct Frame {
  double scale_x = 1, scale_y = 1, shift_x = 0, shift_y = 0;
  Point point(double x, double y) const { return {x * scale_x + shift_x, y * scale_y + shift_y}; }
};

Frame frame_of(const Batch& batch, int64_t index) {
  if (!batch.has("frames")) return {};
  const at::Tensor f = batch.get("frames")[index].to(at::kDouble).contiguous();
  const double* v = f.const_data_ptr<double>();
  return {v[0], v[1], v[2], v[3]};
}

Image picture(const at::Tensor& pixels) {  // [3, H, W] in 0..1
  const at::Tensor bytes = (pixels.detach().clamp(0, 1) * 255).round().to(at::kByte).permute({1, 2, 0}).contiguous();
  Image image(bytes.size(1), bytes.size(0));
  std::memcpy(image.pixels.data(), bytes.const_data_ptr<uint8_t>(), image.pixels.size());
  return image;
}

at::Tensor rows(const Batch& batch, const char* name, const char* offsets, int64_t index) {
  const at::Tensor& all = batch.get(offsets);
  return batch.get(name).slice(0, all[index].item<int64_t>(), all[index + 1].item<int64_t>());
}

// The prediction beside the images that it belongs to, contiguous and checked.
Batch checked(const Batch& batch, const Batch& prediction, int64_t classes) {
  using enum FieldSpec::Layout;
  static const BatchSpec spec = {
      {.name = "images", .dtype = at::kFloat, .shape = {3, -1, -1}},
      {.name = "boxes", .dtype = at::kFloat, .shape = {4}, .layout = ragged},
      {.name = "scores", .dtype = at::kFloat, .shape = {}, .layout = ragged},
      {.name = "labels", .dtype = at::kLong, .shape = {}, .layout = ragged},
      {.name = "offsets", .dtype = at::kLong, .shape = {}, .layout = offsets},
  };
  Batch both;
  for (const FieldSpec& field : spec) {
    const Batch& source = field.name == "images" ? batch : prediction;
    if (source.has(field.name)) both.set(field.name, source.get(field.name).contiguous());
  }
  check_batch(spec, both, true);
  const at::Tensor& labels = both.get("labels");
  for (int64_t i = 0; i < labels.numel(); ++i) {
    const int64_t label = labels.const_data_ptr<int64_t>()[i];
    check(label >= 0 && label < classes, MOE_ERR_DATA, "labels: expected class ids 0..", classes - 1, ", got ", label,
          " at row ", i);
  }
  return both;
}

constexpr Color white{255, 255, 255, 0.9};

void draw_truth(Canvas& canvas, const Batch& batch, int64_t index, const Frame& frame, const Image& image) {
  if (batch.has("gt_boxes") && batch.has("gt_offsets")) {
    const at::Tensor boxes = rows(batch, "gt_boxes", "gt_offsets", index).to(at::kDouble).contiguous();
    const double* box = boxes.const_data_ptr<double>();
    for (int64_t i = 0; i < boxes.size(0); ++i, box += 4) {
      canvas.rectangle(frame.point(box[0], box[1]), frame.point(box[0] + box[2], box[1] + box[3]), 1, white);
    }
    return;
  }
  if (!batch.has("boxes") || !batch.has("offsets")) return;
  const at::Tensor boxes = nn::cxcywh_to_xyxy(rows(batch, "boxes", "offsets", index).to(at::kDouble)).contiguous();
  const double* box = boxes.const_data_ptr<double>();
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  for (int64_t i = 0; i < boxes.size(0); ++i, box += 4) {
    canvas.rectangle({box[0] * width, box[1] * height}, {box[2] * width, box[3] * height}, 1, white);
  }
}

void draw_box(Canvas& canvas, Point low, Point high, const std::string& caption, Color color) {
  constexpr double scale = 1, margin = 1, glyph = 7;
  canvas.rectangle(low, high, 2, color);
  const double above = low.y - glyph * scale - 2 * margin, top = above >= 0 ? above : low.y;
  const Point end = {low.x + Canvas::label_width(caption, scale) + 2 * margin, top + glyph * scale + 2 * margin};
  canvas.fill_rectangle({low.x, top}, end, color);
  const bool bright = 0.3 * color.r + 0.59 * color.g + 0.11 * color.b > 140;
  canvas.label({low.x + margin, top + margin}, caption, scale, bright ? Color{0, 0, 0} : Color{255, 255, 255});
}

void draw_found(Canvas& canvas, const Batch& found, int64_t index, const Frame& frame, double min_score,
                const std::vector<std::string>& classes) {
  const at::Tensor boxes = rows(found, "boxes", "offsets", index).to(at::kDouble).contiguous();
  const at::Tensor scores = rows(found, "scores", "offsets", index).to(at::kDouble).contiguous();
  const at::Tensor labels = rows(found, "labels", "offsets", index).contiguous();
  for (int64_t i = boxes.size(0) - 1; i >= 0; --i) {  // the best ones on top
    const double *box = boxes.const_data_ptr<double>() + i * 4, score = scores.const_data_ptr<double>()[i];
    const int64_t label = labels.const_data_ptr<int64_t>()[i];
    if (score < min_score) continue;
    char caption[64];
    std::snprintf(caption, sizeof caption, "%.40s %.2f", classes.at(static_cast<size_t>(label)).c_str(), score);
    draw_box(canvas, frame.point(box[0], box[1]), frame.point(box[2], box[3]), caption, palette(label));
  }
}

}  // namespace

at::Tensor draw_detections(const Batch& batch, const Batch& prediction, int64_t index, double min_score,
                           const std::vector<std::string>& classes) {
  const Batch found = checked(batch, prediction, static_cast<int64_t>(classes.size()));
  const at::Tensor& images = found.get("images");
  check(index >= 0 && index < images.size(0), MOE_ERR_INVALID_ARGUMENT, "draw: expected a sample 0..",
        images.size(0) - 1, ", got ", index);
  Image image = picture(images[index]);
  Canvas canvas(image);
  const Frame frame = frame_of(batch, index);
  draw_truth(canvas, batch, index, frame, image);
  draw_found(canvas, found, index, frame, min_score, classes);
  at::Tensor out = at::empty({image.height, image.width, 3}, at::kByte);
  std::memcpy(out.mutable_data_ptr<uint8_t>(), image.pixels.data(), image.pixels.size());
  return out;
}

}  // namespace moe::rtdetr
