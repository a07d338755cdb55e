// Readers and loader on the real sets of shared/data; without them the program says so and exits with 77.
#include <ATen/ATen.h>

#include "data/data_support.h"

using namespace moe;

static Settings hituav(const std::string& root, bool coco) {
  Settings settings = {{"data.root", root}, {"data.size", "[256, 320]"}, {"data.augment.flip", "0"}};
  if (!coco) return settings;
  const Settings more = {{"data.format", "coco"},
                         {"data.class_map.othervehicle", "truck"},
                         {"data.train.annotations", "annotations/instances_train.json"},
                         {"data.val.annotations", "annotations/instances_val.json"},
                         {"data.train.images", "image"},
                         {"data.val.images", "image"}};
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

// The DAIR labels are the corners of the COCO boxes: the same pictures with the same boxes in the same order.
static void test_hituav_in_both_layouts(void**) {
  const std::string root = real_set("hituav");
  const std::vector<std::pair<std::string, int64_t>> splits = {{"train", 2029}, {"val", 290}};
  for (const auto& [split, count] : splits) {
    const auto dair = open_source(test_config(hituav(root, false)), split);
    const auto coco = open_source(test_config(hituav(root, true)), split);
    CHECK(dair->size() == count && coco->size() == count);
    for (int64_t i = 0; i < count; i += 29) {
      CHECK(dair->file_name(i) == coco->file_name(i));
      const Batch a = dair->load(i, Rng(0, "test")), b = coco->load(i, Rng(0, "test"));
      CHECK(at::equal(a.get("images"), b.get("images")) && at::equal(a.get("labels"), b.get("labels")));
      CHECK(at::allclose(a.get("boxes"), b.get("boxes"), 0, 1e-6));
      if (split == "val") CHECK(at::allclose(a.get("gt_boxes"), b.get("gt_boxes"), 0, 1e-9));
    }
  }
  CHECK(open_source(test_config(hituav(root, false)), "val")->image_id(0) == 2029);
}

static void test_vehicles_openimages(void**) {
  const std::string root = real_set("vehicles_openimages");
  const Settings settings = {{"data.root", root},
                             {"data.format", "coco"},
                             {"data.classes", "[]"},
                             {"data.train.annotations", "annotations/instances_train.json"},
                             {"data.train.images", "train"},
                             {"data.train.annotations", "annotations/instances_train.json"}};
  const auto source = open_source(test_config(settings), "train");
  CHECK(source->size() == 439 && source->class_names().size() == 5);
  const Batch batch = source->load(3, Rng(0, "test"));
  CHECK(batch.get("images").size(1) == 640 && batch.get("boxes").size(0) >= 1);
  CHECK(batch.get("labels").max().item<int64_t>() < 5 && batch.get("sizes")[0].item<int64_t>() == 416);
}

static void test_real_pictures_with_any_workers(void**) {
  const std::string root = real_set("hituav");
  const auto open = [&](const char* workers) {
    const Config config = test_config({{"data.root", root},
                                       {"data.size", "[128, 160]"},
                                       {"data.workers", workers},
                                       {"data.augment.zoom_out", "0.5"},
                                       {"data.augment.iou_crop", "0.8"},
                                       {"data.augment.photometric", "0.5"},
                                       {"data.subset", "24"}});
    return std::make_unique<Loader>(open_source(config, "train"), loader_options(config, true), Log());
  };
  const auto a = open("0"), b = open("1"), c = open("3");
  for (int64_t i = 0; i < 6; ++i) {
    const auto x = a->next(), y = b->next(), z = c->next();
    check_batch(a->source().spec(), *x, true);
    for (const auto& [name, tensor] : x->fields())
      CHECK(at::equal(tensor, y->get(name)) && at::equal(tensor, z->get(name)));
  }
}

int main() {
  if (real_set("hituav").empty() || real_set("vehicles_openimages").empty()) return 77;
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_hituav_in_both_layouts),
      cmocka_unit_test(test_vehicles_openimages),
      cmocka_unit_test(test_real_pictures_with_any_workers),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
