// A labelled set as a Source: pictures in the input's size, one class each.
#pragma once

#include <memory>
#include <mutex>

#include "data/labelled_set.h"

namespace moe {

// stretch: to the size; letterbox: aspect ratio kept, centred on black; pad: not scaled, centred on black; exact: must
// have the size.
enum class PictureFit { stretch, letterbox, pad, exact };

struct LabelledOptions {
  ImageSize size{32, 32};
  PictureFit fit = PictureFit::stretch;
  int64_t channels = 3;  // 1: luma of Rec. 601
  double flip = 0;       // probability of mirroring
  std::vector<Note> notes;
};

// Fields: images float32 [channels, H, W] in 0..1, labels int64, image_ids int64 (the index + 1).
class LabelledSource : public Source {
 public:
  LabelledSource(LabelledSet set, LabelledOptions options);

  int64_t size() const override { return static_cast<int64_t>(set_.pictures.size()); }
  BatchSpec spec() const override;
  Batch load(int64_t index, Rng rng) const override;  // MOE_ERR_DATA: size that does not fit
  std::string file_name(int64_t index) const override { return picture(index).name; }
  int64_t image_id(int64_t index) const override { return index + 1; }
  std::vector<std::string> class_names() const override { return set_.classes; }
  std::vector<Note> take_notes() const override;

 private:
  const LabelledPicture& picture(int64_t index) const;

  LabelledSet set_;
  LabelledOptions options_;
  mutable std::mutex notes_mutex_;
  mutable std::vector<Note> notes_;  // guarded by notes_mutex_
};

// Opens a split of a labelled format as the config's data section says.
std::unique_ptr<Source> open_labelled_source(const Config& config, const std::string& split);

}  // namespace moe
