// One split of a detection data set as the readers give it: pictures with the objects in them, before any pixel is
// read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/class_table.h"
#include "data/source.h"

namespace moe {

struct ObjectRecord {
  double x, y, width,
      height;     // corner with the smallest coordinates and size, pixels of the original picture, as in the file
  double area;    // pixels^2; COCO: of the mask, where the file has it
  int64_t label;  // class index, or TypeMeaning::every_class of an ignored region
  int64_t id;     // of the annotation
  bool ignored;   // never a target; detections in it count neither way
};

struct PictureRecord {
  std::string path;
  int64_t id = 0;
  int64_t width = 0, height = 0;  // as the annotation file says; 0: it does not
  std::vector<ObjectRecord> objects;
};

struct DetectionSet {
  std::vector<std::string> classes;
  std::vector<PictureRecord> pictures;
  std::vector<Note> notes;
};

// Where a split lies. Relative names are relative to the root.
struct SplitPlace {
  std::string root;
  std::string split;        // DAIR: the name inside split_data.json
  std::string split_file;   // DAIR: "" for split_data.json or metadata/split_data.json
  std::string annotations;  // COCO: the json file
  std::string images;       // COCO: the folder of the pictures
};

// DAIR-V2X-I (AIR-THU/DAIR-V2X): data_info.json, label/camera/*.json, split_data.json keyed by file stem; in the root
// or in metadata/ and annotations/camera/.
DetectionSet read_dair_v2x(const Config& config, const SplitPlace& place);
// COCO json (cocodataset/cocoapi). Category ids may have holes.
DetectionSet read_coco(const Config& config, const SplitPlace& place);

}  // namespace moe
