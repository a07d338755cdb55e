// One split of a detection data set as the readers give it: pictures with the objects in them, before any pixel is
// read.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data/class_table.h"
#include "data/findings.h"
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
  std::string name;  // as data.exclude names it: relative to the split's root
};

struct DetectionSet {
  std::vector<std::string> classes;
  std::vector<PictureRecord> pictures;
  std::vector<Note> notes;
  std::set<std::string> left_out = {};          // of SplitPlace::excluded, those that the split has
  std::map<std::string, int64_t> dropped = {};  // DAIR: objects of types that are no class, by type
};

// Where a split lies. Relative names are relative to the root.
struct SplitPlace {
  std::string root;
  std::string split;                    // DAIR: the name inside split_data.json
  std::string split_file;               // DAIR: "" for split_data.json or metadata/split_data.json
  std::string annotations;              // COCO: the json file
  std::string images;                   // COCO: the folder of the pictures
  std::set<std::string> excluded = {};  // pictures to leave out, with all that belongs to them (data.exclude)
  Findings* findings = nullptr;         // of a check; nullptr: the first wrong record is an error
};

// As the `data.` section says of "train" or "val".
SplitPlace split_place(const Config& config, const std::string& split);
DetectionSet read_detection_set(const Config& config, const SplitPlace& place);

// DAIR-V2X-I (AIR-THU/DAIR-V2X): data_info.json, label/camera/*.json, split_data.json keyed by file stem; in the root
// or in metadata/ and annotations/camera/.
// In data.exclude a picture is named by image_path, or by its id.
DetectionSet read_dair_v2x(const Config& config, const SplitPlace& place);
// COCO json (cocodataset/cocoapi). Category ids may have holes. In data.exclude: file_name below the folder of the
// pictures.
DetectionSet read_coco(const Config& config, const SplitPlace& place);

}  // namespace moe
