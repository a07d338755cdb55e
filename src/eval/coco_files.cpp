#include "eval/coco_files.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/json_file.h"
#include "eval/coco_metrics.h"

namespace moe {

namespace {

constexpr size_t kShownIds = 8;  // ids in a message

std::string first_ids(const std::vector<int64_t>& ids) {
  std::vector<std::string> shown;
  for (size_t i = 0; i < ids.size() && i < kShownIds; ++i) shown.push_back(std::to_string(ids[i]));
  return join(shown, ", ") + (ids.size() > kShownIds ? ", ..." : "");
}

CocoBox read_box(const JsonNode& item) {
  if (!item.has("bbox")) item.fail("the key \"bbox\" (boxes are evaluated, masks are not)");
  const JsonNode box = item.member("bbox");
  if (box.size() != 4) box.fail("[x, y, width, height]");
  return {box.at(0).number(), box.at(1).number(), box.at(2).number(), box.at(3).number()};
}

void read_categories(const JsonNode& list, CocoFiles& files) {
  std::map<int64_t, std::string> names;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonNode id = list.at(i).member("id");
    const std::string name = list.at(i).has("name") ? list.at(i).member("name").text() : std::to_string(id.integer());
    if (!names.emplace(id.integer(), name).second) id.fail("a category id of its own");
  }
  if (names.empty()) list.fail("at least one category");
  for (const auto& [id, name] : names) {
    files.categories.push_back(id);
    files.classes.push_back(name);
  }
}

void read_images(const JsonNode& list, CocoFiles& files) {
  for (size_t i = 0; i < list.size(); ++i) files.images.push_back(list.at(i).member("id").integer());
  std::sort(files.images.begin(), files.images.end());
  const auto twice = std::adjacent_find(files.images.begin(), files.images.end());
  if (twice != files.images.end()) list.fail(text("every image id once (", *twice, " comes again)"));
}

// Labels and images by id, for the rows of both files.
class Ids {
 public:
  explicit Ids(const CocoFiles& files) : images_(files.images.begin(), files.images.end()) {
    for (size_t k = 0; k < files.categories.size(); ++k) labels_[files.categories[k]] = static_cast<int64_t>(k);
  }
  bool has_image(int64_t id) const { return images_.count(id) > 0; }
  int64_t label(int64_t category) const {  // -1: unknown
    const auto found = labels_.find(category);
    return found == labels_.end() ? -1 : found->second;
  }

 private:
  std::unordered_set<int64_t> images_;
  std::unordered_map<int64_t, int64_t> labels_;
};

class TruthReader {
 public:
  explicit TruthReader(CocoFiles& files) : files_(files), ids_(files) {}

  void read(const JsonNode& item, size_t index) {
    const JsonNode image = item.member("image_id"), category = item.member("category_id");
    if (!ids_.has_image(image.integer())) image.fail("the id of one of the images");
    CocoTruth truth{image.integer(), ids_.label(category.integer()), read_box(item), 0, false, 0};
    if (truth.label < 0) category.fail(text("the id of one of the categories (", first_ids(files_.categories), ")"));
    truth.id = item.has("id") ? item.member("id").integer() : static_cast<int64_t>(index) + 1;
    if (!seen_.insert(truth.id).second) item.fail(text("an annotation id of its own (", truth.id, " comes again)"));
    const bool has_area = item.has("area"), has_crowd = item.has("iscrowd");
    truth.area = has_area ? item.member("area").number() : truth.box.width * truth.box.height;
    truth.crowd = has_crowd && item.member("iscrowd").integer() != 0;
    zeros_ += truth.id == 0;
    incomplete_ += !has_area || !has_crowd;
    files_.truths.push_back(truth);
  }

  void tell(const std::string& path, const Log& log) const {
    if (zeros_ > 0) {
      log_line(log, MOE_LOG_WARNING,
               text(path, ": one annotation has the id 0, which pycocotools never counts as found; so it is here"));
    }
    if (incomplete_ > 0) {
      log_line(log, MOE_LOG_WARNING,
               text(path, ": ", incomplete_,
                    " annotations lack area or iscrowd, which pycocotools refuses; width x "
                    "height and 0 are taken"));
    }
  }

 private:
  CocoFiles& files_;
  Ids ids_;
  std::unordered_set<int64_t> seen_;
  int64_t zeros_ = 0, incomplete_ = 0;
};

}  // namespace

CocoFiles read_coco_annotations(const std::string& path, const Log& log) {
  const JsonFile file(path, {"segmentation", "keypoints", "licenses", "info"});
  const JsonNode annotations = file.root().member("annotations");
  CocoFiles files;
  read_categories(file.root().member("categories"), files);
  read_images(file.root().member("images"), files);
  TruthReader reader(files);
  for (size_t i = 0; i < annotations.size(); ++i) reader.read(annotations.at(i), i);
  reader.tell(path, log);
  return files;
}

void read_coco_detections(const std::string& path, const std::string& annotations, CocoFiles& files, const Log& log) {
  const JsonFile file(path, {"segmentation", "keypoints"});
  const JsonNode list = file.root();
  const Ids ids(files);
  std::map<int64_t, int64_t> unknown;  // detections by category id
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonNode item = list.at(i), image = item.member("image_id");
    if (!ids.has_image(image.integer())) image.fail("the id of an image of " + annotations);
    const int64_t category = item.member("category_id").integer();
    const CocoDetection detection{image.integer(), ids.label(category), read_box(item), item.member("score").number()};
    if (detection.label < 0) {
      ++unknown[category];
    } else {
      files.detections.push_back(detection);
    }
  }
  if (unknown.empty()) return;
  std::vector<int64_t> found;
  for (const auto& [id, count] : unknown) found.push_back(id);
  const std::string what =
      text("expected category ids of ", annotations, " (", first_ids(files.categories), "), got ", first_ids(found));
  check(!files.detections.empty(), MOE_ERR_DATA, path, ": ", what);
  log_line(log, MOE_LOG_WARNING,
           text(path, ": ", what, " in ", list.size() - files.detections.size(), " of ", list.size(),
                " detections, which are left out, as pycocotools does"));
}

static CocoResult evaluate(const CocoFiles& files) {
  CocoOptions options;
  options.classes = static_cast<int64_t>(files.classes.size());
  options.id_zero_is_unmatched = true;  // as pycocotools does
  return evaluate_coco(files.truths, files.detections, options);
}

std::vector<Metric> evaluate_coco_files(const CocoFiles& files) {
  const CocoResult result = evaluate(files);
  std::vector<Metric> metrics = coco_metrics(result, files.classes);
  const EmptyImages empty = find_empty_images(files.images, files.truths, files.detections);
  for (const auto& part : {operating_metrics(result, files.classes), sweep_metrics(result, empty)}) {
    metrics.insert(metrics.end(), part.begin(), part.end());
  }
  return metrics;
}

std::vector<std::string> coco_file_metrics(const CocoFiles& files) {
  CocoFiles nothing;
  nothing.classes = files.classes;
  std::vector<std::string> names;
  for (const Metric& metric : evaluate_coco_files(nothing)) names.push_back(metric.name);
  return names;
}

}  // namespace moe
