#include "train/predict_slices.h"

#include <ATen/ATen.h>

#include "data/slices.h"

namespace moe {

// A batch of the slices in `windows` [n, 4], as a loader would have made it of pictures in their places.
static Batch slice_batch(const Batch& batch, const at::Tensor& windows, Fit fit) {
  const at::Tensor picture = batch.get("pictures")[0];
  const at::Tensor& whole = batch.get("images");
  const ImageSize input{whole.size(2), whole.size(3)};
  const int64_t count = windows.size(0);
  std::vector<at::Tensor> images, frames;
  for (int64_t i = 0; i < count; ++i) {
    const Image slice = cut_slice(picture, windows[i]);
    const InputTransform transform({slice.height, slice.width}, input, fit);
    const at::Tensor frame = transform.frame(), scale = frame.slice(0, 0, 2);
    images.push_back(transform.pixels(slice));
    frames.push_back(at::cat({scale, frame.slice(0, 2, 4) - windows[i].slice(0, 0, 2) * scale}));
  }
  Batch out;
  out.set("images", at::stack(images).contiguous(at::MemoryFormat::ChannelsLast), ValueRange{0, 1});
  out.set("frames", at::stack(frames));
  const at::Tensor size = at::tensor({picture.size(0), picture.size(1)}, at::kLong);
  out.set("sizes", size.repeat({count, 1}));
  return out;
}

Batch predict_slices(Task& task, const Batch& batch, Fit fit, int64_t at_once) {
  const at::Tensor& slices = batch.get("slices");
  const at::Tensor& pictures = batch.get("pictures");
  std::vector<Batch> predictions = {task.predict(batch)};
  for (const at::Tensor& windows : slices.split(at_once)) {
    predictions.push_back(task.predict(slice_batch(batch, windows, fit)));
  }
  const at::Tensor whole = at::tensor({int64_t{0}, int64_t{0}, pictures.size(2), pictures.size(1)}, at::kLong);
  return task.join_views(predictions, at::cat({whole.unsqueeze(0), slices}));
}

}  // namespace moe
