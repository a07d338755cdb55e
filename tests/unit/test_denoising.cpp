// Contrastive denoising: sizes, mask and positives of the official code, the noise it draws, and its streams.
#include "models/rtdetr/denoising.h"
#include "nn/boxes.h"
#include "rtdetr_golden.h"

using namespace moe::rtdetr;

static Denoising made(const DenoisingOptions& options, uint64_t seed = 1) {
  return make_denoising(options, golden::targets(), 6, 300, moe::Rng(seed, "test"));
}

static void test_sizes(void**) {
  const std::pair<int64_t, int64_t> cases[] = {{1, 200}, {7, 196}, {50, 200}, {99, 198}, {101, 202}, {200, 400}};
  for (const auto& [most, queries] : cases) CHECK(2 * most * denoising_groups(100, most) == queries);
  CHECK(denoising_groups(0, 5) == 0 && denoising_groups(100, 0) == 0);
}

static void test_mask_and_positives(void**) {
  const Denoising out = made({});
  CHECK(out.groups == 33 && out.queries == 198);
  CHECK(out.blocked.sizes() == at::IntArrayRef({498, 498}));
  CHECK(out.blocked.sum().item<int64_t>() == 97416);
  const at::Tensor second = out.matches.query.index({out.matches.image == 1});
  CHECK(golden::equal(second.slice(0, 0, 6), {0, 1, 6, 7, 12, 13}));
  CHECK(out.matches.query.numel() == 5 * 33);
  const at::Tensor padding = out.labels[1].view({-1, 3}).select(1, 2);
  CHECK((padding == 6).all().item<bool>() && (out.labels[0] < 6).all().item<bool>());
}

// Corners of positives stay within one half side of the truth, those of negatives are between one and two away, unless
// they are cut at the border or cross each other, which gives a box without area.
static void test_box_noise(void**) {
  const Denoising out = made({.label_noise = 0});
  const at::Tensor noisy = moe::nn::cxcywh_to_xyxy(at::sigmoid(out.reference[0]).to(at::kDouble)).view({33, 2, 3, 4});
  const at::Tensor truth = golden::targets().boxes.slice(0, 0, 3);
  const at::Tensor corners = moe::nn::cxcywh_to_xyxy(truth);
  const at::Tensor half = truth.slice(1, 2, 4).repeat({1, 2}) * 0.5;
  const at::Tensor moved = (noisy - corners).abs() / half;  // [33, 2, 3, 4]
  CHECK(moved.select(1, 0).max().item<double>() < 1.001);
  const at::Tensor uncrossed = noisy.slice(3, 2, 4) - noisy.slice(3, 0, 2) > 1e-3;
  const at::Tensor cut = (noisy < 1e-4).logical_or(noisy > 1 - 1e-4);
  const at::Tensor whole = uncrossed.repeat({1, 1, 1, 2}).logical_and(cut.logical_not());
  const at::Tensor inside = whole.select(1, 1);
  const at::Tensor negative = moved.select(1, 1).index({inside});
  CHECK(negative.min().item<double>() > 0.99 && negative.max().item<double>() < 2.01);
  CHECK_NEAR(negative.mean().item<double>(), 1.5, 0.2);
}

static void test_label_noise(void**) {
  CHECK((made({.label_noise = 0}).labels[0].view({-1, 3}).select(1, 1) == 3).all().item<bool>());
  const at::Tensor labels = made({.queries = 6000, .label_noise = 1}).labels[0].view({-1, 3}).select(1, 1);
  const double kept = (labels == 3).to(at::kDouble).mean().item<double>();
  CHECK_NEAR(kept, 0.5 + 0.5 / 6, 0.03);  // half are drawn anew, a sixth of those alike
}

static void test_streams(void**) {
  CHECK(at::equal(made({}, 1).reference, made({}, 1).reference));
  CHECK(!at::equal(made({}, 1).reference, made({}, 2).reference));
}

static void test_no_objects(void**) {
  const Targets none = {at::zeros({0, 4}), at::zeros({0}, at::kLong), {0, 0, 0}};
  CHECK(make_denoising({}, none, 6, 300, moe::Rng(1, "test")).queries == 0);
  CHECK(made({.queries = 0}).queries == 0);
  Targets some = golden::targets();
  some.offsets = {0, 5, 5};
  const Denoising out = make_denoising({}, some, 6, 300, moe::Rng(1, "test"));
  CHECK(out.queries == 200 && (out.labels[1] == 6).all().item<bool>());
  CHECK(at::isfinite(out.reference).all().item<bool>());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),     cmocka_unit_test(test_mask_and_positives),
      cmocka_unit_test(test_box_noise), cmocka_unit_test(test_label_noise),
      cmocka_unit_test(test_streams),   cmocka_unit_test(test_no_objects),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
