// evaluate_coco() and the batch evaluator against pycocotools, number by number with == (fixtures/coco/make.py).
#include "eval/coco.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

#include "base/files.h"
#include "eval/coco_files.h"
#include "eval/evaluator.h"
#include "eval/numpy_mean.h"
#include "coco_scenes.h"
#include "support/test.h"

using namespace moe;
using namespace moe::coco_scenes;

namespace {

std::map<std::string, Scene> read_cases() {
  std::map<std::string, Scene> scenes;
  Scene* scene = nullptr;
  std::ifstream file = open_fixture("cases.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream in(line);
    std::string kind, name;
    in >> kind;
    if (kind == "case") {
      in >> name;
      scene = &scenes[name];
      in >> scene->options.classes >> scene->options.id_zero_is_unmatched;
    } else if (kind == "t") {
      CocoTruth t;
      in >> t.image >> t.label >> t.box.x >> t.box.y >> t.box.width >> t.box.height >> t.area >> t.crowd >> t.id;
      scene->truths.push_back(t);
    } else {
      CocoDetection d;
      in >> d.image >> d.label >> d.box.x >> d.box.y >> d.box.width >> d.box.height >> d.score;
      scene->detections.push_back(d);
    }
    CHECK(!in.fail());
  }
  return scenes;
}

// name -> the 12 numbers, then AP and AP50 of every class
std::map<std::string, std::vector<double>> read_expected() {
  std::map<std::string, std::vector<double>> expected;
  std::ifstream file = open_fixture("expected.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream in(line);
    std::string name, kind;
    int64_t label;
    in >> name >> kind;
    if (kind == "class") in >> label;
    for (double value; in >> value;) expected[name].push_back(value);
  }
  return expected;
}

void check_numbers(const std::string& name, const std::vector<double>& got, const std::vector<double>& want) {
  CHECK(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] != want[i])
      std::fprintf(stderr, "%s, number %zu: got %.17g, expected %.17g\n", name.c_str(), i, got[i], want[i]);
    CHECK(got[i] == want[i]);
  }
}

std::vector<double> numbers(const Scene& scene) {
  const CocoResult result = evaluate_coco(scene.truths, scene.detections, scene.options);
  std::vector<double> out(result.numbers.begin(), result.numbers.end());
  for (int64_t k = 0; k < scene.options.classes; ++k) {
    out.push_back(result.class_ap[k]);
    out.push_back(result.class_ap50[k]);
  }
  return out;
}

// Rows are grouped by image, images count from 0.
at::Tensor offsets_of(const std::vector<int64_t>& images, int64_t batch) {
  at::Tensor offsets = at::zeros({batch + 1}, at::kLong);
  for (const int64_t image : images) offsets[image + 1] += 1;
  return offsets.cumsum(0);
}

struct BatchPair {
  Batch targets, predictions;
};

// Images 0 .. batch-1 of a scene in one batch; fields as a task and a loader would give them.
BatchPair batches(const Scene& scene, int64_t batch) {
  const int64_t m = static_cast<int64_t>(scene.truths.size()), n = static_cast<int64_t>(scene.detections.size());
  at::Tensor gt_boxes = at::empty({m, 4}, at::kDouble), gt_labels = at::empty({m}, at::kLong);
  at::Tensor gt_area = at::empty({m}, at::kDouble), gt_crowd = at::empty({m}, at::kBool);
  at::Tensor boxes = at::empty({n, 4}, at::kFloat), scores = at::empty({n}, at::kFloat),
             labels = at::empty({n}, at::kLong);
  std::vector<int64_t> truth_images, detection_images;
  for (int64_t i = 0; i < m; ++i) {
    const CocoTruth& t = scene.truths[i];
    const double row[] = {t.box.x, t.box.y, t.box.width, t.box.height};
    std::copy(row, row + 4, gt_boxes.mutable_data_ptr<double>() + 4 * i);
    gt_labels.mutable_data_ptr<int64_t>()[i] = t.label;
    gt_area.mutable_data_ptr<double>()[i] = t.area;
    gt_crowd.mutable_data_ptr<bool>()[i] = t.crowd;
    truth_images.push_back(t.image);
  }
  for (int64_t i = 0; i < n; ++i) {
    const CocoDetection& d = scene.detections[i];
    const double row[] = {d.box.x, d.box.y, d.box.x + d.box.width, d.box.y + d.box.height};
    for (int64_t c = 0; c < 4; ++c) boxes.mutable_data_ptr<float>()[4 * i + c] = static_cast<float>(row[c]);
    scores.mutable_data_ptr<float>()[i] = static_cast<float>(d.score);
    labels.mutable_data_ptr<int64_t>()[i] = d.label;
    detection_images.push_back(d.image);
  }
  BatchPair out;
  out.targets.set("image_ids", at::arange(batch, at::kLong));
  out.targets.set("gt_boxes", gt_boxes);
  out.targets.set("gt_labels", gt_labels);
  out.targets.set("gt_area", gt_area);
  out.targets.set("gt_crowd", gt_crowd);
  out.targets.set("gt_offsets", offsets_of(truth_images, batch));
  out.predictions.set("boxes", boxes);
  out.predictions.set("scores", scores);
  out.predictions.set("labels", labels);
  out.predictions.set("offsets", offsets_of(detection_images, batch));
  return out;
}

}  // namespace

static void small_cases_equal_pycocotools(void**) {
  const auto expected = read_expected();
  const auto cases = read_cases();
  CHECK(cases.size() == 13);
  for (const auto& [name, scene] : cases) check_numbers(name, numbers(scene), expected.at(name));
}

static void golden_scene(void**) {
  const std::vector<double> got = numbers(golden());
  check_numbers("golden", got, read_expected().at("golden"));
  const double published[] = {0.3652109435, 0.7485152056, 0.2247966621, 0.3905154768, 0.3450818534, 0.4008874003,
                              0.1566458669, 0.5111916264, 0.5111916264, 0.5322128852, 0.4917016317, 0.5234217172};
  for (size_t i = 0; i < 12; ++i) CHECK_NEAR(got[i], published[i], 1e-10);
}

static void two_hundred_images(void**) {
  check_numbers("crowd_scene", numbers(crowd_scene(200, 20)), read_expected().at("crowd_scene"));
}

static void order_of_images_does_not_matter(void**) {
  Scene scene = crowd_scene(200, 20), shuffled = scene;
  auto later_first = [](const auto& a, const auto& b) { return a.image > b.image; };
  std::stable_sort(shuffled.truths.begin(), shuffled.truths.end(), later_first);
  std::stable_sort(shuffled.detections.begin(), shuffled.detections.end(), later_first);
  check_numbers("shuffled", numbers(shuffled), numbers(scene));
}

static void identity_zero_counts_unless_the_quirk_is_on(void**) {
  Scene scene = read_cases().at("id_zero");
  const auto expected = read_expected();
  CHECK(expected.at("id_zero") != expected.at("id_from_one"));
  scene.options.id_zero_is_unmatched = false;
  check_numbers("quirk off", numbers(scene), expected.at("id_from_one"));
}

static void no_detections_give_zeros(void**) {
  Scene scene = golden();
  scene.detections.clear();
  for (const double value : numbers(scene)) CHECK(value == 0);
  scene.truths.clear();
  for (const double value : numbers(scene)) CHECK(value == -1);
  scene.options.classes = 0;
  CHECK(numbers(scene).size() == 12);
}

static void labels_are_checked(void**) {
  Scene scene = golden();
  scene.truths[3].label = 3;
  CHECK_ERROR(MOE_ERR_DATA, "image 0: expected a label in 0 .. 2, got 3", numbers(scene));
}

// Values of very different size: any other order of additions shows.
static void sums_as_numpy(void**) {
  std::vector<double> values(1010);
  for (size_t i = 0; i < values.size(); ++i) values[i] = u("sum", i) * (i % 7 == 0 ? 1e8 : 1e-3);
  const auto expected = read_expected();
  for (const int64_t count : {1, 7, 8, 13, 128, 129, 137, 500, 1010}) {
    CHECK(numpy_sum(values.data(), count) == expected.at("sum_" + std::to_string(count))[0]);
  }
}

static std::vector<Metric> evaluate_in_batches(const Scene& scene, int64_t images) {
  const auto evaluator = make_coco_evaluator({"car", "truck", "person"});
  const BatchPair pair = batches(scene, images);
  evaluator->add(pair.targets, pair.predictions);
  return evaluator->finish();
}

static void batches_equal_pycocotools(void**) {
  const std::vector<Metric> metrics = evaluate_in_batches(golden(), 20);
  const std::vector<double> want = read_expected().at("golden_float32");
  CHECK(metrics.size() == 18 + 4 * 4);
  for (size_t i = 0; i < 12; ++i) CHECK(metrics[i].name == kCocoNumbers[i] && metrics[i].value == want[i]);
  for (size_t k = 0; k < 3; ++k) {
    CHECK(metrics[12 + k].value == want[12 + 2 * k]);
    CHECK(metrics[15 + k].value == want[12 + 2 * k + 1]);
  }
  CHECK(metrics[12].name == "AP/car" && metrics[17].name == "AP50/person");
  CHECK(metrics[18].name == "F1" && metrics[22].name == "F1/car" && metrics[33].name == "recall/person");
}

// What an evaluator saves is read as files, with other category ids, and gives the official tool's numbers again.
static void saved_files_equal_pycocotools(void**) {
  const TemporaryFolder folder;
  const auto evaluator = make_coco_evaluator({"car", "truck", "per\"son"}, {}, {40, 3, 17});
  const BatchPair pair = batches(golden(), 20);
  evaluator->add(pair.targets, pair.predictions);
  evaluator->save(folder.path());
  CocoFiles files = read_coco_annotations(folder / "annotations.json", {});
  CHECK(files.categories == std::vector<int64_t>({3, 17, 40}) && files.classes[1] == "per\"son");
  read_coco_detections(folder / "detections.json", "annotations.json", files, {});
  const std::vector<Metric> metrics = evaluate_coco_files(files);
  const std::vector<double> want = read_expected().at("golden_float32");
  for (size_t i = 0; i < 12; ++i) CHECK_NEAR(metrics[i].value, want[i], 1e-15);  // classes are summed in another order
  const std::vector<size_t> order = {1, 2, 0};
  for (size_t k = 0; k < 3; ++k) CHECK(metrics[12 + k].value == want[12 + 2 * order[k]]);
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "nowhere", evaluator->save(folder / "nowhere"));
}

static void groups_are_means_of_their_classes(void**) {
  const auto evaluator = make_coco_evaluator({"car", "truck", "person"}, {{"vehicles", {0, 1}}, {"people", {2}}});
  const BatchPair pair = batches(golden(), 20);
  evaluator->add(pair.targets, pair.predictions);
  const std::vector<Metric> metrics = evaluator->finish();
  const size_t first = metrics.size() - 2;
  CHECK(metrics[first].name == "AP_expert/vehicles" && metrics[first + 1].name == "AP_expert/people");
  CHECK(metrics[first].value == (metrics[12].value + metrics[13].value) / 2 &&
        metrics[first + 1].value == metrics[14].value);
}

static void images_without_truth_count_as_false_positives(void**) {
  Scene scene = golden();
  const double before = evaluate_in_batches(scene, 20)[0].value;
  for (int64_t j = 0; j < 10; ++j) scene.detections.push_back({20, 0, {10, 10, 50, 50}, 0.999});
  CHECK(evaluate_in_batches(scene, 21)[0].value < before);
  scene.detections.clear();
  CHECK(evaluate_in_batches(scene, 21)[0].value == 0);
}

static void bad_batches_are_named(void**) {
  const auto evaluator = make_coco_evaluator({"car", "truck", "person"});
  const BatchPair good = batches(golden(), 20);
  BatchPair bad = good;
  bad.targets.clear();
  bad.targets.set("image_ids", good.targets.get("image_ids"));
  CHECK_ERROR(MOE_ERR_UNSUPPORTED, "without truth", evaluator->add(bad.targets, good.predictions));
  bad = good;
  bad.predictions.set("labels", good.predictions.get("labels") + 1);
  CHECK_ERROR(MOE_ERR_DATA, "labels: expected class ids in 0 .. 2, got 3",
              evaluator->add(bad.targets, bad.predictions));
  bad = good;
  bad.predictions.set("boxes", good.predictions.get("boxes").slice(0, 1));
  CHECK_ERROR(MOE_ERR_DATA, "offsets", evaluator->add(bad.targets, bad.predictions));
  bad = good;
  bad.predictions.set("scores", good.predictions.get("scores") * std::numeric_limits<float>::quiet_NaN());
  CHECK_ERROR(MOE_ERR_NUMERIC, "scores", evaluator->add(bad.targets, bad.predictions));
  evaluator->add(good.targets, good.predictions);  // nothing of the bad ones was kept
  CHECK(evaluator->finish()[0].value == read_expected().at("golden_float32")[0]);
  CHECK_ERROR(MOE_ERR_DATA, "every image once, got 0 again", evaluator->add(good.targets, good.predictions));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(small_cases_equal_pycocotools),
      cmocka_unit_test(golden_scene),
      cmocka_unit_test(two_hundred_images),
      cmocka_unit_test(order_of_images_does_not_matter),
      cmocka_unit_test(identity_zero_counts_unless_the_quirk_is_on),
      cmocka_unit_test(no_detections_give_zeros),
      cmocka_unit_test(labels_are_checked),
      cmocka_unit_test(sums_as_numpy),
      cmocka_unit_test(batches_equal_pycocotools),
      cmocka_unit_test(saved_files_equal_pycocotools),
      cmocka_unit_test(groups_are_means_of_their_classes),
      cmocka_unit_test(images_without_truth_count_as_false_positives),
      cmocka_unit_test(bad_batches_are_named),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
