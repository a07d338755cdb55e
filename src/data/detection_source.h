// A Source of pictures with boxes. Its samples (spec() says the same):
//   images [3, H, W] float32 RGB 0..1     image_ids [] int64     sizes [2] int64: height, width of the original
//   frames [4] float32: scale_x, scale_y, shift_x, shift_y; input pixel = original pixel * scale + shift (not mirrored)
// with `slice_size`, where the picture is larger than that:
//   pictures [h, w, 3] uint8: the original     slices [t, 4] int64: slices.h
// labelled:
//   boxes [n, 4] float32 cxcywh, shares of the input     labels [n] int64
// and with `truth`, for evaluation in original pixels, ignored regions included:
//   gt_boxes [m, 4] float64 x, y, width, height   gt_labels, gt_crowd, gt_ids [m] int64   gt_area [m] float64
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "data/augment.h"
#include "data/detection_set.h"
#include "data/source.h"
#include "data/transform.h"

namespace moe {

struct DetectionOptions {
  ImageSize input{640, 640};
  Fit fit = Fit::stretch;
  bool labelled = true;  // false: pictures alone
  bool truth = false;    // the gt_ fields
  bool augment = false;
  double flip = 0, photometric = 0, zoom_out = 0, zoom_max = 4, iou_crop = 0;  // probabilities; zoom_max a factor
  std::vector<double> scales;  // of a batch's input, one drawn for each; none: 1
  int64_t strong_epochs = 0;   // epochs with photometric, zoom_out, iou_crop and scales; 0: all
  int64_t slice_size = 0;      // side of the squares for prediction; 0: none
  double slice_overlap = 0.2;  // of a side
  int64_t cache_bytes = 0;  // decoded pictures kept in memory; 0: none
};

// Decoded pictures by index, until the limit is reached; nothing is thrown out again. Thread-safe.
class PictureCache {
 public:
  explicit PictureCache(int64_t limit) : limit_(limit) {}
  Image read(int64_t index, const std::string& path);

 private:
  const int64_t limit_;
  int64_t bytes_ = 0;
  std::mutex mutex_;
  std::map<int64_t, std::shared_ptr<const Image>> pictures_;
};

class DetectionSource : public Source {
 public:
  DetectionSource(DetectionSet set, DetectionOptions options);

  int64_t size() const override { return static_cast<int64_t>(set_.pictures.size()); }
  BatchSpec spec() const override;
  Batch load(int64_t index, Rng rng) const override { return load_in(0, index, rng); }
  Batch load_in(int64_t epoch, int64_t index, Rng rng) const override;
  void finish(Batch& batch, int64_t epoch, Rng rng) const override;
  std::string file_name(int64_t index) const override;
  int64_t image_id(int64_t index) const override;
  std::vector<std::string> class_names() const override { return set_.classes; }
  std::vector<Note> take_notes() const override;

 private:
  const PictureRecord& record(int64_t index) const;
  bool strong(int64_t epoch) const { return options_.strong_epochs == 0 || epoch < options_.strong_epochs; }
  Image read_picture(int64_t index) const;
  void augment(LabelledImage& sample, const Rng& rng) const;
  void add_truth(Batch& batch, const std::vector<ObjectRecord>& objects) const;
  void add_slices(Batch& batch, Image image) const;
  void note_unusable(int64_t index, const Image& image) const;

  DetectionSet set_;
  DetectionOptions options_;
  mutable PictureCache cache_;
  mutable std::mutex notes_mutex_;
  mutable std::vector<Note> notes_;
  mutable bool unusable_noted_ = false;
};

}  // namespace moe
