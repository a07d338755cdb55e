// The two readers on real sets and on small ones with every kind of fault.
#include <ATen/ATen.h>

#include "data/data_support.h"

using namespace moe;

static std::string coco_text(const std::string& annotations, const std::string& categories = "") {
  const std::string fallback = "{\"id\":3,\"name\":\"car\"},{\"id\":7,\"name\":\"person\"}";
  return "{\"images\":[{\"id\":9,\"file_name\":\"000001.png\",\"width\":40,\"height\":30},{\"id\":4,\"file_name\":"
         "\"000000.png\","
         "\"width\":40,\"height\":30}],\"categories\":[" +
         (categories.empty() ? fallback : categories) + "],\"annotations\":[" + annotations + "]}";
}

static const char* const two_annotations =
    "{\"id\":1,\"image_id\":4,\"category_id\":7,\"bbox\":[4,6.5,16,11.5],\"area\":99,\"iscrowd\":0},"
    "{\"id\":2,\"image_id\":4,\"category_id\":3,\"bbox\":[\"1\",\"2\",\"3\",\"4\"],\"iscrowd\":1}";

static std::unique_ptr<Source> open_coco(const TinyDair& set, const std::string& json, Settings more = {}) {
  set.write("coco.json", json);
  const Settings coco = {{"data.format", "coco"},
                         {"data.classes", "[]"},
                         {"data.val.annotations", "coco.json"},
                         {"data.val.images", "image"},
                         {"data.train.annotations", "coco.json"},
                         {"data.train.images", "image"}};
  more.insert(more.begin(), coco.begin(), coco.end());
  return set.open("val", more);
}

static void test_sample_fields(void**) {
  const TinyDair set(3);
  const auto source = set.open("val", {{"data.size", "[60, 40]"}});
  const Batch batch = collate(source->spec(), {source->load(0, Rng(0, "test"))});
  check_batch(source->spec(), batch, true);
  CHECK(batch.get("images").is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK(batch.get("image_ids").item<int64_t>() == 2);
  CHECK(at::equal(batch.get("sizes"), at::tensor({30, 40}, at::kLong).view({1, 2})));
  CHECK(at::equal(batch.get("frames"), at::tensor({1.0f, 2.0f, 0.0f, 0.0f}).view({1, 4})));
  CHECK(at::allclose(batch.get("boxes"), at::tensor({0.3f, 12.25f / 30, 0.4f, 11.5f / 30}).view({1, 4})));
  CHECK(at::equal(batch.get("gt_boxes"), at::tensor({4.0, 6.5, 16.0, 11.5}, at::kDouble).view({1, 4})));
  CHECK(batch.get("gt_area").item<double>() == 16 * 11.5 && batch.get("gt_ids").item<int64_t>() == 1);
  CHECK(!set.open("train")->load(0, Rng(0, "test")).has("gt_boxes"));
}

static void test_types(void**) {
  const TinyDair set(1);
  const auto object = [](const char* type) { return dair_object(type, "1", "1", "9", "9"); };
  set.label(0, "[" + object("Van") + "," + object("tricyclist") + "," + object("TrafficCone") + "," +
                   object("PedestrianIgnore") + "," + object("Unknowns_movable") + "," + object("Barrowlist") + "]");
  const Batch batch = set.open("val")->load(0, Rng(0, "test"));
  CHECK(at::equal(batch.get("labels"), at::tensor({0, 5, 4}, at::kLong)));
  // person ignored once, the unknown one for each of the six classes
  CHECK(at::equal(batch.get("gt_labels"), at::tensor({0, 5, 3, 0, 1, 2, 3, 4, 5, 4}, at::kLong)));
  CHECK(at::equal(batch.get("gt_crowd"), at::tensor({0, 0, 1, 1, 1, 1, 1, 1, 1, 0}, at::kLong)));
  const Batch mapped = set.open("val", {{"data.class_map.van", "truck"}, {"data.class_map.Tricyclist", "drop"}})
                           ->load(0, Rng(0, "test"));
  CHECK(at::equal(mapped.get("labels"), at::tensor({1, 4}, at::kLong)));
  const Batch fewer = set.open("val", {{"data.classes", "[bicycle, van]"}})->load(0, Rng(0, "test"));
  CHECK(at::equal(fewer.get("labels"), at::tensor({1, 0}, at::kLong)));
  CHECK_ERROR(MOE_ERR_CONFIG, "did you mean \"truck\"", set.open("val", {{"data.class_map.van", "truk"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected every class once", set.open("val", {{"data.classes", "[car, bus, car]"}}));
}

static void test_hidden_state_out_of_range_is_ignored(void**) {
  const TinyDair set(1);
  std::string object = dair_object("Car", "1", "1", "9", "9");
  object.replace(object.find("occluded_state\":\"0"), 18, "occulated_state\":\"7");
  set.label(0, "[" + object + "]");
  const Batch batch = set.open("val")->load(0, Rng(0, "test"));
  CHECK(batch.get("labels").numel() == 0 && batch.get("gt_crowd").item<int64_t>() == 1);
}

static void test_unknown_type(void**) {
  const TinyDair set(2);
  set.label(1, "[" + dair_object("Car", "1", "1", "9", "9") + "," + dair_object("Tank", "1", "1", "9", "9") + "]");
  CHECK_ERROR(MOE_ERR_DATA, "label/camera/000001.json: [1].type: expected a type of the class table (",
              set.open("train"));
  CHECK_ERROR(MOE_ERR_DATA, "got \"Tank\"", set.open("train"));
  CHECK(set.open("train", {{"data.unknown_types", "drop"}})->size() == 2);
  CHECK(set.open("train", {{"data.class_map.tank", "ignore"}})->load(1, Rng(0, "test")).get("labels").numel() == 1);
}

static void test_wrong_json(void**) {
  const TinyDair set(2);
  set.label(1, "[\n {\"type\": \"Car\", }\n]");
  CHECK_ERROR(MOE_ERR_PARSE, "label/camera/000001.json:2:18: expected JSON, got a syntax error", set.open("train"));
  set.label(1, "");
  CHECK_ERROR(MOE_ERR_PARSE, "000001.json: expected JSON, got an empty file", set.open("train"));
  set.label(1, "{\"type\": \"Car\"}");
  CHECK_ERROR(MOE_ERR_DATA, "000001.json: expected an array, got an object of 1", set.open("train"));
  set.label(1, "[" + dair_object("Car", "1", "one", "9", "9") + "]");
  CHECK_ERROR(MOE_ERR_DATA, "[0].2d_box.ymin: expected a number, got \"one\"", set.open("train"));
  set.label(1, "[{\"type\":\"Car\",\"2d_box\":{\"xmin\":1,\"ymim\":1,\"xmax\":2,\"ymax\":2}}]");
  CHECK_ERROR(MOE_ERR_DATA,
              "[0].2d_box: expected the key \"ymin\", got the keys \"xmax\", \"xmin\", \"ymax\", \"ymim\"",
              set.open("train"));
  set.label(1, "[{\"type\":\"Car\",\"2d_box\":{\"xmin\":1,\"ymin\":1.5,\"xmax\":2,\"ymax\":2}}]");
  CHECK(set.open("train")->size() == 2);
  set.label(1, "[" + std::string("{\"type\":1e999}]"));
  CHECK_ERROR(MOE_ERR_PARSE, "000001.json: expected JSON, got a number overflow parsing '1e999'", set.open("train"));
}

// Numbers and strings of numbers are the same labels.
static void test_numbers_in_labels(void**) {
  const TinyDair set(2);
  set.label(
      0, "[" + dair_object("Car", "4", "6.5", "20", "18") + "," + dair_object("Truck", "1.25", "2", "9", "7.5") + "]");
  set.label(
      1,
      "[{\"type\":\"Car\",\"occluded_state\":0,\"truncated_state\":0,\"2d_box\":{\"xmin\":4,\"ymin\":6.5,\"xmax\":20,"
      "\"ymax\":18}},{\"type\":\"Truck\",\"occluded_state\":0,\"truncated_state\":0,\"2d_box\":{\"xmin\":1.25,\"ymin\":"
      "2.0,"
      "\"xmax\":9.0,\"ymax\":7.5}}]");
  const auto source = set.open("train");
  const Batch texts = source->load(0, Rng(0, "test")), numbers = source->load(1, Rng(0, "test"));
  const float w = 40, h = 30;
  const at::Tensor wanted =
      at::tensor({12 / w, 12.25f / h, 16 / w, 11.5f / h, 5.125f / w, 4.75f / h, 7.75f / w, 5.5f / h});
  CHECK(at::allclose(numbers.get("boxes"), wanted.view({2, 4})));
  for (const char* name : {"boxes", "labels"}) CHECK(at::equal(texts.get(name), numbers.get(name)));
  CHECK(at::equal(numbers.get("labels"), at::tensor({0, 1}, at::kLong)));
}

// Pictures of these stems, all in "train".
static std::unique_ptr<Source> open_stems(const TinyDair& set, const std::vector<std::string>& stems) {
  std::string info, ids;
  for (const std::string& stem : stems) {
    set.write("image/" + stem + ".png", encode_png(numbered_picture(40, 30, 0)));
    set.write("label/camera/" + stem + ".json", "[]");
    info += (info.empty() ? "" : ",") + ("{\"image_path\":\"image/" + stem + ".png\"}");
    ids += (ids.empty() ? "" : ",") + ("\"" + stem + "\"");
  }
  set.write("data_info.json", "[" + info + "]");
  set.write("split_data.json", "{\"train\":[" + ids + "]}");
  return set.open("train");
}

static void test_ids(void**) {
  const TinyDair set(2);
  const auto numbers = open_stems(set, {"000007", "12"});
  CHECK(numbers->image_id(0) == 7 && numbers->image_id(1) == 12);
  const auto alike = open_stems(set, {"7", "000007"});
  CHECK(alike->image_id(0) == 1 && alike->image_id(1) == 2);
  const auto words = open_stems(set, {"a", "9999999999999999999"});
  CHECK(words->image_id(0) == 1 && words->image_id(1) == 2);
  set.write("split_data.json", "{\"train\":[\"a\",\"a\"]}");
  CHECK_ERROR(MOE_ERR_DATA, "split_data.json: train[1]: expected every id of the split once, got \"a\"",
              set.open("train"));
}

static void test_places(void**) {
  const TinyDair set(2);
  set.write("metadata/data_info.json", read_file(set.file("data_info.json")));
  set.write("metadata/split_data.json", read_file(set.file("split_data.json")));
  set.write("annotations/camera/000001.json", "[]");
  remove_file(set.file("data_info.json"));
  remove_file(set.file("split_data.json"));
  remove_file(set.file("label/camera/000001.json"));
  CHECK(set.open("val")->load(0, Rng(0, "test")).get("boxes").size(0) == 0);
  set.write("mine.json", "{\"odd\": [\"000000\"]}");
  CHECK(set.open("train", {{"data.split_file", "mine.json"}, {"data.train.split", "odd"}})->size() == 1);
  CHECK_ERROR(MOE_ERR_DATA, "mine.json: expected the key \"train\"",
              set.open("train", {{"data.split_file", "mine.json"}}));
}

static void test_absent_files(void**) {
  const TinyDair set(2);
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "no such folder", set.open("train", {{"data.root", "/tmp/absent-folder"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "data.root: expected the folder", set.open("train", {{"data.root", ""}}));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "train or val", set.open("test"));
  set.write("split_data.json", "{\"train\": [\"000000\", \"000077\"], \"val\": []}");
  CHECK_ERROR(MOE_ERR_DATA, "split_data.json: train[1]: expected a file stem of data_info.json, got \"000077\"",
              set.open("train"));
  CHECK_ERROR(MOE_ERR_DATA, "expected at least one picture, got none", set.open("val"));
  set.write("split_data.json", "{\"train\": [\"000000\", \"000001\"], \"val\": [\"000000\"]}");
  remove_file(set.file("image/000001.png"));
  CHECK_ERROR(MOE_ERR_DATA, "image/000001.png does not), got \"000001\"", set.open("train"));
  remove_file(set.file("label/camera/000000.json"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "label/camera/000000.json or", set.open("val"));
}

static void test_boxes_outside_and_degenerate(void**) {
  const TinyDair set(1);
  set.label(0, "[" + dair_object("Car", "50", "5", "70", "9") + "," + dair_object("Bus", "5", "5", "5", "9") + "," +
                   dair_object("Truck", "-10", "-2", "9", "9") + "," + dair_object("Car", "9", "9", "3", "12") + "]");
  const auto source = set.open("val");
  source->take_notes();
  const Batch batch = source->load(0, Rng(0, "test"));
  CHECK(at::equal(batch.get("labels"), at::tensor({1}, at::kLong)));
  CHECK(at::allclose(batch.get("boxes"), at::tensor({4.5f / 40, 4.5f / 30, 9.0f / 40, 9.0f / 30}).view({1, 4})));
  // The truth stays as the file has it: evaluation does not clip.
  CHECK(at::equal(batch.get("gt_boxes"), at::tensor({-10.0, -2.0, 19.0, 11.0}, at::kDouble).view({1, 4})));
  const auto notes = source->take_notes();
  CHECK(notes.size() == 1 && notes[0].level == MOE_LOG_WARNING);
  CHECK(notes[0].line.find("000000.png: object 0") != std::string::npos);
  source->load(0, Rng(0, "test"));
  CHECK(source->take_notes().empty());
}

static void test_coco(void**) {
  const TinyDair set(2);
  const auto source = open_coco(set, coco_text(two_annotations));
  CHECK(source->class_names() == std::vector<std::string>({"car", "person"}));
  CHECK(source->image_id(0) == 4 && source->image_id(1) == 9);
  const Batch batch = source->load(0, Rng(0, "test"));
  CHECK(at::equal(batch.get("labels"), at::tensor({1}, at::kLong)));
  CHECK(at::equal(batch.get("gt_area"), at::tensor({99.0, 12.0}, at::kDouble)));
  CHECK(at::equal(batch.get("gt_crowd"), at::tensor({0, 1}, at::kLong)));
  const Batch by_name =
      open_coco(set, coco_text(two_annotations), {{"data.classes", "[person, Car]"}})->load(0, Rng(0, "test"));
  CHECK(at::equal(by_name.get("gt_labels"), at::tensor({0, 1}, at::kLong)));
}

static void test_coco_faults(void**) {
  const TinyDair set(2);
  const auto open = [&](const std::string& json) { return open_coco(set, json); };
  const auto with = [&](const std::string& annotation) { return open(coco_text("{\"id\":1," + annotation + "}")); };
  std::string renamed = coco_text(two_annotations);
  renamed.replace(renamed.find("\"annotations\""), 13, "\"annotation\"");
  CHECK_ERROR(MOE_ERR_DATA, "coco.json: expected the key \"annotations\", got the keys \"annotation\", \"categories\"",
              open(renamed));
  renamed = coco_text(two_annotations);
  renamed.replace(renamed.find("\"file_name\""), 11, "\"filename\"");
  CHECK_ERROR(MOE_ERR_DATA, "images[0]: expected the key \"file_name\", got the keys \"filename\", \"height\"",
              open(renamed));
  CHECK_ERROR(MOE_ERR_DATA, "annotations[0].image_id: expected the id of one of the images, got 5",
              with("\"image_id\":5,\"category_id\":3,\"bbox\":[1,2,3,4]"));
  CHECK_ERROR(MOE_ERR_DATA, "annotations[0].category_id: expected the id of one of the categories, got 5",
              with("\"image_id\":4,\"category_id\":5,\"bbox\":[1,2,3,4]"));
  CHECK_ERROR(MOE_ERR_DATA, "annotations[0].bbox: expected [x, y, width, height], got an array of 3",
              with("\"image_id\":4,\"category_id\":3,\"bbox\":[1,2,3]"));
  CHECK_ERROR(MOE_ERR_DATA, "annotations[0].bbox[3]: expected a number, got true",
              with("\"image_id\":4,\"category_id\":3,\"bbox\":[1,2,3,true]"));
  CHECK_ERROR(MOE_ERR_DATA, "annotations[0].image_id: expected an integer, got 4.5",
              with("\"image_id\":4.5,\"category_id\":3,\"bbox\":[1,2,3,4]"));
  CHECK_ERROR(MOE_ERR_DATA, "for the category \"person\", got 7",
              open_coco(set, coco_text(two_annotations), {{"data.classes", "[car]"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "data.val.annotations: expected", open_coco(set, "{}", {{"data.val.annotations", ""}}));
  CHECK_ERROR(MOE_ERR_DATA, "expected at least one picture",
              open("{\"images\":[],\"categories\":[],\"annotations\":[]}"));
  std::string wrong_size = coco_text(two_annotations);
  wrong_size.replace(wrong_size.rfind("\"width\":40"), 10, "\"width\":41");
  CHECK_ERROR(MOE_ERR_DATA, "expected 41 x 30 pixels as the annotation file says, got 40 x 30",
              open(wrong_size)->load(0, Rng(0, "t")));
}

static void test_coco_annotation_id_zero(void**) {
  const TinyDair set(2);
  const auto source = open_coco(set, coco_text("{\"id\":0,\"image_id\":4,\"category_id\":3,\"bbox\":[1,2,3,4]}"));
  const auto notes = source->take_notes();
  CHECK(notes.size() == 2 && notes[0].level == MOE_LOG_WARNING && notes[0].line.find("id 0") != std::string::npos);
  CHECK(notes[1].line.find("1 objects (car 1, person 0)") != std::string::npos);
}

// A class that nothing can teach is named, in training alone.
static void test_class_without_objects(void**) {
  const TinyDair set(2);
  const auto warnings = [&](const char* split) {
    int64_t count = 0;
    const auto source = set.open(split, {{"data.classes", "[car, truk]"}});
    for (const Note& note : source->take_notes()) {
      count +=
          note.level == MOE_LOG_WARNING && note.line.find("no training picture holds \"truk\"") != std::string::npos;
    }
    return count;
  };
  CHECK(warnings("train") == 1);
  CHECK(warnings("val") == 0);
  std::string lines;  // the misspelt one and the types that are thereby left out
  for (const Note& note : set.open("train", {{"data.classes", "[cars]"}})->take_notes()) lines += note.line + "\n";
  CHECK(lines.find("; left out, as no class: Car ") != std::string::npos);
  CHECK(lines.find("data.class_map use, did you mean \"Car\"?") != std::string::npos);
}

static void test_subset(void**) {
  const TinyDair set(9);
  const auto files = [&](const char* seed) {
    const auto source = set.open("train", {{"data.subset", "4"}, {"seed", seed}});
    std::vector<std::string> names;
    for (int64_t i = 0; i < source->size(); ++i) names.push_back(source->file_name(i));
    return names;
  };
  const auto chosen = files("1");
  CHECK(chosen.size() == 4 && chosen == files("1") && chosen != files("2"));
  CHECK(std::is_sorted(chosen.begin(), chosen.end()));
}

static void test_files_without_labels(void**) {
  const TinyDair set(2);
  const auto source = open_files(set.config(), {set.file("image/000001.png"), set.file("image/000000.png")});
  const Batch batch = collate(source->spec(), {source->load(0, Rng(0, "t")), source->load(1, Rng(0, "t"))});
  check_batch(source->spec(), batch, false);
  CHECK(source->image_id(1) == 2 && !batch.has("boxes") && batch.get("images").size(0) == 2);
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.png", open_files(set.config(), {"/tmp/absent.png"}));
  CHECK_ERROR(MOE_ERR_DATA, "expected at least one picture", open_files(set.config(), {}));
}

static void test_augmentation_changes_only_training(void**) {
  const TinyDair set(1);
  const Settings all = {{"data.augment.flip", "1"},
                        {"data.augment.zoom_out", "1"},
                        {"data.augment.iou_crop", "1"},
                        {"data.augment.photometric", "1"}};
  const auto plain = set.open("val"), val = set.open("val", all), train = set.open("train", all);
  CHECK(at::equal(plain->load(0, Rng(1, "t")).get("images"), val->load(0, Rng(1, "t")).get("images")));
  const Batch a = train->load(0, Rng(1, "t")), b = train->load(0, Rng(1, "t")), c = train->load(0, Rng(2, "t"));
  CHECK(at::equal(a.get("images"), b.get("images")) && at::equal(a.get("boxes"), b.get("boxes")));
  CHECK(!at::equal(a.get("images"), c.get("images")));
  check_batch(train->spec(), collate(train->spec(), {a, c}), true);
}

static void test_flip_mirrors_boxes(void**) {
  const TinyDair set(1);
  const Batch batch = set.open("train", {{"data.augment.flip", "1"}})->load(0, Rng(1, "t"));
  const Batch plain = set.open("train")->load(0, Rng(1, "t"));
  CHECK(at::equal(batch.get("images"), plain.get("images").flip({2})));
  CHECK_NEAR(batch.get("boxes")[0][0].item<double>(), 1 - plain.get("boxes")[0][0].item<double>(), 1e-6);
}

static void test_cache(void**) {
  const TinyDair set(2);
  const auto source = set.open("val", {{"data.cache", "true"}});
  const Batch first = source->load(0, Rng(1, "t"));
  remove_file(set.file("image/000001.png"));
  CHECK(at::equal(first.get("images"), source->load(0, Rng(1, "t")).get("images")));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_sample_fields),
      cmocka_unit_test(test_types),
      cmocka_unit_test(test_hidden_state_out_of_range_is_ignored),
      cmocka_unit_test(test_unknown_type),
      cmocka_unit_test(test_wrong_json),
      cmocka_unit_test(test_numbers_in_labels),
      cmocka_unit_test(test_ids),
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_absent_files),
      cmocka_unit_test(test_boxes_outside_and_degenerate),
      cmocka_unit_test(test_coco),
      cmocka_unit_test(test_coco_faults),
      cmocka_unit_test(test_coco_annotation_id_zero),
      cmocka_unit_test(test_class_without_objects),
      cmocka_unit_test(test_subset),
      cmocka_unit_test(test_files_without_labels),
      cmocka_unit_test(test_augmentation_changes_only_training),
      cmocka_unit_test(test_flip_mirrors_boxes),
      cmocka_unit_test(test_cache),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
