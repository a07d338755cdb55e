// Detections of overlapping views joined: by hand, and of random scenes whose truth is known.
#include <ATen/ATen.h>

#include "base/rng.h"
#include "models/rtdetr/join_views.h"
#include "support/test.h"

using namespace moe;
using namespace moe::rtdetr;

namespace {

// A picture of 180 x 100: the whole of it, and two squares that share 20 columns.
const std::vector<ViewBox> windows = {{0, 0, 180, 100}, {0, 0, 100, 100}, {80, 0, 180, 100}};

std::vector<ViewDetection> joined(std::vector<ViewDetection> found, double same = 0.6) {
  judge_cuts(windows, found);
  return join_views(windows, std::move(found), same);
}

bool has_box(const ViewDetection& one, const ViewBox& box) {
  return one.box.x0 == box.x0 && one.box.y0 == box.y0 && one.box.x1 == box.x1 && one.box.y1 == box.y1;
}

}  // namespace

static void test_one_view_is_left_alone(void**) {
  std::vector<ViewDetection> found;
  for (int64_t i = 0; i < 20; ++i) found.push_back({{10, 10, 30 + 0.1 * static_cast<double>(i), 40}, 0.5, 0, 0});
  const std::vector<ViewDetection> out = joined(found);
  CHECK(out.size() == 20);
  for (size_t i = 0; i < out.size(); ++i) CHECK(has_box(out[i], found[i].box));
}

static void test_the_same_object_in_two_views(void**) {
  const auto out = joined({{{82, 10, 98, 30}, 0.8, 3, 0}, {{84, 11, 96, 30}, 0.9, 3, 2}});
  CHECK(out.size() == 1 && out[0].score == 0.9 && has_box(out[0], {84, 11, 96, 30}));
  CHECK(joined({{{82, 10, 98, 30}, 0.8, 3, 0}, {{82, 10, 98, 30}, 0.9, 4, 1}}).size() == 2);   // other label
  CHECK(joined({{{82, 10, 98, 30}, 0.8, 3, 0}, {{90, 10, 106, 30}, 0.9, 3, 2}}).size() == 2);  // IoU 1/3
}

// The square cuts a bus at its right border: the whole picture's box stands, with the higher score.
static void test_a_cut_box_gives_way(void**) {
  const auto out = joined({{{40, 10, 100, 50}, 0.9, 2, 1}, {{42, 11, 170, 52}, 0.6, 2, 0}});
  CHECK(out.size() == 1 && out[0].score == 0.9 && has_box(out[0], {42, 11, 170, 52}));
  // A small whole car in front of it, inside the cut box, is another object.
  CHECK(joined({{{40, 10, 100, 50}, 0.9, 2, 1}, {{82, 20, 99, 30}, 0.6, 2, 0}}).size() == 2);
}

// Neither square sees the whole of it, but most of each part lies in the other: their hull.
static void test_two_cut_boxes_are_one(void**) {
  const auto out = joined({{{75, 10, 100, 50}, 0.7, 2, 1}, {{80, 12, 106, 50}, 0.9, 2, 2}});
  CHECK(out.size() == 1 && out[0].score == 0.9 && has_box(out[0], {75, 10, 106, 50}));
  CHECK(joined({{{20, 10, 100, 50}, 0.7, 2, 1}, {{80, 12, 170, 50}, 0.9, 2, 2}}).size() == 2);  // 20 of 80 columns
}

// Two objects close together, both seen by both views, stay two.
static void test_a_view_has_one_part_in_an_object(void**) {
  const auto out = joined({{{82, 10, 92, 30}, 0.9, 0, 0},
                           {{83, 10, 94, 30}, 0.8, 0, 0},
                           {{82, 10, 92, 30}, 0.7, 0, 2},
                           {{83, 10, 94, 30}, 0.6, 0, 2}});
  CHECK(out.size() == 2);
}

// Random objects, none overlapping another, seen by every view that has them whole: each comes once, with its best
// score.
static void test_random_scenes(void**) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed, "scene");
    std::vector<ViewBox> all = {{0, 0, 1000, 1000}};
    for (int64_t y = 0; y <= 750; y += 150) {
      for (int64_t x = 0; x <= 750; x += 150) {
        all.push_back({static_cast<double>(x), static_cast<double>(y), static_cast<double>(x + 250),
                       static_cast<double>(y + 250)});
      }
    }
    std::vector<ViewDetection> found;
    std::vector<double> best;
    for (int64_t cell = 0; cell < 100; ++cell) {  // an object in each cell of 100 x 100
      const double x = static_cast<double>(cell % 10) * 100 + rng.uniform(0, 40),
                   y = static_cast<double>(cell / 10) * 100 + rng.uniform(0, 40);
      const ViewBox object = {x, y, x + rng.uniform(20, 60), y + rng.uniform(20, 60)};
      best.push_back(0);
      for (size_t v = 0; v < all.size(); ++v) {
        const ViewBox& w = all[v];
        if (object.x0 < w.x0 + 5 || object.y0 < w.y0 + 5 || object.x1 > w.x1 - 5 || object.y1 > w.y1 - 5) {
          if (v > 0) continue;
        }
        const double score = rng.uniform();
        const auto jitter = [&](double at) { return at + rng.uniform(-1, 1); };
        found.push_back({{jitter(object.x0), jitter(object.y0), jitter(object.x1), jitter(object.y1)},
                         score,
                         cell % 3,
                         static_cast<int64_t>(v)});
        best.back() = std::max(best.back(), score);
      }
    }
    judge_cuts(all, found);
    const std::vector<ViewDetection> out = join_views(all, found, 0.6);
    CHECK(out.size() == 100);
    std::sort(best.rbegin(), best.rend());
    for (size_t i = 0; i < out.size(); ++i) CHECK(out[i].score == best[i]);
  }
}

static void test_batches(void**) {
  Batch whole, slices;
  whole.set("boxes", at::tensor({42.f, 11.f, 170.f, 52.f}).view({1, 4}));
  whole.set("scores", at::tensor({0.6f}));
  whole.set("labels", at::tensor({2}, at::kLong));
  whole.set("offsets", at::tensor({0, 1}, at::kLong));
  slices.set("boxes", at::tensor({40.f, 10.f, 101.f, 50.f, 120.f, 60.f, 140.f, 80.f}).view({2, 4}));
  slices.set("scores", at::tensor({0.875f, 0.25f}));
  slices.set("labels", at::tensor({2, 1}, at::kLong));
  slices.set("offsets", at::tensor({0, 1, 2}, at::kLong));
  const at::Tensor views = at::tensor({0, 0, 180, 100, 0, 0, 100, 100, 80, 0, 180, 100}, at::kLong).view({3, 4});
  const Batch out = joined_prediction({whole, slices}, views, 0.6);
  CHECK(at::equal(out.get("boxes"), at::tensor({42.f, 11.f, 170.f, 52.f, 120.f, 60.f, 140.f, 80.f}).view({2, 4})));
  CHECK(at::equal(out.get("scores"), at::tensor({0.875f, 0.25f})));
  CHECK(at::equal(out.get("labels"), at::tensor({2, 1}, at::kLong)));
  CHECK(at::equal(out.get("offsets"), at::tensor({0, 2}, at::kLong)));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_one_view_is_left_alone),
                              cmocka_unit_test(test_the_same_object_in_two_views),
                              cmocka_unit_test(test_a_cut_box_gives_way),
                              cmocka_unit_test(test_two_cut_boxes_are_one),
                              cmocka_unit_test(test_a_view_has_one_part_in_an_object),
                              cmocka_unit_test(test_random_scenes),
                              cmocka_unit_test(test_batches)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
