// Drawing on a picture with anti-aliasing: polygons, lines, rectangles, ellipses and a small built-in font. Used by the
// synthetic scenes and by pictures of predictions.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "image/image.h"

namespace moe {

struct Point {
  double x;
  double y;
};

struct Color {
  uint8_t r, g, b;
  double alpha = 1.0;  // 0 transparent .. 1 opaque
};

Color mix(Color a, Color b, double t);     // t = 0 gives a
Color palette(int64_t index);              // distinct, readable colours, cyclic

class Canvas {
 public:
  explicit Canvas(Image& image) : image_(image) {}

  void polygon(const std::vector<Point>& points, Color color);           // filled, even-odd
  void line(Point a, Point b, double width, Color color);
  void rectangle(Point top_left, Point bottom_right, double width, Color color);  // outline
  void fill_rectangle(Point top_left, Point bottom_right, Color color);
  void ellipse(Point centre, double radius_x, double radius_y, Color color);      // filled
  // Draws 5x7 glyphs scaled by `scale` pixels; returns the width. ASCII 32..126, others as '?'.
  double label(Point top_left, std::string_view text, double scale, Color color);
  static double label_width(std::string_view text, double scale);

 private:
  Image& image_;
};

}  // namespace moe
