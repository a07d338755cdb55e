// Detection from files to numbers: classes and category ids of a COCO file, saved evaluations, large pictures in
// slices, pictures and batches of odd sizes, the configurations that are shipped, and a training on real pictures.
#include <ATen/ATen.h>

#include "base/files.h"
#include "data/slices.h"
#include "data/transform.h"
#include "eval/coco_files.h"
#include "models/rtdetr/join_views.h"
#include "support/test.h"
#include "support/tiny.h"
#include "train/run.h"

using namespace moe;

namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

// Pictures 1.png, 2.png ... of noise and a COCO file over them whose category ids have holes: car 3, person 90.
class CocoSet {
 public:
  explicit CocoSet(const std::vector<ImageSize>& sizes) {
    std::string images, annotations;
    for (size_t i = 0; i < sizes.size(); ++i) {
      const std::string id = std::to_string(i + 1), separator = i ? "," : "";
      Image image(sizes[i].width, sizes[i].height);
      Rng rng(i, "picture");
      for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(rng.below(256));
      write_png(folder_ / (id + ".png"), image);
      images += text(separator, "{\"id\":", id, ",\"file_name\":\"", id, ".png\"}");
      annotations += text(separator, "{\"id\":", id, ",\"image_id\":", id, ",\"category_id\":", i % 2 ? 3 : 90,
                          ",\"bbox\":[0,0,", sizes[i].width, ",", sizes[i].height, "],\"area\":9,\"iscrowd\":0}");
    }
    write_file_atomic(file("a.json"),
                      text("{\"images\":[", images, "],\"annotations\":[", annotations,
                           "],\"categories\":[{\"id\":90,\"name\":\"person\"},{\"id\":3,\"name\":\"car\"}]}"));
  }

  std::string file(const std::string& name) const { return folder_ / name; }
  Config config(const Settings& more = {}) const {
    Config out = tiny::config({{"data.format", "coco"},
                               {"data.root", folder_.path()},
                               {"data.classes", "[]"},
                               {"data.train.annotations", "a.json"},
                               {"data.val.annotations", "a.json"},
                               {"model.experts.kind", "none"},
                               {"train.max_steps", "2"}});
    for (const auto& [key, value] : more) out.set(key, value);
    return out;
  }

 private:
  TemporaryFolder folder_;
};

std::vector<std::string> finish(Run& run) {
  std::vector<std::string> lines;
  RunEvent event;
  while (run.next(event)) lines.push_back(event.text);
  return lines;
}

Loader val_loader(const Config& config) {
  return Loader(open_source(config, "val"), loader_options(config, false), {});
}

std::string source_folder() {
  const char* root = std::getenv("MOE_SOURCE_DIR");
  return root ? root : ".";
}

}  // namespace

static void test_classes_come_from_the_file(void**) {
  const CocoSet set({{40, 50}, {30, 60}, {64, 64}});
  TemporaryFolder runs;
  const Config config = set.config();
  {
    Run run(&config, runs / "run", RunMode::fresh, Log());
    finish(run);
    CHECK(run.session().config().texts("data.classes") == std::vector<std::string>({"car", "person"}));
    CHECK(run.session().config().integers("data.category_ids") == std::vector<int64_t>({3, 90}));
  }
  const Config longer = set.config({{"train.max_steps", "3"}});
  {
    Run again(&longer, runs / "run", RunMode::resume, Log());
    finish(again);
    CHECK(again.session().steps() == 3);
  }
  const auto ids = [&](const Settings& more) {
    return Session(set.config(more), Log()).config().integers("data.category_ids");
  };
  CHECK(ids({{"data.classes", "[person, car]"}}) == std::vector<int64_t>({90, 3}));
  CHECK(ids({{"data.classes", "[human, car]"}, {"data.class_map.person", "human"}}) == std::vector<int64_t>({90, 3}));
  CHECK(ids({{"data.classes", "[car, tree]"}, {"data.unknown_types", "drop"}}) == std::vector<int64_t>({3, 91}));
  CHECK(ids({{"data.category_ids", "[5, 6]"}}) == std::vector<int64_t>({5, 6}));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected an id for each of the 2 classes, got 1", ids({{"data.category_ids", "[5]"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "expected every id once, got 5 twice", ids({{"data.category_ids", "[5, 5]"}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "that names the classes", ids({{"data.train.annotations", "\"\""}}));

  remove_file(set.file("a.json"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "a.json", ids({}));
  CHECK(ids({{"data.classes", "[car]"}}).empty());
  CHECK(Session::open(runs / "run", Log())->config().integers("data.category_ids") == std::vector<int64_t>({3, 90}));
}

// Labels are positions: with another order of classes every number would be of another class.
static void test_classes_of_an_evaluation(void**) {
  const CocoSet set({{40, 50}, {30, 60}, {64, 64}});
  const Config config = set.config({{"data.classes", "[car, person]"}});
  Session session(config, Log());
  for (const char* classes : {"[person, car]", "[car]"}) {
    Loader other = val_loader(set.config({{"data.classes", classes}, {"data.unknown_types", "drop"}}));
    CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "data.classes: expected those of the model, [car, person], got data of [",
                session.evaluate(other));
  }
  Loader same = val_loader(config);
  session.evaluate(same);
}

// The files hold what was compared: evaluated again they give every number to the last bit.
static void test_saved_evaluation(void**) {
  const CocoSet set({{40, 50}, {30, 60}, {64, 64}});
  TemporaryFolder folder;
  const Config config = set.config();
  Session session(config, Log());
  session.set("eval.save", folder / "deep/er");
  Loader val = val_loader(config);
  const std::vector<Metric> got = session.evaluate(val);
  CocoFiles files = read_coco_annotations(folder / "deep/er/annotations.json", Log());
  CHECK(files.categories == std::vector<int64_t>({3, 90}) &&
        files.classes == std::vector<std::string>({"car", "person"}));
  CHECK(files.images == std::vector<int64_t>({1, 2, 3}) && files.truths.size() == 3);
  read_coco_detections(folder / "deep/er/detections.json", "annotations.json", files, Log());
  CHECK(files.detections.size() == 3 * 20 * 2);  // all scores of 20 queries
  const std::vector<Metric> again = evaluate_coco_files(files);
  for (size_t i = 0; i < got.size() && i < 12 + 2 * 2; ++i) {
    CHECK(got[i].name == again[i].name && got[i].value == again[i].value);
  }
  session.set("eval.save", "");
  remove_file(folder / "deep/er/detections.json");
  session.evaluate(val);
  CHECK(!exists(folder / "deep/er/detections.json"));
}

// A session's prediction of a large picture is that of its whole and of each slice, cut out by hand, joined.
static void test_slices(void**) {
  const CocoSet set({{96, 128}});
  const Config config = set.config({{"data.slice.size", "64"}, {"train.batch_size", "1"}});
  Session session(config, Log());
  const Batch batch = *val_loader(config).next();
  const at::Tensor slices = batch.get("slices");
  CHECK(slices.size(0) == 6);
  Batch whole = *val_loader(set.config()).next();
  CHECK(!whole.has("slices") && at::equal(whole.get("images"), batch.get("images")));

  std::vector<Batch> parts = {session.predict(whole)};
  const at::Tensor pixels = batch.get("pictures")[0].permute({2, 0, 1}).to(at::kFloat) / 255;
  for (int64_t i = 0; i < slices.size(0); ++i) {
    const int64_t x = slices[i][0].item<int64_t>(), y = slices[i][1].item<int64_t>();
    Batch part;
    part.set("images", pixels.slice(1, y, y + 64).slice(2, x, x + 64).unsqueeze(0));
    Batch found = session.predict(part);
    const at::Tensor shift = at::tensor({x, y, x, y}, at::kLong).to(at::kFloat);
    const at::Tensor limit = at::tensor({128.f, 96.f, 128.f, 96.f});
    found.set("boxes", at::minimum((found.get("boxes") + shift).clamp_min(0), limit));
    parts.push_back(found);
  }
  const at::Tensor windows = at::cat({at::tensor({0, 0, 128, 96}, at::kLong).unsqueeze(0), slices});
  const Batch want = rtdetr::joined_prediction(parts, windows, 0.6), got = session.predict(batch);
  CHECK(got.get("scores").size(0) > 7 * 20 && got.get("scores").sizes() == want.get("scores").sizes());
  CHECK(at::allclose(got.get("scores"), want.get("scores"), 1e-4, 1e-5));
  CHECK(at::allclose(got.get("boxes").sum(0), want.get("boxes").sum(0), 1e-4, 0.1));
  CHECK(got.has("image_ids"));

  Loader val = val_loader(config);
  CHECK(session.evaluate(val).front().name == "AP");
  Batch wrong = batch;
  wrong.set("slices", at::tensor({0, 0, 129, 50}, at::kLong).view({1, 4}));
  wrong.set("slice_offsets", at::tensor({0, 1}, at::kLong));
  CHECK_ERROR(MOE_ERR_DATA, "inside the 128 x 96 picture, got [0, 0, 129, 50] at row 0", session.predict(wrong));
}

static void test_pictures_of_odd_sizes(void**) {
  const CocoSet set({{1, 1}, {1, 3000}, {700, 1}, {33, 31}});
  for (const char* fit : {"stretch", "letterbox"}) {
    TemporaryFolder runs;
    const Config config = set.config({{"data.resize", fit},
                                      {"data.augment.zoom_out", "1"},
                                      {"data.augment.iou_crop", "1"},
                                      {"data.augment.photometric", "1"}});
    Run run(&config, runs / "run", RunMode::fresh, Log());
    const auto lines = finish(run);
    CHECK(run.session().steps() == 2 && lines.back().find("best AP") != std::string::npos);
  }
}

// The largest picture there is: trained on, and evaluated whole and in slices.
static void test_a_picture_of_400_million_pixels(void**) {
  const CocoSet set({{32, 32}});
  {
    Image image(20000, 20000);
    write_jpeg(set.file("1.png"), image, 50);  // told by its first bytes
  }
  const std::string json = read_file(set.file("a.json"));
  std::string large = json;
  large.replace(large.find("[0,0,32,32]"), 11, "[9000,9000,9000,10000]");
  write_file_atomic(set.file("a.json"), large);
  TemporaryFolder runs;
  const Config config = set.config({{"data.slice.size", "12000"}, {"data.workers", "0"}, {"train.max_steps", "1"}});
  Run run(&config, runs / "run", RunMode::fresh, Log());
  const auto lines = finish(run);
  CHECK(run.session().steps() == 1 && lines.back().find("best AP") != std::string::npos);
}

// More objects than queries, beside none; none in a whole batch.
static void test_many_boxes_and_none(void**) {
  const Settings kinds[] = {
      {{"model.experts.kind", "none"}},
      {{"model.experts.kind", "ffn"}, {"loss.class_guided", "0.1"}, {"model.experts.noise", "0.1"}},
      {{"model.experts.kind", "class_partitioned"}, {"loss.normalize", "expert"}}};
  for (const Settings& kind : kinds) {
    Session session(tiny::config(kind), Log());
    for (const std::vector<int64_t>& boxes : {std::vector<int64_t>{500, 0}, {0, 0}, {1, 3}}) {
      session.feed(tiny::batch(5, boxes));
      const StepInfo info = session.step();
      CHECK(std::isfinite(info.loss) && info.loss > 0 && std::isfinite(info.grad_norm));
      for (const auto& [name, value] : info.terms) {
        const bool of_boxes = name.starts_with("bbox") || name.starts_with("giou") || name == "class_guided";
        if (boxes == std::vector<int64_t>{0, 0} && of_boxes) CHECK(value == 0);
        if (boxes[0] == 500 && of_boxes) CHECK(value > 0);
      }
    }
  }
}

// The normalised mutual information of class and expert in the last of 60 steps, mean over the layers.
static double nmi_after_training(const char* class_guided) {
  Session session(tiny::config({{"model.experts.kind", "ffn"},
                                {"model.experts.top_k", "1"},
                                {"model.experts.gate", "raw"},
                                {"loss.class_guided", class_guided},
                                {"loss.balance", "0.001"},
                                {"optimizer.lr", "5e-3"}}),
                  Log());
  for (uint64_t step = 0; step < 60; ++step) {
    session.feed(tiny::batch(step % 4, {6, 7}));
    session.step();
  }
  double sum = 0;
  for (const RoutingStats* stats : session.routing()) sum += summarize(stats->window(MOE_WINDOW_LAST_STEP)).class_nmi;
  return sum / static_cast<double>(session.routing().size());
}

// Class guidance teaches the routers which expert takes which group of classes.
static void test_class_guidance(void**) {
  const double guided = nmi_after_training("1"), left_alone = nmi_after_training("0");
  std::printf("NMI of class and expert: guided %.3f, left alone %.3f\n", guided, left_alone);
  CHECK(guided > left_alone + 0.1);
}

static double cost_of(const std::string& name, const Settings& more = {}) {
  Config config = Config::load(source_folder() + "/configs/rtdetr/" + name + ".yml", task_schema);
  for (const auto& [key, value] : more) config.set(key, value);
  const Session session(config, Log());
  return std::stod(session.get("model.multiply_adds"));
}

// Every configuration makes a model; twins cost alike.
static void test_configurations(void**) {
  std::vector<std::string> names;
  for (const std::string& file : list_directory(source_folder() + "/configs/rtdetr")) names.push_back(file_stem(file));
  for (const char* name : {"dair_a", "dair_b", "dair_c", "dair_ffn", "dair_dense", "hituav_a", "hituav_b", "hituav_c",
                           "hituav_ffn", "hituav_dense", "coco", "synthetic"}) {
    CHECK(std::ranges::find(names, name) != names.end());
  }
  for (const std::string set : {"dair", "hituav"}) {
    const double a = cost_of(set + "_a"), dense = cost_of(set + "_dense");
    const double ffn = cost_of(set + "_ffn"), none = cost_of(set + "_ffn", {{"model.experts.kind", "none"}});
    std::printf("%s, 10^6 multiply-adds: a %.1f, dense %.1f; ffn %.1f, none %.1f\n", set.c_str(), a * 1e-6,
                dense * 1e-6, ffn * 1e-6, none * 1e-6);
    CHECK_NEAR(a / dense, 1, 0.03);
    CHECK_NEAR(ffn / none, 1, 0.01);
    CHECK(cost_of(set + "_b") > 0 && cost_of(set + "_c") > 0);
  }
  CHECK(cost_of("coco", {{"data.classes", "[a, b]"}}) > 0 && cost_of("synthetic") > 0);
}

// configs/rtdetr/coco.yml on real pictures, with overrides alone.
static void test_vehicles_train_as_coco(void**) {
  const char* folder = std::getenv("MOE_DATA_DIR");
  const std::string root =
      (folder ? std::string(folder) : source_folder() + "/../shared/data") + "/vehicles_openimages";
  if (!is_directory(root)) {
    std::printf("SKIPPED: no data set %s (MOE_DATA_DIR names the folder that holds it)\n", root.c_str());
    return;
  }
  Config config = Config::load(source_folder() + "/configs/rtdetr/coco.yml", task_schema);
  const Settings place = {{"data.root", root},
                          {"data.train.annotations", "annotations/instances_train.json"},
                          {"data.train.images", "train"},
                          {"data.val.annotations", "annotations/instances_val.json"},
                          {"data.val.images", "val"}};
  const Settings small = {{"model.backbone.width", "0.125"}, {"model.hidden", "32"},      {"model.heads", "4"},
                          {"model.encoder.ffn", "32"},       {"model.decoder.ffn", "32"}, {"model.queries", "20"},
                          {"data.size", "[64, 64]"},         {"train.batch_size", "4"},   {"train.max_steps", "3"},
                          {"model.denoising.queries", "10"}, {"train.amp", "off"}};
  for (const Settings& part : {place, small}) {
    for (const auto& [key, value] : part) config.set(key, value);
  }
  TemporaryFolder runs;
  Run run(&config, runs / "run", RunMode::fresh, Log());
  run.session().set("eval.save", runs / "saved");
  finish(run);
  CHECK(run.session().config().texts("data.classes") ==
        std::vector<std::string>({"ambulance", "bus", "car", "motorcycle", "truck"}));
  const CocoFiles files = read_coco_annotations(runs / "saved/annotations.json", Log());
  CHECK(files.categories == std::vector<int64_t>({1, 2, 3, 4, 5}));
  CHECK(files.images.size() == 125 && files.truths.size() == 227);
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {cmocka_unit_test(test_classes_come_from_the_file),
                              cmocka_unit_test(test_classes_of_an_evaluation),
                              cmocka_unit_test(test_saved_evaluation),
                              cmocka_unit_test(test_slices),
                              cmocka_unit_test(test_pictures_of_odd_sizes),
                              cmocka_unit_test(test_a_picture_of_400_million_pixels),
                              cmocka_unit_test(test_many_boxes_and_none),
                              cmocka_unit_test(test_class_guidance),
                              cmocka_unit_test(test_configurations),
                              cmocka_unit_test(test_vehicles_train_as_coco)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
