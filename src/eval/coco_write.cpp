#include "eval/coco_write.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"

namespace moe {

namespace {

// One element a line, written in parts: a large set's detections take a gigabyte.
class List {
 public:
  explicit List(AtomicFile& file) : file_(file) { file_.write("["); }
  void add(const std::string& element) {
    part_ += first_ ? "\n" : ",\n";
    part_ += element;
    first_ = false;
    if (part_.size() > kPart) flush();
  }
  void end() {
    part_ += "\n]";
    flush();
  }

 private:
  static constexpr size_t kPart = 1 << 20;
  void flush() {
    file_.write(part_);
    part_.clear();
  }

  AtomicFile& file_;
  std::string part_;
  bool first_ = true;
};

std::string box_text(const CocoBox& box) {
  return text("[", format_double(box.x), ", ", format_double(box.y), ", ", format_double(box.width), ", ",
              format_double(box.height), "]");
}

int64_t category(const CocoWritten& data, int64_t label) {
  return data.categories.empty() ? label : data.categories[static_cast<size_t>(label)];
}

std::string image_text(const CocoImage& image) {
  if (image.width == 0) return text("{\"id\": ", image.id, "}");
  return text("{\"id\": ", image.id, ", \"width\": ", image.width, ", \"height\": ", image.height, "}");
}

std::string truth_text(const CocoWritten& data, const CocoTruth& truth, size_t id) {
  return text("{\"id\": ", id, ", \"image_id\": ", truth.image, ", \"category_id\": ", category(data, truth.label),
              ", \"bbox\": ", box_text(truth.box), ", \"area\": ", format_double(truth.area),
              ", \"iscrowd\": ", truth.crowd ? 1 : 0, "}");
}

std::string detection_text(const CocoWritten& data, const CocoDetection& detection) {
  return text("{\"image_id\": ", detection.image, ", \"category_id\": ", category(data, detection.label),
              ", \"bbox\": ", box_text(detection.box), ", \"score\": ", format_double(detection.score), "}");
}

void write_annotations(AtomicFile& file, const CocoWritten& data) {
  file.write("{\"images\": ");
  List images(file);
  for (const CocoImage& image : data.images) images.add(image_text(image));
  images.end();
  file.write(", \"categories\": ");
  List categories(file);
  for (size_t label = 0; label < data.classes.size(); ++label) {
    const nlohmann::json name = data.classes[label];
    categories.add(text("{\"id\": ", category(data, static_cast<int64_t>(label)), ", \"name\": ", name.dump(), "}"));
  }
  categories.end();
  file.write(", \"annotations\": ");
  List truths(file);
  for (size_t i = 0; i < data.truths.size(); ++i) truths.add(truth_text(data, data.truths[i], i + 1));
  truths.end();
  file.write("}\n");
}

}  // namespace

void write_coco_files(const std::string& folder, const CocoWritten& data) {
  AtomicFile annotations(join_path(folder, "annotations.json")), detections(join_path(folder, "detections.json"));
  write_annotations(annotations, data);
  List list(detections);
  for (const CocoDetection& detection : data.detections) list.add(detection_text(data, detection));
  list.end();
  annotations.commit();
  detections.commit();
}

}  // namespace moe
