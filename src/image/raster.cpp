#include "image/raster.h"

namespace moe {

static constexpr double far_away = 1e9;  // farther coordinates are moved here, so that no difference overflows

void Rasterizer::add(const std::vector<Point>& points) {
  for (const Point& point : points) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) return;
  }
  const auto limit = [](double value) { return std::clamp(value, -far_away, far_away); };
  for (size_t i = 0; i < points.size(); ++i) {
    Point a{limit(points[i].x), limit(points[i].y)};
    const Point& next = points[(i + 1) % points.size()];
    Point b{limit(next.x), limit(next.y)};
    if (a.y == b.y) continue;
    if (a.y > b.y) std::swap(a, b);
    edges_.push_back({a.y, b.y, a.x, (b.x - a.x) / (b.y - a.y)});
  }
}

// The x of every edge that crosses the line y, ascending.
void Rasterizer::cross(double y) {
  crossings_.clear();
  for (const Edge& edge : edges_) {
    if (edge.top <= y && y < edge.bottom) crossings_.push_back(edge.x + (y - edge.top) * edge.slope);
  }
  if (crossings_.size() == 2) {
    if (crossings_[0] > crossings_[1]) std::swap(crossings_[0], crossings_[1]);
  } else {
    std::sort(crossings_.begin(), crossings_.end());
  }
}

// One sub-row from x = from to x = to. An end within a pixel splits its step between that pixel and the next one.
void Rasterizer::span(double from, double to, double right) {
  from = std::clamp(from, 0.0, right);
  to = std::clamp(to, 0.0, right);
  if (from >= to) return;
  constexpr float weight = 1.0f / sub_rows;
  const auto step = [&](double x, float height) {
    const auto pixel = static_cast<int64_t>(x);
    const auto inside = static_cast<float>(x - static_cast<double>(pixel));
    delta_[static_cast<size_t>(pixel)] += height * (1.0f - inside);
    delta_[static_cast<size_t>(pixel + 1)] += height * inside;
    return pixel;
  };
  first_ = std::min(first_, step(from, weight));
  last_ = std::max(last_, step(to, -weight));
}

}  // namespace moe
