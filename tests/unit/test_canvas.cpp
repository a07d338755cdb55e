// Drawing: areas by coverage, clipping, mirror symmetry, labels. Coverage is read back from white on black.
#include "image/canvas.h"

#include <limits>

#include "support/test.h"

using moe::Canvas;
using moe::Color;
using moe::Image;
using moe::Point;

static const Color white{255, 255, 255};

// Sum of the coverage in pixels.
static double area(const Image& image) {
  double sum = 0;
  for (size_t i = 0; i < image.pixels.size(); i += 3) sum += image.pixels[i] / 255.0;
  return sum;
}

static bool black(const Image& image) {
  return area(image) == 0;
}

static void areas_match_geometry(void**) {
  Image box(40, 30), triangle(100, 100), disc(100, 100), line(60, 60), frame(50, 50);
  Canvas(box).fill_rectangle({3.25, 4.5}, {20.75, 19.0}, white);
  CHECK_NEAR(area(box), 17.5 * 14.5, 0.002);
  Canvas(triangle).polygon({{10, 10}, {90, 20}, {40, 85}}, white);
  CHECK_NEAR(area(triangle), 0.5 * std::abs(80.0 * 75 - 30.0 * 10), 0.002);
  Canvas(disc).ellipse({50, 50}, 30, 20, white);
  CHECK_NEAR(area(disc), M_PI * 600, 0.002);
  Canvas(line).line({10, 10}, {40, 50}, 3, white);
  CHECK_NEAR(area(line), 50 * 3, 0.01);
  Canvas(frame).rectangle({10, 10}, {40, 30}, 2, white);
  CHECK_NEAR(area(frame), 32 * 22 - 28 * 18, 0.002);
}

static void even_odd_leaves_holes(void**) {
  Image image(40, 40);  // an outer and an inner square on one path
  Canvas(image).polygon({{5, 5}, {35, 5}, {35, 35}, {5, 35}, {5, 5}, {10, 10}, {10, 30}, {30, 30}, {30, 10}, {10, 10}},
                        white);
  CHECK(image.at(20, 20)[0] == 0);
  CHECK(image.at(7, 20)[0] == 255);
  CHECK_NEAR(area(image), 900 - 400, 0.002);
}

static void partial_pixels_blend(void**) {
  Image image(4, 4);
  Canvas(image).fill_rectangle({1.25, 1}, {3, 2.5}, white);
  CHECK(image.at(0, 1)[0] == 0);
  CHECK(image.at(1, 1)[0] == 191);
  CHECK(image.at(2, 1)[0] == 255);
  CHECK(image.at(2, 2)[0] == 128);
  Canvas(image).fill_rectangle({0, 3}, {4, 4}, {200, 100, 50, 0.5});
  CHECK(image.at(0, 3)[0] == 100 && image.at(0, 3)[1] == 50 && image.at(0, 3)[2] == 25);
}

static void everything_clips(void**) {
  Image image(20, 10);
  Canvas canvas(image);
  canvas.polygon({{-50, -50}, {70, -50}, {70, 60}, {-50, 60}}, white);
  CHECK(area(image) == 200);
  Image far(20, 10);
  Canvas outside(far);
  outside.fill_rectangle({20, 0}, {40, 10}, white);
  outside.fill_rectangle({-40, 0}, {0, 10}, white);
  outside.ellipse({10, 40}, 15, 20, white);
  outside.label({-100, 2}, "far away", 1, white);
  outside.line({-5, -5}, {-5, 50}, 4, white);
  CHECK(black(far));
  outside.polygon({{-1e300, -1e300}, {1e300, -1e300}, {1e300, 1e300}, {-1e300, 1e300}}, white);
  CHECK(area(far) == 200);
}

static void senseless_coordinates_draw_nothing(void**) {
  Image image(20, 20);
  Canvas canvas(image);
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  canvas.polygon({{0, 0}, {10, nan}, {10, 10}}, white);
  canvas.polygon({{0, 0}, {inf, 3}, {10, 10}}, white);
  canvas.polygon({}, white);
  canvas.line({0, 0}, {nan, 4}, 2, white);
  canvas.line({0, 0}, {10, 10}, nan, white);
  canvas.rectangle({nan, 0}, {10, 10}, 1, white);
  canvas.ellipse({5, 5}, inf, 4, white);
  canvas.ellipse({5, inf}, 3, 4, white);
  CHECK(canvas.label({nan, 0}, "a", 2, white) > 0);
  CHECK(canvas.label({0, 0}, "a", nan, white) == 0);
  canvas.fill_rectangle({0, 0}, {10, 10}, {255, 255, 255, nan});
  CHECK(black(image));
}

static void coverage_is_symmetric(void**) {
  Image image(41, 41), mirrored(41, 41);
  Canvas(image).polygon({{4.3, 3.1}, {30.7, 12.9}, {17.2, 37.4}}, white);
  Canvas(mirrored).polygon({{36.7, 3.1}, {10.3, 12.9}, {23.8, 37.4}}, white);
  for (int64_t y = 0; y < 41; ++y) {
    for (int64_t x = 0; x < 41; ++x) CHECK(std::abs(image.at(x, y)[0] - mirrored.at(40 - x, y)[0]) <= 1);
  }
  Image disc(40, 40);
  Canvas(disc).ellipse({20, 20}, 13.3, 13.3, white);
  for (int64_t y = 0; y < 40; ++y) {
    for (int64_t x = 0; x < 40; ++x) CHECK(std::abs(disc.at(x, y)[0] - disc.at(x, 39 - y)[0]) <= 1);
  }
}

static void labels_have_the_width_they_say(void**) {
  CHECK_NEAR(Canvas::label_width("car 0.93", 2), (8 * 6 - 1) * 2, 1e-12);
  CHECK(Canvas::label_width("", 2) == 0);
  Image image(60, 20);
  CHECK_NEAR(Canvas(image).label({2, 3}, "#I", 2, white), 22, 1e-12);
  // '#' sets 20 of its dots, 'I' 11: each dot is 2 x 2 pixels.
  CHECK_NEAR(area(image), (20 + 11) * 4, 1e-9);
  for (int64_t y = 0; y < 20; ++y) {
    for (int64_t x = 24; x < 60; ++x) CHECK(image.at(x, y)[0] == 0);
  }
}

static void unknown_characters_are_question_marks(void**) {
  Image known(20, 10), unknown(20, 10);
  Canvas(known).label({1, 1}, "?", 1, white);
  Canvas(unknown).label({1, 1}, "\x80", 1, white);
  CHECK(known.pixels == unknown.pixels);
  for (char c = ' ' + 1; c <= '~'; ++c) {
    Image image(8, 9);
    Canvas(image).label({1, 1}, std::string(1, c), 1, white);
    CHECK(!black(image));
  }
}

static void colours_mix_and_differ(void**) {
  const Color half = moe::mix({0, 100, 200, 0.0}, {100, 200, 0, 1.0}, 0.5);
  CHECK(half.r == 50 && half.g == 150 && half.b == 100 && half.alpha == 0.5);
  for (int64_t i = 0; i < 12; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      const Color a = moe::palette(i), b = moe::palette(j);
      CHECK(std::abs(a.r - b.r) + std::abs(a.g - b.g) + std::abs(a.b - b.b) > 60);
    }
  }
  CHECK(moe::palette(12).r == moe::palette(0).r && moe::palette(-1).g == moe::palette(11).g);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(areas_match_geometry),
      cmocka_unit_test(even_odd_leaves_holes),
      cmocka_unit_test(partial_pixels_blend),
      cmocka_unit_test(everything_clips),
      cmocka_unit_test(senseless_coordinates_draw_nothing),
      cmocka_unit_test(coverage_is_symmetric),
      cmocka_unit_test(labels_have_the_width_they_say),
      cmocka_unit_test(unknown_characters_are_question_marks),
      cmocka_unit_test(colours_mix_and_differ),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
