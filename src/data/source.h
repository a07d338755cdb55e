// One split of a data set: samples by index. A source decodes and transforms; the loader orders, prefetches and
// collates.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "config/config.h"
#include "tensor/batch.h"

namespace moe {

// A line for a person about the data set. level: MOE_LOG_*.
struct Note {
  int32_t level;
  std::string line;
};

// Thread-safe: load() is called by several workers at once.
class Source {
 public:
  virtual ~Source() = default;
  virtual int64_t size() const = 0;
  virtual BatchSpec spec() const = 0;  // of the fields load() gives; more than the task needs is fine
  // Sample `index`, decoded, augmented (training) and ready to be collated. Everything random comes from `rng`. Throws
  // an Error that names the file when the sample cannot be read.
  virtual Batch load(int64_t index, Rng rng) const = 0;
  // The same in a certain epoch (from 0), for sources whose augmentation ends.
  virtual Batch load_in(int64_t epoch, int64_t index, Rng rng) const {
    (void)epoch;
    return load(index, rng);
  }
  // After collation: what the samples of a batch share, such as the size of their pictures.
  virtual void finish(Batch& batch, int64_t epoch, Rng rng) const {
    (void)batch, (void)epoch, (void)rng;
  }
  virtual std::string file_name(int64_t index) const = 0;
  virtual int64_t image_id(int64_t index) const = 0;
  virtual std::vector<std::string> class_names() const = 0;
  // What was noticed since the last call: a summary after opening, warnings about labels that were left out.
  virtual std::vector<Note> take_notes() const { return {}; }
};

// Opens a split ("train" or "val") as the config's `data.` section says.
std::unique_ptr<Source> open_source(const Config& config, const std::string& split);
// Image files without labels.
std::unique_ptr<Source> open_files(const Config& config, const std::vector<std::string>& paths);

// What the annotations of a COCO set decide is written into the settings: data.classes and data.category_ids, where
// they are []. With classes given, absent annotations leave the ids open.
void fill_classes(Config& config);

// The `data.` section of the schema.
Schema data_schema();

}  // namespace moe
