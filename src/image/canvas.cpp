#include "image/canvas.h"

#include <cmath>
#include <iterator>
#include <numbers>

#include "image/font.h"
#include "image/raster.h"

namespace moe {

Color mix(Color a, Color b, double t) {
  const auto blend = [t](double from, double to) { return from + (to - from) * t; };
  const auto channel = [&](uint8_t from, uint8_t to) { return static_cast<uint8_t>(std::lround(blend(from, to))); };
  return {channel(a.r, b.r), channel(a.g, b.g), channel(a.b, b.b), blend(a.alpha, b.alpha)};
}

Color palette(int64_t index) {
  static constexpr Color colors[] = {{230, 57, 70},  {29, 120, 200}, {46, 164, 79},  {245, 158, 11},
                                     {142, 68, 173}, {0, 180, 190},  {233, 30, 140}, {132, 94, 60},
                                     {150, 190, 20}, {90, 100, 220}, {255, 110, 60}, {90, 105, 120}};
  const auto count = static_cast<int64_t>(std::size(colors));
  return colors[((index % count) + count) % count];
}

static void fill(Image& image, Rasterizer& raster, Color color) {
  if (!(color.alpha > 0)) return;
  const auto alpha = static_cast<float>(std::fmin(color.alpha, 1.0));
  const float channels[3] = {static_cast<float>(color.r), static_cast<float>(color.g), static_cast<float>(color.b)};
  raster.sweep(image.width, image.height, [&](int64_t y, int64_t x_begin, int64_t x_end, const float* coverage) {
    uint8_t* pixel = image.at(x_begin, y);
    for (int64_t i = 0; i < x_end - x_begin; ++i, pixel += 3) {
      const float weight = alpha * coverage[i];
      for (int c = 0; c < 3; ++c) {
        const auto old = static_cast<float>(pixel[c]);
        pixel[c] = static_cast<uint8_t>(old + (channels[c] - old) * weight + 0.5f);
      }
    }
  });
}

static void fill_contours(Image& image, const std::vector<std::vector<Point>>& contours, Color color) {
  Rasterizer raster;
  for (const std::vector<Point>& contour : contours) raster.add(contour);
  fill(image, raster, color);
}

static std::vector<Point> corners(double left, double top, double right, double bottom) {
  return {{left, top}, {right, top}, {right, bottom}, {left, bottom}};
}

void Canvas::polygon(const std::vector<Point>& points, Color color) {
  fill_contours(image_, {points}, color);
}

void Canvas::line(Point a, Point b, double width, Color color) {
  const double length = std::hypot(b.x - a.x, b.y - a.y);
  if (!(length > 0) || !(width > 0)) return;
  const double dx = -(b.y - a.y) / length * width / 2, dy = (b.x - a.x) / length * width / 2;
  polygon({{a.x + dx, a.y + dy}, {b.x + dx, b.y + dy}, {b.x - dx, b.y - dy}, {a.x - dx, a.y - dy}}, color);
}

void Canvas::rectangle(Point top_left, Point bottom_right, double width, Color color) {
  if (!(width > 0)) return;
  const auto grown = [&](double by) {
    return corners(top_left.x - by, top_left.y - by, bottom_right.x + by, bottom_right.y + by);
  };
  std::vector<std::vector<Point>> contours{grown(width / 2)};
  const bool hollow = bottom_right.x - top_left.x > width && bottom_right.y - top_left.y > width;
  if (hollow) contours.push_back(grown(-width / 2));
  fill_contours(image_, contours, color);
}

void Canvas::fill_rectangle(Point top_left, Point bottom_right, Color color) {
  polygon(corners(top_left.x, top_left.y, bottom_right.x, bottom_right.y), color);
}

// A polygon of as many corners as the size needs, grown so that its area is the ellipse's.
void Canvas::ellipse(Point centre, double radius_x, double radius_y, Color color) {
  if (!(radius_x > 0) || !(radius_y > 0)) return;
  const double sides = std::fmin(256, 4 * std::ceil(4 + 1.5 * std::sqrt(std::fmax(radius_x, radius_y))));
  const double angle = 2 * std::numbers::pi / sides;
  const double grow = std::sqrt(angle / std::sin(angle));
  std::vector<Point> points;
  for (double i = 0; i < sides; ++i) {
    const double x = std::cos((i + 0.5) * angle) * radius_x, y = std::sin((i + 0.5) * angle) * radius_y;
    points.push_back({centre.x + grow * x, centre.y + grow * y});
  }
  polygon(points, color);
}

// One contour for each vertical run of set dots, all filled at once: neighbouring runs leave no seam.
double Canvas::label(Point top_left, std::string_view text, double scale, Color color) {
  if (!(scale > 0)) return 0;
  std::vector<std::vector<Point>> runs;
  double left = top_left.x;
  for (const char character : text) {
    for (int64_t column = 0; column < glyph_columns; ++column) {
      const int bits = glyph(character)[static_cast<size_t>(column)];
      const double x = left + static_cast<double>(column) * scale;
      for (int row = 0; row < glyph_rows; ++row) {
        const int begin = row;
        while (row < glyph_rows && (bits >> row & 1)) ++row;
        if (row > begin) runs.push_back(corners(x, top_left.y + begin * scale, x + scale, top_left.y + row * scale));
      }
    }
    left += glyph_advance * scale;
  }
  fill_contours(image_, runs, color);
  return label_width(text, scale);
}

double Canvas::label_width(std::string_view text, double scale) {
  if (text.empty() || !(scale > 0)) return 0;
  return static_cast<double>(static_cast<int64_t>(text.size()) * glyph_advance - 1) * scale;
}

}  // namespace moe
