// Turns contours into coverage: which share of each pixel lies inside, by the even-odd rule. Four sub-rows a pixel,
// exact horizontal coverage in each. It knows no colours; the caller blends. Coordinates are pixels, (0, 0) the top
// left corner.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "image/canvas.h"

namespace moe {

class Rasterizer {
 public:
  void clear() { edges_.clear(); }
  // Adds one closed contour. A contour with a coordinate that is not finite is left out whole.
  void add(const std::vector<Point>& points);
  // Calls sink(y, x_begin, x_end, coverage) for each row that is touched; coverage[x - x_begin] in 0 .. 1. Pixels
  // outside width x height are never given.
  template <typename Sink>
  void sweep(int64_t width, int64_t height, Sink sink);

 private:
  struct Edge {
    double top, bottom;  // y, top < bottom
    double x, slope;     // x at the top, and dx/dy
  };
  void span(double from, double to, double right);
  void cross(double y);

  std::vector<Edge> edges_;
  std::vector<double> crossings_;
  std::vector<float> delta_;  // [width + 2] change of the coverage from pixel to pixel
  int64_t first_ = 0, last_ = 0;
};

inline constexpr int64_t sub_rows = 4;

template <typename Sink>
void Rasterizer::sweep(int64_t width, int64_t height, Sink sink) {
  double top = static_cast<double>(height), bottom = 0;
  for (const Edge& edge : edges_) top = std::min(top, edge.top), bottom = std::max(bottom, edge.bottom);
  const auto y_begin = static_cast<int64_t>(std::max(0.0, std::floor(top)));
  const auto y_end = static_cast<int64_t>(std::min(static_cast<double>(height), std::ceil(bottom)));
  delta_.assign(static_cast<size_t>(width + 2), 0.0f);
  for (int64_t y = y_begin; y < y_end; ++y) {
    first_ = width, last_ = -1;
    for (int64_t sub = 0; sub < sub_rows; ++sub) {
      cross(static_cast<double>(y) + (static_cast<double>(sub) + 0.5) / sub_rows);
      for (size_t i = 0; i + 1 < crossings_.size(); i += 2) {
        span(crossings_[i], crossings_[i + 1], static_cast<double>(width));
      }
    }
    if (first_ > last_) continue;
    float sum = 0;
    for (int64_t x = first_; x <= last_ + 1; ++x) {
      float& cell = delta_[static_cast<size_t>(x)];
      sum += cell;
      cell = sum > 0.9995f ? 1.0f : std::max(sum, 0.0f);
    }
    const int64_t x_end = std::min(width, last_ + 1);
    if (first_ < x_end) sink(y, first_, x_end, delta_.data() + first_);
    std::fill(delta_.begin() + first_, delta_.begin() + last_ + 2, 0.0f);
  }
}

}  // namespace moe
