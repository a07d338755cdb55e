// The camera labels of DAIR-V2X-I and sets in its layout. Point clouds, calibration and the cooperative part are not
// read.
#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/files.h"
#include "data/detection_set.h"
#include "base/json_file.h"

namespace moe {

namespace {

struct Entry {
  std::string image;  // path relative to the root
  std::string label;  // the same, or "" where data_info names none
};
using Entries = std::unordered_map<std::string, Entry>;  // by file stem

std::string find_file(const SplitPlace& place, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string path = join_path(place.root, name);
    if (exists(path)) return path;
  }
  fail(MOE_ERR_NOT_FOUND, place.root, ": expected ", join(names, " or "), ", got ",
       is_directory(place.root) ? "a folder without it" : "no such folder");
}

Entries read_data_info(const std::string& path) {
  const JsonFile file(path);
  const JsonNode list = file.root();
  Entries entries;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonNode item = list.at(i);
    Entry entry{item.member("image_path").text(), ""};
    for (const char* key : {"label_camera_std_path", "label_camera_path"}) {
      if (entry.label.empty() && item.has(key)) entry.label = item.member(key).text();
    }
    const std::string stem = file_stem(entry.image);
    if (!entries.emplace(stem, std::move(entry)).second) item.member("image_path").fail("a file stem of its own");
  }
  return entries;
}

std::string label_file(const SplitPlace& place, const std::string& stem, const Entry& entry) {
  std::vector<std::string> names = {"label/camera/" + stem + ".json", "annotations/camera/" + stem + ".json"};
  if (!entry.label.empty()) names.insert(names.begin(), entry.label);
  return find_file(place, names);
}

// 0, 1 and 2 are visible to strongly hidden; the data set's tools treat anything else as "not to be judged".
bool known_state(const JsonNode& object, const std::vector<std::string_view>& spellings) {
  for (const std::string_view key : spellings) {
    if (!object.has(key)) continue;
    const double state = object.member(key).number();
    return state == 0 || state == 1 || state == 2;
  }
  return true;
}

bool judged(const JsonNode& object) {
  return known_state(object, {"occluded_state", "occulated_state"}) &&
         known_state(object, {"truncated_state", "turncated_state"});
}

ObjectRecord read_object(const JsonNode& object, const TypeMeaning& meaning, int64_t id) {
  const JsonNode box = object.member("2d_box");
  const double x = box.member("xmin").number(), y = box.member("ymin").number();
  const double width = box.member("xmax").number() - x, height = box.member("ymax").number() - y;
  const bool ignored = meaning.kind == TypeMeaning::Kind::ignore || !judged(object);
  return {x, y, width, height, width * height, meaning.label, id, ignored};
}

// dropped: counts of the objects without a class, by type.
std::vector<ObjectRecord> read_labels(const std::string& path, const ClassTable& table, Findings* findings,
                                      std::map<std::string, int64_t>& dropped, int64_t& next_id) {
  const JsonFile file(path);
  const JsonNode list = file.root();
  std::vector<ObjectRecord> objects;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonNode type = list.at(i).member("type");
    const auto meaning = table.find(type.text());
    if (!meaning && findings) ++findings->unmapped[type.text()];
    if (!meaning && !findings) type.fail(table.expected());
    const bool kept = meaning && meaning->kind != TypeMeaning::Kind::drop;
    if (kept) objects.push_back(read_object(list.at(i), *meaning, next_id++));
    if (!kept) ++dropped[type.text()];
  }
  return objects;
}

const Entry& find_entry(const Entries& entries, const JsonNode& id, const SplitPlace& place) {
  const auto found = entries.find(id.text());
  if (found == entries.end()) id.fail("a file stem of data_info.json");
  const std::string image = join_path(place.root, found->second.image);
  const bool absent = !place.findings && !exists(image);  // a check looks at the files itself
  if (absent) id.fail(text("the id of a picture that exists (", image, " does not)"));
  return found->second;
}

// The name under which data.exclude lists the picture: its path or its id; nullptr: it does not.
const std::string* excluded_name(const SplitPlace& place, const Entries& entries, const std::string& stem) {
  auto name = place.excluded.find(stem);
  const auto entry = entries.find(stem);
  if (name == place.excluded.end() && entry != entries.end()) name = place.excluded.find(entry->second.image);
  return name == place.excluded.end() ? nullptr : &*name;
}

// "000012" -> 12; a number of more than 18 digits may not fit.
std::optional<int64_t> number_of(const std::string& stem) {
  const bool digits = std::all_of(stem.begin(), stem.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || stem.empty() || stem.size() > 18) return std::nullopt;
  return std::stoll(stem);
}

// The stems as numbers when all are and no two are the same ("1" and "01"), else 1, 2, ...: evaluators and result files
// need integer ids.
void set_image_ids(std::vector<PictureRecord>& pictures) {
  std::unordered_set<int64_t> ids;
  const bool numeric = std::all_of(pictures.begin(), pictures.end(), [&](const PictureRecord& picture) {
    const auto number = number_of(file_stem(picture.path));
    return number && ids.insert(*number).second;
  });
  int64_t index = 0;
  for (PictureRecord& picture : pictures) picture.id = numeric ? *number_of(file_stem(picture.path)) : ++index;
}

std::string split_path(const SplitPlace& place) {
  if (!place.split_file.empty()) return join_path(place.root, place.split_file);
  return find_file(place, {"split_data.json", "metadata/split_data.json"});
}

}  // namespace

DetectionSet read_dair_v2x(const Config& config, const SplitPlace& place) {
  if (config.texts("data.classes").empty())
    config.fail_at("data.classes", "expected at least one class, got an empty list");
  const ClassTable table(config, config.texts("data.classes"), dair_types());
  const Entries entries = read_data_info(find_file(place, {"data_info.json", "metadata/data_info.json"}));
  const JsonFile splits(split_path(place));
  const JsonNode ids = splits.root().member(place.split);
  DetectionSet set{table.classes(), {}, {}};
  std::unordered_set<std::string> seen;
  int64_t next_id = 1;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string stem = ids.at(i).text();
    if (const std::string* name = excluded_name(place, entries, stem)) {
      set.left_out.insert(*name);
      continue;
    }
    attempt(place.findings, "label", stem, [&] {
      if (!seen.insert(stem).second) ids.at(i).fail("every id of the split once");
      const Entry& entry = find_entry(entries, ids.at(i), place);
      PictureRecord picture;
      picture.name = entry.image;
      picture.path = join_path(place.root, entry.image);
      picture.objects = read_labels(label_file(place, stem, entry), table, place.findings, set.dropped, next_id);
      set.pictures.push_back(std::move(picture));
    });
  }
  set_image_ids(set.pictures);
  return set;
}

}  // namespace moe
