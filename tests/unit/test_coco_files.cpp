// COCO evaluation of two files: the generated scene of 2,000 images against pycocotools, number by number with ==
// (fixtures/coco/make_files.py); operating points by hand; what bad files are told.
#include "eval/coco_files.h"

#include <map>
#include <sstream>

#include "coco_scenes.h"
#include "eval/operating_points.h"
#include "support/test.h"

using namespace moe;
using namespace moe::coco_scenes;

namespace {

constexpr int64_t kImages = 2000, kClasses = 20;

int64_t category(int64_t label) {
  return 3 * label + 2;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string box_text(const CocoBox& box) {
  return "[" + number(box.x) + "," + number(box.y) + "," + number(box.width) + "," + number(box.height) + "]";
}

// Categories and images stand in falling order: only the ids decide.
void write_annotations(const std::string& path, const Scene& scene) {
  std::string out = "{\"info\":{},\"categories\":[";
  for (int64_t k = kClasses - 1; k >= 0; --k) {
    out += text("{\"id\":", category(k), ",\"name\":\"c", k, "\"}", k ? "," : "");
  }
  out += "],\"images\":[";
  for (int64_t i = kImages - 1; i >= 0; --i)
    out += text("{\"id\":", i, ",\"file_name\":\"", i, ".jpg\"}", i ? "," : "");
  out += "],\"annotations\":[";
  for (size_t i = 0; i < scene.truths.size(); ++i) {
    const CocoTruth& t = scene.truths[i];
    out += text(i ? "," : "", "{\"id\":", t.id, ",\"image_id\":", t.image, ",\"category_id\":", category(t.label),
                ",\"bbox\":", box_text(t.box), ",\"area\":", number(t.area), ",\"iscrowd\":", t.crowd ? 1 : 0,
                ",\"segmentation\":[[1,2,3,4,5,6]]}");
  }
  write_file_atomic(path, out + "]}");
}

void write_detections(const std::string& path, const Scene& scene) {
  std::string out = "[";
  for (size_t i = 0; i < scene.detections.size(); ++i) {
    const CocoDetection& d = scene.detections[i];
    out += text(i ? "," : "", "{\"image_id\":", d.image, ",\"category_id\":", category(d.label),
                ",\"bbox\":", box_text(d.box), ",\"score\":", number(d.score), "}");
  }
  write_file_atomic(path, out + "]");
}

struct Lines {
  std::vector<std::string> list;
  Log log() {
    return [this](int32_t, const std::string& line) { list.push_back(line); };
  }
};

// A pair of small files.
class Pair {
 public:
  void annotations(const std::string& json) const { write_file_atomic(folder_ / "a.json", json); }
  void detections(const std::string& json) const { write_file_atomic(folder_ / "d.json", json); }
  std::map<std::string, double> evaluate(const Log& log = {}) const {
    CocoFiles files = read_coco_annotations(folder_ / "a.json", log);
    read_coco_detections(folder_ / "d.json", folder_ / "a.json", files, log);
    std::map<std::string, double> out;
    for (const Metric& metric : evaluate_coco_files(files)) out[metric.name] = metric.value;
    return out;
  }

 private:
  TemporaryFolder folder_;
};

constexpr const char* kHead =
    R"({"images":[{"id":7},{"id":9}],"categories":[{"id":4,"name":"car"},{"id":90,"name":"dog"}],)";

std::string annotation(const std::string& id, const std::string& rest = "") {
  return R"({"id":)" + id + R"(,"image_id":7,"category_id":4,"bbox":[10,20,40,50],"area":2000,"iscrowd":0)" + rest +
         "}";
}
std::string with_annotations(const std::string& list) {
  return std::string(kHead) + "\"annotations\":[" + list + "]}";
}
const char* const kFound = R"([{"image_id":7,"category_id":4,"bbox":[10,20,40,50],"score":0.5}])";

}  // namespace

static void two_thousand_images_equal_pycocotools(void**) {
  const TemporaryFolder folder;
  const Scene scene = crowd_scene(kImages, kClasses);
  write_annotations(folder / "a.json", scene);
  write_detections(folder / "d.json", scene);
  CocoFiles files = read_coco_annotations(folder / "a.json", {});
  const std::vector<std::string> names = coco_file_metrics(files);
  read_coco_detections(folder / "d.json", folder / "a.json", files, {});
  const std::vector<Metric> metrics = evaluate_coco_files(files);
  std::map<std::string, double> expected;
  std::ifstream file = open_fixture("files.txt");
  std::string name;
  for (double value; file >> name >> value;) expected[name] = value;
  CHECK(metrics.size() == expected.size() && metrics.size() == names.size());
  for (size_t i = 0; i < metrics.size(); ++i) {
    CHECK(metrics[i].name == names[i] && expected.count(names[i]) == 1);
    if (metrics[i].value != expected[names[i]]) {
      std::fprintf(stderr, "%s: got %.17g, expected %.17g\n", names[i].c_str(), metrics[i].value, expected[names[i]]);
    }
    CHECK(metrics[i].value == expected[names[i]]);
  }
}

static void points_by_hand(void**) {
  const std::vector<ScoredHit> hits = {{0.9, true}, {0.8, false}, {0.8, true}, {0.5, true}, {0.1, false}};
  const OperatingPoint at = operating_point(hits, 4, 0.8);
  CHECK(at.precision == 2.0 / 3 && at.recall == 0.5 && at.f1 == 4.0 / 7);
  const OperatingPoint best = best_operating_point(hits, 4);
  CHECK(best.score == 0.5 && best.f1 == 6.0 / 8 && best.precision == 0.75 && best.recall == 0.75);
  CHECK(operating_point(hits, 4, 0.95).precision == -1 && operating_point(hits, 4, 0.95).recall == 0);
  CHECK(best_operating_point({}, 0).f1 == -1 && best_operating_point({}, 3).f1 == 0);
  CHECK(best_operating_point({{0.7, false}}, 0).f1 == 0);
}

static void a_perfect_pair(void**) {
  const Pair pair;
  pair.annotations(with_annotations(annotation("1")));
  pair.detections(kFound);
  Lines lines;
  const auto metrics = pair.evaluate(lines.log());
  CHECK(lines.list.empty());
  CHECK(metrics.at("AP") == 0.9999999999999998 && metrics.at("AP/dog") == -1 && metrics.at("F1") == 1);
  CHECK(metrics.at("F1_score") == 0.5 && metrics.at("precision@0.50") == 1 && metrics.at("precision@0.55") == -1);
  CHECK(metrics.at("recall@0.55") == 0 && metrics.at("empty_images") == 1 &&
        metrics.at("FP_per_empty_image@0.05") == 0);
}

// What pycocotools does silently is said, and the numbers stay its own.
static void oddities_are_told(void**) {
  const Pair pair;
  Lines lines;
  pair.annotations(with_annotations(annotation("0")));
  pair.detections(kFound);
  CHECK(pair.evaluate(lines.log()).at("AP") == 0);
  CHECK(lines.list.size() == 1 && lines.list[0].find("id 0, which pycocotools never counts") != std::string::npos);
  lines.list.clear();
  pair.annotations(with_annotations(R"({"id":1,"image_id":7,"category_id":4,"bbox":[10,20,40,50]})"));
  CHECK(pair.evaluate(lines.log()).at("AP_medium") > 0.99);
  CHECK(lines.list.size() == 1 && lines.list[0].find("1 annotations lack area or iscrowd") != std::string::npos);
  lines.list.clear();
  pair.annotations(with_annotations(annotation("1")));
  pair.detections(R"([{"image_id":7,"category_id":4,"bbox":[10,20,40,50],"score":0.5},
                      {"image_id":7,"category_id":5,"bbox":[10,20,40,50],"score":0.9}])");
  CHECK(pair.evaluate(lines.log()).at("AP") > 0.99);
  CHECK(lines.list.size() == 1 && lines.list[0].find("got 5 in 1 of 2 detections") != std::string::npos);
  pair.detections("[]");
  CHECK(pair.evaluate().at("AP") == 0);
}

static void bad_files_are_named(void**) {
  const Pair pair;
  pair.annotations(with_annotations(annotation("1")));
  const auto refuse = [&](const std::string& json, const std::string& part) {
    pair.detections(json);
    CHECK_ERROR(MOE_ERR_DATA, part, pair.evaluate());
  };
  refuse(R"([{"image_id":8,"category_id":4,"bbox":[1,2,3,4],"score":1}])",
         "[0].image_id: expected the id of an image of");
  refuse(R"([{"image_id":7,"category_id":5,"bbox":[1,2,3,4],"score":1}])", "expected category ids of");
  refuse(R"([{"image_id":7,"category_id":4,"bbox":[1,2,3],"score":1}])", "[x, y, width, height], got an array of 3");
  refuse(R"([{"image_id":7,"category_id":4,"segmentation":[],"score":1}])", "boxes are evaluated, masks are not");
  refuse(R"([{"image_id":7,"category_id":4,"bbox":[1,2,3,4]}])", "[0]: expected the key \"score\"");
  refuse(R"([{"category_id":4,"bbox":[1,2,3,4],"score":1}])", "expected the key \"image_id\"");
  refuse(R"([{"image_id":7,"category_id":4,"bbox":[1,2,3,4],"score":"nan"}])", "score: expected a number");
  refuse(R"({"annotations":[]})", "expected an array");
  pair.detections("[{");
  CHECK_ERROR(MOE_ERR_PARSE, "d.json:1", pair.evaluate());
  pair.detections(kFound);
  const auto refuse_truth = [&](const std::string& json, const std::string& part) {
    pair.annotations(json);
    CHECK_ERROR(MOE_ERR_DATA, part, pair.evaluate());
  };
  refuse_truth(with_annotations(annotation("1") + "," + annotation("1")),
               "an annotation id of its own (1 comes again)");
  refuse_truth(R"({"images":[{"id":7}],"categories":[]})", "expected the key \"annotations\"");
  refuse_truth(R"({"images":[{"id":7}],"annotations":[],"categories":[]})", "at least one category");
  refuse_truth(R"({"images":[{"id":7},{"id":7}],"annotations":[],"categories":[{"id":1}]})", "7 comes again");
  refuse_truth(with_annotations(R"({"id":1,"image_id":8,"category_id":4,"bbox":[1,2,3,4]})"),
               "annotations[0].image_id");
  refuse_truth(with_annotations(R"({"id":1,"image_id":7,"category_id":5,"bbox":[1,2,3,4]})"),
               "the id of one of the categories (4, 90)");
  refuse_truth(with_annotations(R"({"id":1,"image_id":7,"category_id":4,"segmentation":[[1,2]]})"), "masks are not");
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(two_thousand_images_equal_pycocotools),
      cmocka_unit_test(points_by_hand),
      cmocka_unit_test(a_perfect_pair),
      cmocka_unit_test(oddities_are_told),
      cmocka_unit_test(bad_files_are_named),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
