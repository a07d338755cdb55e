// Windows of large pictures and the samples that carry them.
#include <ATen/ATen.h>

#include "data/slices.h"
#include "data_support.h"

using namespace moe;

namespace {

// Every pixel of an axis is covered, every window has the side, neighbours overlap as asked.
void check_axis(const at::Tensor& windows, int64_t low, int64_t high, int64_t length, int64_t side, double overlap) {
  std::vector<std::pair<int64_t, int64_t>> spans;
  const int64_t* row = windows.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < windows.size(0); ++i, row += 4) spans.emplace_back(row[low], row[high]);
  std::sort(spans.begin(), spans.end());
  spans.erase(std::unique(spans.begin(), spans.end()), spans.end());
  CHECK(spans.front().first == 0 && spans.back().second == length);
  for (size_t i = 0; i < spans.size(); ++i) {
    CHECK(spans[i].second - spans[i].first == std::min(side, length));
    if (i > 0) CHECK(spans[i - 1].second - spans[i].first >= static_cast<int64_t>(overlap * static_cast<double>(side)));
  }
}

}  // namespace

static void test_plan(void**) {
  for (const ImageSize size : {ImageSize{100, 130}, {65, 64}, {640, 2000}, {7, 1000}, {20000, 20000}}) {
    for (const double overlap : {0.0, 0.2, 0.5, 0.9}) {
      const at::Tensor windows = plan_slices(size, 64, overlap);
      CHECK(windows.size(0) > 1);
      check_axis(windows, 0, 2, size.width, 64, overlap);
      check_axis(windows, 1, 3, size.height, 64, overlap);
    }
  }
  CHECK(
      at::equal(plan_slices({64, 100}, 64, 0.25), at::tensor({0, 0, 64, 64, 36, 0, 100, 64}, at::kLong).view({2, 4})));
  CHECK(plan_slices({64, 64}, 64, 0.2).sizes() == at::IntArrayRef({0, 4}));
  CHECK(plan_slices({1, 1}, 64, 0.2).size(0) == 0);
}

static void test_cut(void**) {
  const Image image = numbered_picture(20, 10, 3);
  const at::Tensor pixels = at::tensor(image.pixels, at::kByte).view({10, 20, 3});
  const Image part = cut_slice(pixels, at::tensor({5, 2, 12, 9}, at::kLong));
  CHECK(part.width == 7 && part.height == 7);
  for (int64_t y = 0; y < 7; ++y) {
    for (int64_t x = 0; x < 7; ++x) CHECK(std::equal(part.at(x, y), part.at(x, y) + 3, image.at(5 + x, 2 + y)));
  }
}

// Evaluation brings the original along, one picture a batch; training does not.
static void test_samples(void**) {
  const TinyDair set(3);  // 40 x 30
  const Settings sliced = {{"data.slice.size", "16"}, {"data.slice.overlap", "0.25"}, {"train.batch_size", "2"}};
  const Config config = set.config(sliced);
  Loader loader(open_files(config, {set.file("image/000000.png"), set.file("image/000001.png")}),
                loader_options(config, false), {});
  for (int64_t i = 0; i < 2; ++i) {
    const std::optional<Batch> batch = loader.next();
    check_batch(loader.source().spec(), *batch, false);
    const Image image = numbered_picture(40, 30, i);
    const at::Tensor& pictures = batch->get("pictures");
    CHECK(pictures.sizes() == at::IntArrayRef({1, 30, 40, 3}));
    CHECK(std::equal(image.pixels.begin(), image.pixels.end(), pictures.contiguous().const_data_ptr<uint8_t>()));
    CHECK(at::equal(batch->get("slices"), plan_slices({30, 40}, 16, 0.25)));
    CHECK(at::equal(batch->get("slice_offsets"), at::tensor({int64_t{0}, batch->get("slices").size(0)}, at::kLong)));
  }
  CHECK(!loader.next());
  CHECK(!set.open("train", sliced)->load(0, Rng(0, "test")).has("slices"));
  CHECK(set.open("val", sliced)->load(0, Rng(0, "test")).has("gt_boxes"));
  CHECK(!set.open("val", {{"data.slice.size", "40"}})->load(0, Rng(0, "test")).has("pictures"));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_plan), cmocka_unit_test(test_cut), cmocka_unit_test(test_samples)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
