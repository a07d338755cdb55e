// Parts of the training recipe that depend on the epoch or the batch: sizes drawn for each batch, and the epoch at
// which strong augmentation ends.
#include <ATen/ATen.h>

#include <set>

#include "data_support.h"

using namespace moe;

namespace {

Loader loader_of(const TinyDair& set, const Settings& settings) {
  const Config config = set.config(settings);
  return Loader(open_source(config, "train"), loader_options(config, true), {});
}

std::vector<Batch> epoch_of(Loader& loader) {
  std::vector<Batch> out;
  while (auto batch = loader.next()) out.push_back(std::move(*batch));
  return out;
}

bool same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!at::equal(a[i].get("images"), b[i].get("images"))) return false;
  }
  return a.size() == b.size();
}

}  // namespace

static void test_scales(void**) {
  const TinyDair set(9);
  const Settings plain = {{"data.size", "[64, 128]"}, {"train.batch_size", "1"}};
  Settings scaled = plain;
  scaled.emplace_back("data.augment.scales", "[0.5, 1, 1.5]");
  Loader loader = loader_of(set, scaled), reference = loader_of(set, plain);
  std::set<int64_t> heights;
  for (int epoch = 0; epoch < 3; ++epoch) {
    const std::vector<Batch> got = epoch_of(loader), want = epoch_of(reference);
    CHECK(got.size() == 9 && want.size() == 9);
    for (size_t i = 0; i < got.size(); ++i) {
      const at::Tensor images = got[i].get("images");
      const int64_t height = images.size(2), width = images.size(3);
      heights.insert(height);
      CHECK(width == 2 * height);
      CHECK(at::equal(images, at::upsample_nearest2d(want[i].get("images"), {height, width})));
      CHECK(at::equal(got[i].get("boxes"), want[i].get("boxes")));  // shares of the input
      const at::Tensor frames = want[i].get("frames") * (static_cast<double>(height) / 64);
      CHECK(at::allclose(got[i].get("frames"), frames));
    }
  }
  CHECK(heights == std::set<int64_t>({32, 64, 96}));

  // Workers and a resume change nothing.
  Settings threads = scaled;
  threads.emplace_back("data.workers", "3");
  Loader a = loader_of(set, scaled), b = loader_of(set, threads);
  a.seek(2, 4);
  b.seek(2, 4);
  CHECK(same(epoch_of(a), epoch_of(b)));

  // The other split keeps its size.
  const Config config = set.config(scaled);
  Loader val(open_source(config, "val"), loader_options(config, false), {});
  CHECK(epoch_of(val).at(0).get("images").size(2) == 64);
}

static void test_strong_epochs(void**) {
  const TinyDair set(6);
  const Settings plain = {{"data.size", "[32, 64]"}, {"train.batch_size", "2"}};
  Settings strong = plain;
  strong.insert(strong.end(), {{"data.augment.photometric", "1"},
                               {"data.augment.zoom_out", "1"},
                               {"data.augment.scales", "[2]"},
                               {"data.augment.strong_epochs", "2"}});
  Loader loader = loader_of(set, strong), reference = loader_of(set, plain);
  for (int epoch = 0; epoch < 4; ++epoch) {
    const std::vector<Batch> got = epoch_of(loader), want = epoch_of(reference);
    CHECK(got.at(0).get("images").size(2) == (epoch < 2 ? 64 : 32));
    if (epoch >= 2) CHECK(same(got, want));
  }
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_scales), cmocka_unit_test(test_strong_epochs)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
