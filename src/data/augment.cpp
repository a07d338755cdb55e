#include "data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace moe {

// Towards zero after clamping, as torchvision casts.
static uint8_t to_level(float value) {
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

static float grey_of(const uint8_t* pixel) {
  return std::floor(0.2989f * static_cast<float>(pixel[0]) + 0.587f * static_cast<float>(pixel[1]) +
                    0.114f * static_cast<float>(pixel[2]));
}

// image * factor + (1 - factor) * other
static void blend(uint8_t* pixel, float other, float factor) {
  for (int c = 0; c < 3; ++c) pixel[c] = to_level(static_cast<float>(pixel[c]) * factor + other * (1.0f - factor));
}

void adjust_brightness(Image& image, double factor) {
  for (uint8_t& value : image.pixels) value = to_level(static_cast<float>(value) * static_cast<float>(factor));
}

void adjust_contrast(Image& image, double factor) {
  double sum = 0;
  for (size_t i = 0; i < image.pixels.size(); i += 3) sum += grey_of(image.pixels.data() + i);
  const auto mean = static_cast<float>(sum / static_cast<double>(image.pixels.size() / 3));
  for (size_t i = 0; i < image.pixels.size(); i += 3) blend(image.pixels.data() + i, mean, static_cast<float>(factor));
}

void adjust_saturation(Image& image, double factor) {
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    uint8_t* pixel = image.pixels.data() + i;
    blend(pixel, grey_of(pixel), static_cast<float>(factor));
  }
}

// Hue in turns, saturation and value in 0..1 (Pillow's Convert.c).
static std::array<float, 3> rgb_to_hsv(float r, float g, float b) {
  const float high = std::max({r, g, b}), low = std::min({r, g, b}), range = high - low;
  if (range == 0) return {0, 0, high};
  const float rc = (high - r) / range, gc = (high - g) / range, bc = (high - b) / range;
  const float sector = high == r ? bc - gc : high == g ? 2 + rc - bc : 4 + gc - rc;
  return {std::fmod(sector / 6 + 1, 1.0f), range / high, high};
}

static std::array<float, 3> hsv_to_rgb(float h, float s, float v) {
  const float sector = std::floor(h * 6), f = h * 6 - sector;
  const float p = v * (1 - s), q = v * (1 - s * f), t = v * (1 - s * (1 - f));
  switch (static_cast<int>(sector) % 6) {
    case 0:
      return {v, t, p};
    case 1:
      return {q, v, p};
    case 2:
      return {p, v, t};
    case 3:
      return {p, q, v};
    case 4:
      return {t, p, v};
    default:
      return {v, p, q};
  }
}

void adjust_hue(Image& image, double shift) {
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    uint8_t* pixel = image.pixels.data() + i;
    auto [h, s, v] = rgb_to_hsv(static_cast<float>(pixel[0]) / 255, static_cast<float>(pixel[1]) / 255,
                                static_cast<float>(pixel[2]) / 255);
    h += static_cast<float>(shift);
    const std::array<float, 3> rgb = hsv_to_rgb(h - std::floor(h), s, v);
    for (size_t c = 0; c < 3; ++c) pixel[c] = to_level(rgb[c] * 255.999f);
  }
}

static void permute_channels(Image& image, Rng rng) {
  const std::vector<int64_t> order = permutation(rng, 3);
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    uint8_t* pixel = image.pixels.data() + i;
    const uint8_t old[3] = {pixel[0], pixel[1], pixel[2]};
    for (size_t c = 0; c < 3; ++c) pixel[c] = old[order[c]];
  }
}

// Ranges of RandomPhotometricDistort: brightness .875-1.125, contrast and saturation .5-1.5, hue +-.05.
void photometric_distort(Image& image, Rng rng, double probability) {
  const bool contrast = rng.chance(probability), contrast_first = rng.chance(0.5);
  const double contrast_factor = rng.uniform(0.5, 1.5);
  if (rng.chance(probability)) adjust_brightness(image, rng.uniform(0.875, 1.125));
  if (contrast && contrast_first) adjust_contrast(image, contrast_factor);
  if (rng.chance(probability)) adjust_saturation(image, rng.uniform(0.5, 1.5));
  if (rng.chance(probability)) adjust_hue(image, rng.uniform(-0.05, 0.05));
  if (contrast && !contrast_first) adjust_contrast(image, contrast_factor);
  if (rng.chance(probability)) permute_channels(image, rng.child("channels"));
}

static int64_t share_of(int64_t size, double share) {
  return static_cast<int64_t>(static_cast<double>(size) * share);
}

static void shift_boxes(std::vector<CornerBox>& boxes, double x, double y) {
  for (CornerBox& box : boxes) box = {box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y};
}

void zoom_out(LabelledImage& sample, Rng rng, double max_factor) {
  const Image& image = sample.image;
  const double factor = rng.uniform(1, max_factor);
  Image canvas(share_of(image.width, factor), share_of(image.height, factor));
  const int64_t left = share_of(canvas.width - image.width, rng.uniform());
  const int64_t top = share_of(canvas.height - image.height, rng.uniform());
  for (int64_t y = 0; y < image.height; ++y) {
    std::memcpy(canvas.at(left, top + y), image.at(0, y), static_cast<size_t>(image.width * 3));
  }
  sample.image = std::move(canvas);
  shift_boxes(sample.boxes, static_cast<double>(left), static_cast<double>(top));
}

struct Window {
  int64_t left = 0, top = 0, width = 0, height = 0;

  CornerBox box() const {
    return {static_cast<double>(left), static_cast<double>(top), static_cast<double>(left + width),
            static_cast<double>(top + height)};
  }
  bool holds_centre(const CornerBox& inner) const {
    const double x = (inner.x0 + inner.x1) / 2, y = (inner.y0 + inner.y1) / 2;
    const CornerBox outer = box();
    return outer.x0 < x && x < outer.x1 && outer.y0 < y && y < outer.y1;
  }
};

static double iou(const CornerBox& a, const CornerBox& b) {
  const double width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  if (width <= 0 || height <= 0) return 0;
  return width * height / (a.area() + b.area() - width * height);
}

// Sides of 0.3 to 1 of the picture's with an aspect ratio of 0.5 to 2, anywhere in it; false when the draw is not one.
static bool draw_window(const Image& image, Rng& rng, Window& window) {
  window.width = share_of(image.width, rng.uniform(0.3, 1));
  window.height = share_of(image.height, rng.uniform(0.3, 1));
  window.left = share_of(image.width - window.width, rng.uniform());
  window.top = share_of(image.height - window.height, rng.uniform());
  if (window.width < 1 || window.height < 1) return false;
  const double aspect = static_cast<double>(window.width) / static_cast<double>(window.height);
  return aspect >= 0.5 && aspect <= 2;
}

// Largest IoU of the window with a box whose centre it holds; -1 when it holds none.
static double best_overlap(const Window& window, const std::vector<CornerBox>& boxes) {
  double best = -1;
  for (const CornerBox& box : boxes) {
    if (window.holds_centre(box)) best = std::max(best, iou(box, window.box()));
  }
  return best;
}

// False when the whole picture is to stay, which is one of the seven choices.
static bool choose_window(const LabelledImage& sample, Rng& rng, Window& window) {
  static constexpr double thresholds[] = {0, 0.1, 0.3, 0.5, 0.7, 0.9, 1};
  static constexpr int trials = 40;
  for (;;) {
    const double threshold = thresholds[rng.below(7)];
    if (threshold >= 1) return false;
    for (int trial = 0; trial < trials; ++trial) {
      if (!draw_window(sample.image, rng, window)) continue;
      const double overlap = best_overlap(window, sample.boxes);
      if (overlap >= 0 && overlap >= threshold) return true;
    }
  }
}

static void cut(LabelledImage& sample, const Window& window) {
  Image part(window.width, window.height);
  for (int64_t y = 0; y < window.height; ++y) {
    std::memcpy(part.at(0, y), sample.image.at(window.left, window.top + y), static_cast<size_t>(window.width * 3));
  }
  size_t kept = 0;
  for (size_t i = 0; i < sample.boxes.size(); ++i) {
    if (!window.holds_centre(sample.boxes[i])) continue;
    sample.boxes[kept] = sample.boxes[i];
    sample.labels[kept++] = sample.labels[i];
  }
  sample.boxes.resize(kept);
  sample.labels.resize(kept);
  sample.image = std::move(part);
  shift_boxes(sample.boxes, -static_cast<double>(window.left), -static_cast<double>(window.top));
}

void iou_crop(LabelledImage& sample, Rng rng) {
  if (sample.boxes.empty()) return;
  Window window;
  if (!choose_window(sample, rng, window)) return;
  cut(sample, window);
  drop_small(sample, 0);
}

void drop_small(LabelledImage& sample, double min_side) {
  size_t kept = 0;
  for (size_t i = 0; i < sample.boxes.size(); ++i) {
    const CornerBox box = clip(sample.boxes[i], {sample.image.height, sample.image.width});
    if (!(box.width() > 0 && box.height() > 0 && box.width() >= min_side && box.height() >= min_side)) continue;
    sample.boxes[kept] = box;
    sample.labels[kept++] = sample.labels[i];
  }
  sample.boxes.resize(kept);
  sample.labels.resize(kept);
}

}  // namespace moe
