// moe.hpp where files are judged and written: a look through a data set, a file of detections, weights for other
// programs.
#include <cmath>
#include <filesystem>
#include <fstream>

#include "support.h"

namespace files = std::filesystem;

static std::string data_in(const Folder& folder) {
  moe_generate_options options = MOE_GENERATE_OPTIONS_INIT;
  options.train_images = 6;
  options.val_images = 3;
  options.width = 160;
  options.height = 96;
  moe::generate("traffic", folder / "data", options);
  return folder / "data";
}

static std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

static void broken_pictures_are_listed(void**) {
  const Folder folder;
  const std::string data = data_in(folder);
  const moe::Config config = tiny_config(data);
  const moe_data_report good = moe::check_data(config);
  CHECK(good.pictures == 9 && good.objects > 0 && good.problems == 0 && good.excluded == 0);
  const files::path broken = files::directory_iterator(data + "/image")->path();
  std::ofstream(broken) << "no picture";
  std::vector<std::string> warnings;
  const moe_data_report bad =
      moe::check_data(config, folder / "exclude.txt", [&](std::int32_t level, std::string_view line) {
        if (level == MOE_LOG_WARNING) warnings.emplace_back(line);
      });
  CHECK(bad.problems == 1 && bad.excluded == 1 && warnings.size() == 1);
  CHECK(warnings[0].find(broken.filename().string()) != std::string::npos);
  CHECK(text_of(folder / "exclude.txt").find(broken.stem().string()) != std::string::npos);
  FAILS(MOE_ERR_NOT_FOUND, "/nowhere", moe::check_data(tiny_config("/nowhere")));
}

static void detections_are_judged(void**) {
  const Folder folder;
  const std::string truth = folder / "truth.json", found = folder / "found.json";
  std::ofstream(truth) << R"({"images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
    "categories": [{"id": 1, "name": "car"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0}]})";
  std::ofstream(found) << R"([{"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.9}])";
  double ap = -1;
  for (const moe_metric& metric : moe::coco_evaluate(truth, found)) {
    if (std::string(metric.name) == "AP") ap = metric.value;
  }
  CHECK(std::fabs(ap - 1) < 1e-9);
  std::ofstream(found) << R"([{"image_id": 1, "category_id": 2, "bbox": [10, 10, 40, 40], "score": 0.9},
                           {"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.9}])";
  bool thrown = false;  // of a category that the truth lacks the library warns
  try {
    moe::coco_evaluate(truth, found, [](std::int32_t, std::string_view) { throw 7; });
  } catch (int value) {
    thrown = value == 7;
  }
  CHECK(thrown);
  FAILS(MOE_ERR_NOT_FOUND, "absent.json", moe::coco_evaluate(truth, folder / "absent.json"));
}

static void weights_go_to_other_programs_and_back(void**) {
  const Folder folder;
  moe::Session session(tiny_config());
  session.feed(tiny_batch());
  session.step();
  session.export_weights("own", folder / "weights.safetensors");
  moe::Config config = tiny_config();
  config.set("seed", "8").set("model.pretrained", folder / "weights.safetensors");
  moe::Session other(config);
  CHECK(other.get("model.pretrained").find("missing") == std::string::npos);
  const moe::Batch batch = tiny_batch();
  const auto scores = [&](moe::Session& from) { return from.predict(batch).read<float>("scores").data; };
  CHECK(scores(session) == scores(other));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "onnx", session.export_weights("onnx", folder / "weights.onnx"));
  FAILS(MOE_ERR_UNSUPPORTED, "experts", session.export_weights("transformers", folder / "transformers"));
  CHECK(!files::exists(folder / "weights.onnx") && !files::exists(folder / "transformers"));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(broken_pictures_are_listed),
      cmocka_unit_test(detections_are_judged),
      cmocka_unit_test(weights_go_to_other_programs_and_back),
  };
  return cmocka_run_group_tests_name("files", tests, nullptr, nullptr);
}
