// COCO json for boxes. Masks are skipped while parsing: only bbox, area and iscrowd of an annotation are used.
#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/files.h"
#include "data/detection_set.h"
#include "base/json_file.h"

namespace moe {

namespace {

using Categories = std::map<int64_t, std::string>;  // by id, so in the order of the labels

Categories read_categories(const JsonNode& list) {
  Categories categories;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonNode id = list.at(i).member("id");
    if (!categories.emplace(id.integer(), list.at(i).member("name").text()).second) id.fail("a category id of its own");
  }
  return categories;
}

// Ids that do not count from 0 are the commonest slip between programs.
std::string describe_ids(const Categories& categories) {
  if (categories.empty()) return "no categories";
  const int64_t count = static_cast<int64_t>(categories.size()), first = categories.begin()->first;
  const bool dense = categories.rbegin()->first == first + count - 1;
  return text(count, " categories with ids ", first, " to ", categories.rbegin()->first, dense ? "" : " with holes",
              "; labels count from 0 in their order");
}

std::vector<std::string> class_list(const Config& config, const Categories& categories) {
  std::vector<std::string> names = config.texts("data.classes");
  if (!names.empty()) return names;
  for (const auto& [id, name] : categories) names.push_back(name);
  return names;
}

struct Pictures {
  std::vector<PictureRecord> records;  // by rising id
  std::unordered_map<int64_t, size_t> index_of_id;
  std::unordered_set<int64_t> excluded;  // ids of pictures that are left out
  std::set<std::string> left_out;        // their names
};

void read_picture(const JsonNode& item, const SplitPlace& place, Pictures& out) {
  PictureRecord picture;
  picture.name = join_path(place.images, item.member("file_name").text());
  picture.path = join_path(place.root, picture.name);
  picture.id = item.member("id").integer();
  if (place.excluded.count(picture.name) > 0) {
    out.excluded.insert(picture.id);
    out.left_out.insert(picture.name);
    return;
  }
  if (item.has("width")) picture.width = item.member("width").integer();
  if (item.has("height")) picture.height = item.member("height").integer();
  if (!out.index_of_id.emplace(picture.id, 0).second) item.member("id").fail("an image id of its own");
  out.records.push_back(std::move(picture));
}

Pictures read_pictures(const JsonNode& list, const SplitPlace& place) {
  Pictures out;
  for (size_t i = 0; i < list.size(); ++i) {
    attempt(place.findings, "label", "", [&] { read_picture(list.at(i), place, out); });
  }
  std::sort(out.records.begin(), out.records.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (size_t i = 0; i < out.records.size(); ++i) out.index_of_id[out.records[i].id] = i;
  return out;
}

ObjectRecord read_annotation(const JsonNode& item, int64_t id, const TypeMeaning& meaning) {
  const JsonNode box = item.member("bbox");
  if (box.size() != 4) box.fail("[x, y, width, height]");
  ObjectRecord object{box.at(0).number(), box.at(1).number(), box.at(2).number(), box.at(3).number()};
  object.area = item.has("area") ? item.member("area").number() : object.width * object.height;
  object.label = meaning.label;
  object.id = id;
  const bool crowd = item.has("iscrowd") && item.member("iscrowd").integer() != 0;
  object.ignored = crowd || meaning.kind == TypeMeaning::Kind::ignore;
  return object;
}

class AnnotationReader {
 public:
  AnnotationReader(const ClassTable& table, const Categories& categories, Pictures& pictures, Findings* findings)
      : table_(table), categories_(categories), pictures_(pictures), findings_(findings) {}

  void read(const JsonNode& item, size_t index) {
    const JsonNode image = item.member("image_id");
    if (pictures_.excluded.count(image.integer()) > 0) return;
    const auto picture = pictures_.index_of_id.find(image.integer());
    if (picture == pictures_.index_of_id.end()) image.fail("the id of one of the images");
    PictureRecord& record = pictures_.records[picture->second];
    attempt(findings_, "label", record.name, [&] { read_object(item, index, record); });
  }

  int64_t zero_ids() const { return zero_ids_; }

 private:
  void read_object(const JsonNode& item, size_t index, PictureRecord& picture) {
    const std::optional<TypeMeaning> meaning = meaning_of(item.member("category_id"));
    // Files without ids exist; the reference evaluator would number them in this order.
    const int64_t id = item.has("id") ? item.member("id").integer() : static_cast<int64_t>(index) + 1;
    zero_ids_ += id == 0;
    if (!meaning || meaning->kind == TypeMeaning::Kind::drop) return;
    picture.objects.push_back(read_annotation(item, id, *meaning));
  }

  // Nothing: a check has noted that the category has no meaning.
  std::optional<TypeMeaning> meaning_of(const JsonNode& category) const {
    const auto found = categories_.find(category.integer());
    if (found == categories_.end()) category.fail("the id of one of the categories");
    const auto meaning = table_.find(found->second);
    if (!meaning && findings_) ++findings_->unmapped[found->second];
    if (!meaning && !findings_) category.fail(text(table_.expected(), " for the category ", quote(found->second)));
    return meaning;
  }

  const ClassTable& table_;
  const Categories& categories_;
  Pictures& pictures_;
  Findings* findings_;
  int64_t zero_ids_ = 0;
};

}  // namespace

DetectionSet read_coco(const Config& config, const SplitPlace& place) {
  const std::string path = join_path(place.root, place.annotations);
  const JsonFile file(path, {"segmentation", "licenses", "info"});
  const Categories categories = read_categories(file.root().member("categories"));
  const ClassTable table(config, class_list(config, categories), {});
  Pictures pictures = read_pictures(file.root().member("images"), place);
  AnnotationReader reader(table, categories, pictures, place.findings);
  const JsonNode annotations = file.root().member("annotations");
  for (size_t i = 0; i < annotations.size(); ++i) {
    attempt(place.findings, "label", "", [&] { reader.read(annotations.at(i), i); });
  }
  DetectionSet set{table.classes(), std::move(pictures.records), {}, std::move(pictures.left_out)};
  if (place.findings) set.notes.push_back({MOE_LOG_INFO, path + ": " + describe_ids(categories)});
  if (reader.zero_ids() > 0) {
    set.notes.push_back({MOE_LOG_WARNING, text(path, ": ", reader.zero_ids(),
                                               " annotations have the id 0, which pycocotools never counts as found")});
  }
  return set;
}

// The category of the class's own name, else the first one that data.class_map sends to it.
static std::optional<int64_t> category_of(int64_t label, const ClassTable& table, const Categories& categories) {
  std::optional<int64_t> found;
  for (const auto& [id, name] : categories) {
    const auto meaning = table.find(name);
    if (!meaning || meaning->kind != TypeMeaning::Kind::target || meaning->label != label) continue;
    if (lower(name) == lower(table.classes()[static_cast<size_t>(label)])) return id;
    if (!found) found = id;
  }
  return found;
}

// As YAML's single-quoted scalars in a flow list.
static std::string flow_list(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) {
    out += out.empty() ? "['" : ", '";
    for (const char c : item) out += c == '\'' ? "''" : std::string(1, c);
    out += "'";
  }
  return out + "]";
}

static void fill_from(Config& config, const std::string& path) {
  const JsonFile file(path, {"segmentation", "licenses", "info", "images", "annotations"});
  const Categories categories = read_categories(file.root().member("categories"));
  if (categories.empty()) file.root().member("categories").fail("at least one category");
  const ClassTable table(config, class_list(config, categories), {});
  std::vector<std::string> ids;
  int64_t free_id = categories.rbegin()->first + 1;
  for (size_t label = 0; label < table.classes().size(); ++label) {
    const auto id = category_of(static_cast<int64_t>(label), table, categories);
    ids.push_back(std::to_string(id ? *id : free_id++));
  }
  if (config.texts("data.classes").empty()) config.set("data.classes", flow_list(table.classes()));
  if (config.integers("data.category_ids").empty()) config.set("data.category_ids", "[" + join(ids, ", ") + "]");
}

void fill_classes(Config& config) {
  if (config.text("data.format") != "coco") return;
  const bool open = config.texts("data.classes").empty();
  if (!open && !config.integers("data.category_ids").empty()) return;
  const std::string annotations = config.text("data.train.annotations");
  if (open && annotations.empty()) {
    config.fail_at("data.train.annotations", "expected the COCO json that names the classes, got none");
  }
  const std::string own = config.text("data.train.root"), root = own.empty() ? config.text("data.root") : own;
  const std::string path = join_path(root, annotations);
  if (!open && (annotations.empty() || !exists(path))) return;
  fill_from(config, join_path(split_place(config, "train").root, annotations));
}

}  // namespace moe
