#include "data/detection_source.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/slices.h"
#include "tensor/truth_fields.h"

namespace moe {

Image PictureCache::read(int64_t index, const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = pictures_.find(index);
    if (found != pictures_.end()) return *found->second;
  }
  Image image = read_image(path);
  const auto bytes = static_cast<int64_t>(image.pixels.size());
  const std::lock_guard lock(mutex_);
  if (bytes_ + bytes <= limit_ && pictures_.emplace(index, std::make_shared<Image>(image)).second) bytes_ += bytes;
  return image;
}

DetectionSource::DetectionSource(DetectionSet set, DetectionOptions options)
    : set_(std::move(set)), options_(options), cache_(options.cache_bytes), notes_(std::move(set_.notes)) {}

BatchSpec DetectionSource::spec() const {
  using enum FieldSpec::Layout;
  const int64_t height = options_.input.height, width = options_.input.width;
  BatchSpec spec = {
      {"images", at::kFloat, {3, height, width}, dense, "", false, false, "RGB in 0..1"},
      {"image_ids", at::kLong, {}, dense, "", false, false, "id in the data set"},
      {"sizes", at::kLong, {2}, dense, "", false, false, "height, width of the original, pixels"},
      {"frames", at::kFloat, {4}, dense, "", false, false, "scale x, y, shift x, y: input = original * scale + shift"},
  };
  if (options_.slice_size > 0) {
    spec.push_back({"pictures", at::kByte, {-1, -1, 3}, dense, "", false, true, "RGB of the original"});
    spec.push_back({"slices", at::kLong, {4}, ragged, "slice_offsets", false, true, "x0, y0, x1, y1 in the original"});
    spec.push_back({"slice_offsets", at::kLong, {}, offsets, "", false, true, "first row of each sample in slices"});
  }
  if (options_.labelled) {
    spec.push_back({"boxes", at::kFloat, {4}, ragged, "offsets", true, false, "cx, cy, w, h as shares of the input"});
    spec.push_back({"labels", at::kLong, {}, ragged, "offsets", true, false, "class index"});
    spec.push_back(
        {"offsets", at::kLong, {}, offsets, "", true, false, "first row of each sample in boxes and labels"});
  }
  if (options_.truth) {
    const BatchSpec truth = truth_fields();
    spec.insert(spec.end(), truth.begin(), truth.end());
  }
  return spec;
}

const PictureRecord& DetectionSource::record(int64_t index) const {
  check(index >= 0 && index < size(), MOE_ERR_INTERNAL, "sample: expected 0 to ", size() - 1, ", got ", index);
  return set_.pictures[static_cast<size_t>(index)];
}

std::string DetectionSource::file_name(int64_t index) const {
  return record(index).path;
}
int64_t DetectionSource::image_id(int64_t index) const {
  return record(index).id;
}

std::vector<Note> DetectionSource::take_notes() const {
  const std::lock_guard lock(notes_mutex_);
  return std::exchange(notes_, {});
}

Image DetectionSource::read_picture(int64_t index) const {
  const PictureRecord& picture = record(index);
  Image image = options_.cache_bytes > 0 ? cache_.read(index, picture.path) : read_image(picture.path);
  const bool agrees =
      (picture.width == 0 || picture.width == image.width) && (picture.height == 0 || picture.height == image.height);
  check(agrees, MOE_ERR_DATA, picture.path, ": expected ", picture.width, " x ", picture.height,
        " pixels as the annotation file says, got ", image.width, " x ", image.height);
  return image;
}

static CornerBox corners(const ObjectRecord& object) {
  return {object.x, object.y, object.x + object.width, object.y + object.height};
}

// Whether a part of the object with area lies inside the picture.
static bool usable(const ObjectRecord& object, ImageSize size) {
  const CornerBox box = clip(corners(object), size);
  return object.width > 0 && object.height > 0 && box.width() > 0 && box.height() > 0;
}

// Says it for the first one only: a set with many would drown the log.
void DetectionSource::note_unusable(int64_t index, const Image& image) const {
  const PictureRecord& picture = record(index);
  for (size_t i = 0; i < picture.objects.size(); ++i) {
    const ObjectRecord& object = picture.objects[i];
    if (usable(object, {image.height, image.width})) continue;
    const std::lock_guard lock(notes_mutex_);
    if (std::exchange(unusable_noted_, true)) return;
    notes_.push_back(
        {MOE_LOG_WARNING, text(picture.path, ": object ", i, " (x ", object.x, ", y ", object.y, ", width ",
                               object.width, ", height ", object.height, ") has no area inside the ", image.width,
                               " x ", image.height, " picture; it is left out, and so are others like it")});
    return;
  }
}

static LabelledImage with_targets(Image image, const std::vector<ObjectRecord>& objects) {
  LabelledImage sample{std::move(image), {}, {}};
  const ImageSize size{sample.image.height, sample.image.width};
  for (const ObjectRecord& object : objects) {
    if (object.ignored || !usable(object, size)) continue;
    sample.boxes.push_back(clip(corners(object), size));
    sample.labels.push_back(object.label);
  }
  return sample;
}

// Boxes that a crop leaves with less than a pixel teach nothing (torchvision's SanitizeBoundingBoxes, as RT-DETR uses
// it).
void DetectionSource::augment(LabelledImage& sample, const Rng& rng) const {
  const auto chosen = [&](const char* name, double probability) { return rng.child(name).chance(probability); };
  if (options_.photometric > 0) photometric_distort(sample.image, rng.child("photometric"), options_.photometric);
  if (chosen("zoom_out?", options_.zoom_out)) zoom_out(sample, rng.child("zoom_out"), options_.zoom_max);
  if (chosen("iou_crop?", options_.iou_crop)) iou_crop(sample, rng.child("iou_crop"));
  drop_small(sample, 1);
}

static at::Tensor integers(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

void DetectionSource::add_truth(Batch& batch, const std::vector<ObjectRecord>& objects) const {
  std::vector<double> boxes, area;
  std::vector<int64_t> labels, crowd, ids;
  const auto add = [&](const ObjectRecord& object, int64_t label) {
    boxes.insert(boxes.end(), {object.x, object.y, object.width, object.height});
    area.push_back(object.area);
    labels.push_back(label);
    crowd.push_back(object.ignored);
    ids.push_back(object.id);
  };
  const at::Tensor size = batch.get("sizes");
  const ImageSize picture{size[0].item<int64_t>(), size[1].item<int64_t>()};
  for (const ObjectRecord& object : objects) {
    if (!usable(object, picture)) continue;
    if (object.label != TypeMeaning::every_class) {
      add(object, object.label);
      continue;
    }
    // COCO evaluation ignores by class, so a region that excuses every class is one row for each.
    for (size_t label = 0; label < set_.classes.size(); ++label) add(object, static_cast<int64_t>(label));
  }
  batch.set("gt_boxes", at::tensor(boxes, at::kDouble).view({-1, 4}));
  batch.set("gt_labels", integers(labels));
  batch.set("gt_area", at::tensor(area, at::kDouble));
  batch.set("gt_crowd", integers(crowd));
  batch.set("gt_ids", integers(ids));
}

Batch DetectionSource::load_in(int64_t epoch, int64_t index, Rng rng) const {
  const PictureRecord& picture = record(index);
  LabelledImage sample = with_targets(read_picture(index), picture.objects);
  note_unusable(index, sample.image);
  Batch batch;
  batch.set("image_ids", at::scalar_tensor(picture.id, at::kLong));
  batch.set("sizes", integers({sample.image.height, sample.image.width}));
  if (options_.augment && strong(epoch)) augment(sample, rng);
  const InputTransform transform({sample.image.height, sample.image.width}, options_.input, options_.fit);
  const bool mirrored = options_.augment && rng.child("flip").chance(options_.flip);
  for (CornerBox& box : sample.boxes) {
    box = transform.box(box);
    if (mirrored) box = mirror(box, options_.input.width);
  }
  batch.set("images", transform.pixels(sample.image, mirrored));
  batch.set("frames", transform.frame());
  if (options_.labelled) {
    batch.set("boxes", normalised_cxcywh(sample.boxes, options_.input));
    batch.set("labels", integers(sample.labels));
  }
  if (options_.truth) add_truth(batch, picture.objects);
  if (options_.slice_size > 0) add_slices(batch, std::move(sample.image));
  return batch;
}

// The tensor takes the picture's memory over: it may be a gigabyte.
void DetectionSource::add_slices(Batch& batch, Image image) const {
  const at::Tensor slices = plan_slices({image.height, image.width}, options_.slice_size, options_.slice_overlap);
  if (slices.size(0) == 0) return;
  const auto owner = std::make_shared<Image>(std::move(image));
  const at::Tensor pixels = at::from_blob(
      owner->pixels.data(), {owner->height, owner->width, 3}, [owner](void*) {}, at::TensorOptions(at::kByte));
  batch.set("pictures", pixels);
  batch.set("slices", slices);
}

// A batch's pictures all get one other size, by their nearest pixels, as RT-DETR's collate function does
// (lyuwenyu/RT-DETR, rtdetrv2_pytorch/src/data/dataloader.py). Boxes are shares of the input and stay.
void DetectionSource::finish(Batch& batch, int64_t epoch, Rng rng) const {
  if (!options_.augment || options_.scales.empty() || !strong(epoch)) return;
  const double scale = options_.scales[static_cast<size_t>(rng.below(static_cast<int64_t>(options_.scales.size())))];
  const auto scaled = [&](int64_t side) {
    constexpr int64_t step = 32;  // the coarsest stride
    const auto steps = static_cast<int64_t>(std::llround(static_cast<double>(side) * scale / static_cast<double>(step)));
    return std::max(step, step * steps);
  };
  const int64_t height = scaled(options_.input.height), width = scaled(options_.input.width);
  const bool same = scale == 1 || (height == options_.input.height && width == options_.input.width);
  if (same) return;
  batch.set("images", at::upsample_nearest2d(batch.get("images"), {height, width}));
  const double x = static_cast<double>(width) / static_cast<double>(options_.input.width);
  const double y = static_cast<double>(height) / static_cast<double>(options_.input.height);
  batch.set("frames", batch.get("frames") * at::tensor({x, y, x, y}, at::kFloat));
}

}  // namespace moe
