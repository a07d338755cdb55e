// The check of a data set finds every kind of fault in one pass, and the list it writes makes the set readable: by both
// readers, for training and validation.
#include "data/check.h"

#include <algorithm>

#include "data/exclude_list.h"
#include "data_support.h"

using namespace moe;

namespace {

struct Lines {
  std::vector<std::string> warnings, notes;
  Log log() {
    return [this](int32_t level, const std::string& line) {
      (level >= MOE_LOG_WARNING ? warnings : notes).push_back(line);
    };
  }
  int64_t count(const std::string& part) const {
    return std::count_if(warnings.begin(), warnings.end(),
                         [&](const std::string& line) { return line.find(part) != std::string::npos; });
  }
};

std::string coco(const std::string& images, const std::string& annotations) {
  return "{\"images\":[" + images + "],\"annotations\":[" + annotations +
         "],\"categories\":[{\"id\":1,\"name\":\"car\"},{\"id\":7,\"name\":\"kite\"}]}";
}

std::string coco_image(int64_t id, const std::string& name, int64_t width = 40) {
  return text("{\"id\":", id, ",\"file_name\":\"", name, "\",\"width\":", width, ",\"height\":30}");
}

std::string coco_object(int64_t id, int64_t image, const std::string& box, int64_t category = 1) {
  return text("{\"id\":", id, ",\"image_id\":", image, ",\"category_id\":", category, ",\"bbox\":", box, "}");
}

// Reads every sample of a split; an unreadable one throws.
int64_t read_all(const Config& config, const std::string& split) {
  const auto source = open_source(config, split);
  for (int64_t i = 0; i < source->size(); ++i) source->load(i, Rng(0, "check"));
  return source->size();
}

// A folder with pictures a.png .. f.png of 40 x 30 and two annotation files.
class TinyCoco {
 public:
  TinyCoco() {
    make_directories(folder_ / "pictures");
    for (int64_t i = 0; i < 6; ++i) picture(i, encode_png(numbered_picture(40, 30, i)));
  }
  void picture(int64_t i, const std::string& bytes) const {
    write_file_atomic(folder_ / ("pictures/" + name(i)), bytes);
  }
  void annotations(const std::string& split, const std::string& json) const {
    write_file_atomic(folder_ / (split + ".json"), json);
  }
  static std::string name(int64_t i) { return std::string(1, static_cast<char>('a' + i)) + ".png"; }
  std::string file(const std::string& name) const { return folder_ / name; }
  Config config(Settings more = {}) const {
    more.insert(more.begin(), {{"data.format", "coco"},
                               {"data.root", folder_.path()},
                               {"data.classes", "[car]"},
                               {"data.size", "[30, 40]"},
                               {"data.train.annotations", "train.json"},
                               {"data.train.images", "pictures"},
                               {"data.val.annotations", "val.json"},
                               {"data.val.images", "pictures"}});
    return test_config(more);
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace

static void test_a_good_set(void**) {
  const TinyDair set(3);
  set.write("split_data.json", R"({"train":["000000","000001"],"val":["000002"]})");
  Lines lines;
  const DataReport report = check_data(set.config(), set.file("list.txt"), lines.log());
  CHECK(report.pictures == 3 && report.objects == 3 && report.problems == 0 && report.excluded == 0);
  CHECK(lines.warnings.empty() && lines.notes.size() == 2);
  CHECK(lines.notes[0] == "data, train: 2 pictures, 2 objects, 0 problems");
  CHECK(ExcludeList(set.file("list.txt")).size() == 0);
}

static void test_faults_of_dair(void**) {
  const TinyDair set(9);
  const std::string whole = read_file(set.file("image/000001.png"));
  set.write("image/000000.png", "");
  set.write("image/000001.png", whole.substr(0, whole.size() / 2));
  remove_file(set.file("image/000002.png"));
  set.label(3, "[{\"type\":\"Car\"}]");
  set.label(4, "[" + dair_object("Car", "4", "6", "4", "18") + "," + dair_object("Car", "50", "6", "60", "18") + "]");
  set.label(
      5, "[" + dair_object("Unicorn", "4", "6", "20", "18") + "," + dair_object("Unicorn", "4", "6", "9", "9") + "]");
  set.write("image/000007.png", read_file(set.file("image/000006.png")));
  Lines lines;
  const DataReport report = check_data(set.config(), set.file("list.txt"), lines.log());
  CHECK(lines.count("train, empty: ") == 1 && lines.count("got a file of 0 bytes") == 1);
  CHECK(lines.count("train, broken: ") == 1 && lines.count("train, missing: ") == 1);
  CHECK(lines.count("train, label: ") == 1 && lines.count("expected the key \"2d_box\"") == 1);
  CHECK(lines.count("train, degenerate: ") == 1 && lines.count("train, outside: ") == 1);
  CHECK(lines.count("expected a meaning for \"Unicorn\", which 2 objects have") == 1);
  CHECK(lines.count("train, copy: ") == 1);
  CHECK(lines.count("val, in both splits: ") == 1);  // the last picture of a TinyDair
  CHECK(report.problems == 9 && report.problems == static_cast<int64_t>(lines.warnings.size()));
  CHECK(report.excluded == 5);

  // The list cures what leaving pictures out can cure; types need a meaning.
  const Settings cured = {{"data.exclude", set.file("list.txt")}, {"data.class_map.Unicorn", "drop"}};
  CHECK_ERROR(MOE_ERR_DATA, "", read_all(set.config({{"data.class_map.Unicorn", "drop"}}), "train"));
  CHECK(read_all(set.config(cured), "train") == 4 && read_all(set.config(cured), "val") == 1);
  Lines again;
  const DataReport after = check_data(set.config(cured), set.file("second.txt"), again.log());
  CHECK(after.problems == 3 && after.excluded == 5);  // two boxes and the copy inside the split remain
  CHECK(read_file(set.file("second.txt")) == read_file(set.file("list.txt")));
}

static void test_faults_of_coco(void**) {
  const TinyCoco set;
  set.picture(1, "");
  set.annotations(
      "train", coco(coco_image(10, "a.png") + "," + coco_image(11, "b.png") + "," + coco_image(12, "c.png", 41) + "," +
                        coco_image(13, "gone.png") + "," + coco_image(14, "d.png"),
                    coco_object(0, 10, "[1,2,3,4]") + "," + coco_object(2, 14, "[1,2,0,4]") + "," +
                        coco_object(3, 14, "[1,2,3]") + "," + coco_object(4, 10, "[1,2,3,4]", 7) + "," +
                        coco_object(5, 99, "[1,2,3,4]") + "," + coco_object(6, 11, "[1,2,3,4]")));
  set.annotations("val",
                  coco(coco_image(20, "e.png") + "," + coco_image(21, "a.png"), coco_object(9, 20, "[1,2,3,4]")));
  Lines lines;
  const DataReport report = check_data(set.config(), set.file("list.txt"), lines.log());
  CHECK(report.pictures == 7 && report.objects == 4);
  CHECK(lines.notes[0].find("2 categories with ids 1 to 7 with holes; labels count from 0") != std::string::npos);
  CHECK(lines.count("train, empty: ") == 1 && lines.count("train, missing: ") == 1 &&
        lines.count("train, size: ") == 1);
  CHECK(lines.count("[x, y, width, height], got an array of 3") == 1 &&
        lines.count("image_id: expected the id of one of") == 1);
  CHECK(lines.count("train, degenerate: ") == 1 && lines.count("\"kite\", which 1 object has") == 1);
  CHECK(lines.count("1 annotations have the id 0") == 1 && lines.count("val, in both splits: ") == 1);
  CHECK(report.problems == 9 && report.excluded == 5);
  const ExcludeList list(set.file("list.txt"));
  CHECK(list.pictures("train") == std::set<std::string>({"pictures/a.png", "pictures/b.png", "pictures/c.png",
                                                         "pictures/d.png", "pictures/gone.png"}));
  CHECK(list.pictures("val").empty());
}

static void test_exclude_of_coco(void**) {
  const TinyCoco set;
  set.annotations("train", coco(coco_image(10, "a.png") + "," + coco_image(11, "b.png"),
                                coco_object(1, 10, "[1,2,3,4]") + "," + coco_object(2, 11, "[1,2]")));
  set.annotations("val", coco(coco_image(10, "a.png"), ""));
  write_file_atomic(set.file("list.txt"), "# a comment\n\ntrain\tpictures/b.png\tbad label\ntrain\tpictures/z.png\n");
  CHECK_ERROR(MOE_ERR_DATA, "bbox", read_all(set.config(), "train"));
  const Config config = set.config({{"data.exclude", set.file("list.txt")}});
  CHECK(read_all(config, "train") == 1 && read_all(config, "val") == 1);
  const auto notes = open_source(config, "train")->take_notes();
  const auto told = [&](const std::string& part) {
    return std::any_of(notes.begin(), notes.end(),
                       [&](const Note& n) { return n.line.find(part) != std::string::npos; });
  };
  CHECK(told("data.exclude: 1 pictures left out of train"));
  CHECK(told("expected a picture of the split train, got \"pictures/z.png\""));
}

static void test_bad_lists(void**) {
  const TinyDair set(2);
  const auto refuse = [&](const std::string& bytes, const std::string& part) {
    set.write("list.txt", bytes);
    CHECK_ERROR(MOE_ERR_DATA, part, set.open("train", {{"data.exclude", set.file("list.txt")}}));
  };
  refuse("train\timage/000000.png\nimage/000001.png\n", "list.txt:2: expected train or val, a tab");
  refuse("test\timage/000000.png\n", "list.txt:1");
  refuse("train\t \n", "list.txt:1");
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.txt", set.open("train", {{"data.exclude", set.file("absent.txt")}}));
  refuse("train\t000000\ntrain\timage/000001.png\n", "expected at least one picture");
}

static void test_what_cannot_be_checked(void**) {
  const TinyCoco set;
  set.annotations("train", coco(coco_image(10, "a.png"), ""));
  const Settings only = {{"data.val.annotations", ""}};
  const auto check = [&](const Settings& more) { return check_data(set.config(more), "", {}); };
  CHECK(check(only).pictures == 1);
  CHECK_ERROR(MOE_ERR_CONFIG, "data.train.annotations", check({{"data.train.annotations", ""}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "every class once", check({{"data.classes", "[car, car]"}}));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "no such folder", check({{"data.root", "nowhere"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected one of dair_v2x_i, coco", check({{"data.format", "cifar10"}}));
  set.annotations("train", "{");
  Lines broken;
  CHECK(check_data(set.config(only), "", broken.log()).problems == 1 && broken.count("train, unreadable: ") == 1);
}

static void test_many_of_a_kind(void**) {
  const TinyDair set(1);
  std::string objects;
  for (int i = 0; i < 50; ++i) objects += (i ? "," : "") + dair_object("Car", "4", "6", "4", "18");
  set.label(0, "[" + objects + "]");
  set.write("split_data.json", R"({"train":["000000"],"val":[]})");
  Lines lines;
  const DataReport report = check_data(set.config(), "", lines.log());
  CHECK(report.problems == 50 && lines.warnings.size() == 21 && lines.count("train, degenerate: 30 more") == 1);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_a_good_set),      cmocka_unit_test(test_faults_of_dair),
      cmocka_unit_test(test_faults_of_coco),  cmocka_unit_test(test_what_cannot_be_checked),
      cmocka_unit_test(test_exclude_of_coco), cmocka_unit_test(test_bad_lists),
      cmocka_unit_test(test_many_of_a_kind),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
