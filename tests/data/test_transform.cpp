// Pixels against Pillow and torchvision, boxes against arithmetic, and the invariants of every random change.
#include <ATen/ATen.h>

#include <algorithm>

#include "data/augment.h"
#include "data/data_support.h"
#include "data/transform.h"

using namespace moe;

static int largest_difference(const std::vector<uint8_t>& got, const std::string& want, double* share = nullptr) {
  CHECK(got.size() == want.size());
  int largest = 0;
  double differing = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const int difference = std::abs(got[i] - static_cast<uint8_t>(want[i]));
    largest = std::max(largest, difference);
    differing += difference > 0;
  }
  if (share) *share = differing / static_cast<double>(got.size());
  return largest;
}

static std::vector<uint8_t> to_bytes(const at::Tensor& pixels) {
  const at::Tensor levels = (pixels.permute({1, 2, 0}) * 255).round().to(at::kByte).contiguous();
  return {levels.const_data_ptr<uint8_t>(), levels.const_data_ptr<uint8_t>() + levels.numel()};
}

static void test_resize_equals_pillow(void**) {
  const Image image = read_image(fixture("rgb.png"));
  const auto resize = [&](ImageSize size) {
    return to_bytes(InputTransform({45, 61}, size, Fit::stretch).pixels(image));
  };
  double share = 0;
  CHECK(largest_difference(resize({40, 96}), read_file(fixture("resize_40x96.rgb")), &share) <= 1);
  CHECK(share < 0.08);  // ties that the two round differently
  CHECK(largest_difference(resize({17, 20}), read_file(fixture("resize_17x20.rgb")), &share) <= 1);
  CHECK(share < 0.08);  // ties that the two round differently
  CHECK(largest_difference(resize({45, 61}), read_file(fixture("rgb.rgb"))) == 0);
}

static void test_photometric_equals_torchvision(void**) {
  const Image image = read_image(fixture("rgb.png"));
  const auto changed = [&](auto change) {
    Image copy = image;
    change(copy);
    return copy.pixels;
  };
  CHECK(largest_difference(changed([](Image& i) { adjust_brightness(i, 1.1); }),
                           read_file(fixture("brightness.rgb"))) <= 1);
  CHECK(largest_difference(changed([](Image& i) { adjust_contrast(i, 0.7); }), read_file(fixture("contrast.rgb"))) <=
        1);
  CHECK(largest_difference(changed([](Image& i) { adjust_saturation(i, 1.4); }),
                           read_file(fixture("saturation.rgb"))) <= 1);
  CHECK(largest_difference(changed([](Image& i) { adjust_hue(i, 0.04); }), read_file(fixture("hue.rgb"))) <= 1);
  CHECK(largest_difference(changed([](Image& i) { adjust_hue(i, 0); }), read_file(fixture("rgb.rgb"))) <= 1);
}

static void test_inverse(void**) {
  Rng rng(1, "transform");
  for (const Fit fit : {Fit::stretch, Fit::letterbox}) {
    for (int i = 0; i < 200; ++i) {
      const ImageSize picture{1 + rng.below(900), 1 + rng.below(900)};
      const InputTransform transform(picture, {64 + rng.below(600), 64 + rng.below(600)}, fit);
      const CornerBox box{rng.uniform(-5, 900), rng.uniform(-5, 900), rng.uniform(-5, 900), rng.uniform(-5, 900)};
      const CornerBox back = transform.invert(transform.box(box));
      CHECK_NEAR(back.x0, box.x0, 1e-9);
      CHECK_NEAR(back.y0, box.y0, 1e-9);
      CHECK_NEAR(back.x1, box.x1, 1e-9);
      CHECK_NEAR(back.y1, box.y1, 1e-9);
    }
  }
}

// A white rectangle is where its box says, before and after; the rest of a letterbox is black.
static void test_letterbox_moves_pixels_and_boxes_alike(void**) {
  Image image(80, 40);
  for (int64_t y = 10; y < 30; ++y) std::fill(image.at(20, y), image.at(60, y), 255);
  const InputTransform transform({40, 80}, {160, 160}, Fit::letterbox);
  const CornerBox box = transform.box({20, 10, 60, 30});
  CHECK(box.x0 == 40 && box.y0 == 60 && box.x1 == 120 && box.y1 == 100);
  const at::Tensor pixels = transform.pixels(image);
  CHECK(pixels.size(0) == 3 && pixels.size(1) == 160 && pixels.size(2) == 160 && pixels.stride(0) == 1);
  CHECK(pixels[0][80][80].item<float>() == 1.0f && pixels[2][63][44].item<float>() == 1.0f);
  CHECK(pixels[0][50][80].item<float>() == 0.0f && pixels[0][80][30].item<float>() == 0.0f);
  CHECK(pixels.slice(1, 0, 40).sum().item<float>() == 0.0f && pixels.slice(1, 120, 160).sum().item<float>() == 0.0f);
  const at::Tensor frame = transform.frame();
  CHECK(frame[0].item<float>() == 2 && frame[1].item<float>() == 2 && frame[2].item<float>() == 0 &&
        frame[3].item<float>() == 40);
}

static void test_mirror(void**) {
  const Image image = numbered_picture(50, 31, 2);
  for (const Fit fit : {Fit::stretch, Fit::letterbox}) {
    const InputTransform transform({31, 50}, {64, 77}, fit);
    const at::Tensor pixels = transform.pixels(image, true);
    CHECK(at::equal(pixels, transform.pixels(image).flip({2})) && pixels.stride(0) == 1);
  }
  const CornerBox box = mirror({10, 1, 30, 5}, 77);
  CHECK(box.x0 == 47 && box.x1 == 67 && box.y0 == 1 && box.y1 == 5);
}

static LabelledImage sample_with_boxes() {
  LabelledImage sample{numbered_picture(200, 120, 5), {}, {}};
  sample.boxes = {{10, 10, 60, 50}, {150, 20, 199, 110}, {90, 60, 100, 80}, {0, 0, 200, 120}};
  sample.labels = {0, 1, 2, 3};
  return sample;
}

static void check_inside(const LabelledImage& sample) {
  CHECK(sample.boxes.size() == sample.labels.size());
  for (const CornerBox& box : sample.boxes) {
    CHECK(box.x0 >= 0 && box.y0 >= 0 && box.x1 <= static_cast<double>(sample.image.width));
    CHECK(box.y1 <= static_cast<double>(sample.image.height) && box.width() > 0 && box.height() > 0);
  }
}

static void test_zoom_out(void**) {
  for (uint64_t i = 0; i < 50; ++i) {
    LabelledImage sample = sample_with_boxes();
    const Image before = sample.image;
    zoom_out(sample, Rng(i, "zoom"), 4);
    CHECK(sample.image.width >= 200 && sample.image.width <= 800 && sample.image.height >= 120 &&
          sample.image.height <= 480);
    check_inside(sample);
    // The last box is the whole picture: it tells where the picture went.
    const auto left = static_cast<int64_t>(sample.boxes[3].x0), top = static_cast<int64_t>(sample.boxes[3].y0);
    CHECK(std::equal(before.at(0, 7), before.at(200, 7), sample.image.at(left, top + 7)));
    CHECK(sample.boxes[0].x0 == 10 + static_cast<double>(left) && sample.boxes[0].height() == 40);
    CHECK(std::accumulate(sample.image.pixels.begin(), sample.image.pixels.end(), int64_t{0}) ==
          std::accumulate(before.pixels.begin(), before.pixels.end(), int64_t{0}));
  }
}

static void test_iou_crop(void**) {
  int cropped = 0, dropped = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    LabelledImage sample = sample_with_boxes();
    iou_crop(sample, Rng(i, "crop"));
    check_inside(sample);
    CHECK(!sample.boxes.empty());
    const auto width = static_cast<double>(sample.image.width), height = static_cast<double>(sample.image.height);
    const bool whole = sample.image.width == 200 && sample.image.height == 120;
    CHECK(whole || (width / height >= 0.5 && width / height <= 2));
    CHECK(width >= 59 && height >= 35);
    CHECK(std::is_sorted(sample.labels.begin(), sample.labels.end()));
    cropped += !whole;
    dropped += sample.labels.size() < 4;
  }
  CHECK(cropped > 120 && cropped < 190 && dropped > 80);  // one draw in seven leaves the picture
  LabelledImage empty{numbered_picture(20, 10, 1), {}, {}};
  iou_crop(empty, Rng(1, "crop"));
  CHECK(empty.image.width == 20);
}

static void test_drop_small_keeps_labels_in_step(void**) {
  LabelledImage sample{
      Image(20, 20), {{-5, 2, 0.5, 9}, {3, 3, 8, 8}, {30, 3, 40, 9}, {5, 5, 5, 9}, {18, 18, 30, 30}}, {0, 1, 2, 3, 4}};
  drop_small(sample, 1);
  CHECK(sample.labels == std::vector<int64_t>({1, 4}));
  CHECK(sample.boxes[1].x1 == 20 && sample.boxes[1].y1 == 20);
}

static void test_photometric_probability(void**) {
  const Image image = read_image(fixture("rgb.png"));
  Image same = image;
  photometric_distort(same, Rng(1, "p"), 0);
  CHECK(same.pixels == image.pixels);
  Image other = image, again = image;
  photometric_distort(other, Rng(1, "p"), 1);
  photometric_distort(again, Rng(1, "p"), 1);
  CHECK(other.pixels != image.pixels && other.pixels == again.pixels);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_resize_equals_pillow),
      cmocka_unit_test(test_photometric_equals_torchvision),
      cmocka_unit_test(test_inverse),
      cmocka_unit_test(test_letterbox_moves_pixels_and_boxes_alike),
      cmocka_unit_test(test_mirror),
      cmocka_unit_test(test_zoom_out),
      cmocka_unit_test(test_iou_crop),
      cmocka_unit_test(test_drop_small_keeps_labels_in_step),
      cmocka_unit_test(test_photometric_probability),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
