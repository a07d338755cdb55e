// From the `data.` section of a config to a source: which reader, which place, which options.
#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "data/detection_source.h"
#include "data/exclude_list.h"
#include "data/labelled_source.h"

namespace moe {

static constexpr int64_t kMegabyte = 1'000'000;

SplitPlace split_place(const Config& config, const std::string& split) {
  const std::string section = "data." + split + ".";
  SplitPlace place;
  place.root = config.text(section + "root");
  if (place.root.empty()) place.root = config.text("data.root");
  if (place.root.empty()) config.fail_at("data.root", "expected the folder of the data set, got none");
  if (!is_directory(place.root)) {
    const std::string key = config.text(section + "root").empty() ? "data.root" : section + "root";
    fail(MOE_ERR_NOT_FOUND, config.origin(key), ": ", key, ": expected the folder of the data set, got ",
         quote(place.root), ", no such folder");
  }
  place.split = config.text(section + "split");
  place.split_file = config.text("data.split_file");
  place.annotations = config.text(section + "annotations");
  place.images = config.text(section + "images");
  if (!config.text("data.exclude").empty()) place.excluded = ExcludeList(config.text("data.exclude")).pictures(split);
  return place;
}

DetectionSet read_detection_set(const Config& config, const SplitPlace& place) {
  return config.text("data.format") == "dair_v2x_i" ? read_dair_v2x(config, place) : read_coco(config, place);
}

static DetectionSet read_set(const Config& config, const std::string& split) {
  const SplitPlace place = split_place(config, split);
  if (config.text("data.format") == "coco" && place.annotations.empty()) {
    config.fail_at("data." + split + ".annotations", "expected the COCO json of the split, got none");
  }
  DetectionSet set = read_detection_set(config, place);
  if (place.excluded.empty()) return set;
  set.notes.push_back({MOE_LOG_INFO, text("data.exclude: ", set.left_out.size(), " pictures left out of ", split)});
  for (const std::string& name : place.excluded) {
    if (set.left_out.count(name) > 0) continue;
    set.notes.push_back({MOE_LOG_WARNING, text(config.text("data.exclude"), ": expected a picture of the split ", split,
                                               ", got ", quote(name))});
  }
  return set;
}

// The same pictures for the same seed, in their old order.
static void keep_subset(DetectionSet& set, const Config& config) {
  const int64_t wanted = config.integer("data.subset"), all = static_cast<int64_t>(set.pictures.size());
  if (wanted == 0 || wanted >= all) return;
  Rng rng(static_cast<uint64_t>(config.integer("seed")), "subset");
  std::vector<int64_t> chosen = permutation(rng, all);
  chosen.resize(static_cast<size_t>(wanted));
  std::sort(chosen.begin(), chosen.end());
  std::vector<PictureRecord> pictures;
  for (const int64_t index : chosen) pictures.push_back(std::move(set.pictures[static_cast<size_t>(index)]));
  set.pictures = std::move(pictures);
  set.notes.push_back({MOE_LOG_INFO, text("data.subset: ", wanted, " of ", all, " training pictures, drawn by seed")});
}

static std::string counts_text(const std::map<std::string, int64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts) parts.push_back(text(name, " ", count));
  return join(parts, ", ");
}

// "data, train: 2029 pictures, 17518 objects (car 9120, truck 12), 3 ignored regions; left out, as no class: tram 4",
// and a warning
// of every class that nothing can teach: the name may be misspelt.
static void add_summary(DetectionSet& set, const std::string& split) {
  std::vector<int64_t> counts(set.classes.size());
  int64_t targets = 0, ignored = 0;
  for (const PictureRecord& picture : set.pictures) {
    for (const ObjectRecord& object : picture.objects) {
      ignored += object.ignored;
      targets += !object.ignored;
      if (!object.ignored) ++counts[static_cast<size_t>(object.label)];
    }
  }
  std::vector<std::string> parts;
  for (size_t i = 0; i < counts.size(); ++i) parts.push_back(text(set.classes[i], " ", counts[i]));
  set.notes.push_back(
      {MOE_LOG_INFO, text("data, ", split, ": ", set.pictures.size(), " pictures, ", targets, " objects (",
                          join(parts, ", "), "), ", ignored, " ignored regions",
                          set.dropped.empty() ? "" : "; left out, as no class: ", counts_text(set.dropped))});
  std::vector<std::string> others;
  for (const auto& [name, count] : set.dropped) others.push_back(name);
  for (size_t i = 0; split == "train" && i < counts.size(); ++i) {
    if (counts[i] > 0) continue;
    set.notes.push_back({MOE_LOG_WARNING, text("data.classes: no training picture holds ", quote(set.classes[i]),
                                               "; expected a name that the labels or data.class_map use",
                                               did_you_mean(set.classes[i], others))});
  }
}

static DetectionOptions read_options(const Config& config) {
  const std::vector<int64_t> size = config.integers("data.size");
  if (size.size() != 2) config.fail_at("data.size", text("expected [height, width], got ", size.size(), " numbers"));
  DetectionOptions options;
  options.input = {size[0], size[1]};
  options.fit = config.text("data.resize") == "stretch" ? Fit::stretch : Fit::letterbox;
  options.slice_size = config.integer("data.slice.size");
  options.slice_overlap = config.number("data.slice.overlap");
  if (config.boolean("data.cache")) options.cache_bytes = config.integer("data.cache_mb") * kMegabyte;
  return options;
}

static void read_augmentation(const Config& config, DetectionOptions& options) {
  options.augment = true;
  options.flip = config.number("data.augment.flip");
  options.photometric = config.number("data.augment.photometric");
  options.zoom_out = config.number("data.augment.zoom_out");
  options.zoom_max = config.number("data.augment.zoom_max");
  options.iou_crop = config.number("data.augment.iou_crop");
  options.scales = config.numbers("data.augment.scales");
  options.strong_epochs = config.integer("data.augment.strong_epochs");
}

std::unique_ptr<Source> open_source(const Config& config, const std::string& split) {
  const bool training = split == "train";
  check(training || split == "val", MOE_ERR_INVALID_ARGUMENT, "split: expected train or val, got ", quote(split));
  if (is_labelled_format(config.text("data.format"))) return open_labelled_source(config, split);
  DetectionOptions options = read_options(config);
  if (training) {
    read_augmentation(config, options);
    options.slice_size = 0;
  }
  options.truth = !training;
  DetectionSet set = read_set(config, split);
  check(!set.pictures.empty(), MOE_ERR_DATA, split_place(config, split).root, ": split ", split,
        ": expected at least one picture, got none");
  if (training) keep_subset(set, config);
  add_summary(set, split);
  return std::make_unique<DetectionSource>(std::move(set), options);
}

std::unique_ptr<Source> open_files(const Config& config, const std::vector<std::string>& paths) {
  check(!paths.empty(), MOE_ERR_DATA, "files: expected at least one picture, got none");
  DetectionOptions options = read_options(config);
  options.labelled = false;
  DetectionSet set{config.texts("data.classes"), {}, {}};
  for (const std::string& path : paths) {
    check(exists(path), MOE_ERR_NOT_FOUND, path, ": expected a picture file, got none");
    PictureRecord picture;
    picture.path = path;
    picture.id = static_cast<int64_t>(set.pictures.size()) + 1;
    set.pictures.push_back(std::move(picture));
  }
  return std::make_unique<DetectionSource>(std::move(set), options);
}

}  // namespace moe
