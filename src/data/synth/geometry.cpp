#include "data/synth/geometry.h"

#include <algorithm>
#include <limits>

namespace moe::synth {

static constexpr double near_plane = 0.5;  // metres

Camera::Camera(int64_t width, int64_t height, double focal, Vec3 position, double yaw, double pitch)
    : width_(static_cast<double>(width)), height_(static_cast<double>(height)), focal_(focal), position_(position) {
  forward_ = {std::sin(yaw) * std::cos(pitch), std::cos(yaw) * std::cos(pitch), -std::sin(pitch)};
  right_ = {std::cos(yaw), -std::sin(yaw), 0};
  down_ = cross(forward_, right_);
}

Point Camera::project(Vec3 point) const {
  const Vec3 ray = point - position_;
  const double pixels = focal_ / dot(ray, forward_);
  return {width_ / 2 + dot(ray, right_) * pixels, height_ / 2 + dot(ray, down_) * pixels};
}

std::vector<Point> Camera::project(const std::vector<Vec3>& polygon) const {
  std::vector<Point> out;
  out.reserve(polygon.size() + 2);
  for (size_t i = 0; i < polygon.size(); ++i) {
    const Vec3 a = polygon[i], b = polygon[(i + 1) % polygon.size()];
    const double depth_a = depth(a) - near_plane, depth_b = depth(b) - near_plane;
    if (depth_a >= 0) out.push_back(project(a));
    if ((depth_a >= 0) != (depth_b >= 0))
      out.push_back(project(lerp(a, b, depth_a / (depth_a - depth_b) * (1 - 1e-9))));
  }
  return out;
}

double Camera::ground_depth(double row) const {
  const Vec3 ray = forward_ + down_ * ((row + 0.5 - height_ / 2) / focal_);
  return ray.z < 0 ? -position_.z / ray.z : std::numeric_limits<double>::infinity();
}

double Camera::horizon() const {
  return height_ / 2 + focal_ * forward_.z / -down_.z;
}

static double turn(Point a, Point b, Point c) {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

// Andrew's monotone chain.
std::vector<Point> convex_hull(std::vector<Point> points) {
  if (points.size() < 3) return {};
  std::sort(points.begin(), points.end(), [](Point a, Point b) { return a.x != b.x ? a.x < b.x : a.y < b.y; });
  std::vector<Point> hull;
  const auto extend = [&](size_t keep, Point point) {
    while (hull.size() >= keep + 2 && turn(hull[hull.size() - 2], hull.back(), point) <= 0) hull.pop_back();
    hull.push_back(point);
  };
  for (const Point& point : points) extend(0, point);
  const size_t lower = hull.size() - 1;
  for (size_t i = points.size() - 1; i-- > 0;) extend(lower, points[i]);
  hull.pop_back();
  return hull;
}

std::vector<Vec3> Footprint::corners(double margin) const {
  const Frame frame(x, y, heading);
  const double along = length / 2 + margin, aside = width / 2 + margin;
  return {frame.at(along, aside, 0), frame.at(-along, aside, 0), frame.at(-along, -aside, 0),
          frame.at(along, -aside, 0)};
}

// Which of two footprints may hide the other, as far as the lines through the edges of `a` tell.
struct Hiding {
  bool a_hides = true, b_hides = true;
};

static void separate(const std::vector<Vec3>& a, const std::vector<Vec3>& b, Vec3 camera, Hiding& hiding,
                     bool swapped) {
  for (size_t i = 0; i < 4; ++i) {
    const Vec3 along = a[(i + 1) % 4] - a[i];
    const auto outside = [&](Vec3 point) { return along.x * (point.y - a[i].y) - along.y * (point.x - a[i].x) <= 0; };
    if (!std::all_of(b.begin(), b.end(), outside)) continue;
    const bool near_b = outside(camera);
    (near_b != swapped ? hiding.a_hides : hiding.b_hides) = false;
  }
}

static Hiding hiding_between(const std::vector<Vec3>& a, const std::vector<Vec3>& b, Vec3 camera) {
  Hiding hiding;
  separate(a, b, camera, hiding, false);
  separate(b, a, camera, hiding, true);
  return hiding;
}

bool overlap(const Footprint& a, const Footprint& b, double margin) {
  const Hiding hiding = hiding_between(a.corners(margin), b.corners(), {});
  return hiding.a_hides && hiding.b_hides;
}

std::vector<size_t> paint_order(const std::vector<Footprint>& things, Vec3 camera) {
  const size_t n = things.size();
  std::vector<std::vector<Vec3>> corners;
  std::vector<size_t> waiting(n);
  for (size_t i = 0; i < n; ++i) corners.push_back(things[i].corners()), waiting[i] = i;
  const auto distance = [&](size_t i) { return std::hypot(things[i].x - camera.x, things[i].y - camera.y); };
  std::sort(waiting.begin(), waiting.end(), [&](size_t a, size_t b) { return distance(a) > distance(b); });
  std::vector<std::vector<bool>> over(n, std::vector<bool>(n));  // over[a][b]: a must be painted after b
  for (size_t a = 0; a < n; ++a) {
    for (size_t b = 0; b < a; ++b) {
      const Hiding hiding = hiding_between(corners[a], corners[b], camera);
      over[a][b] = hiding.a_hides && !hiding.b_hides;
      over[b][a] = hiding.b_hides && !hiding.a_hides;
    }
  }
  std::vector<size_t> order;
  while (!waiting.empty()) {
    const auto free = [&](size_t a) {
      return std::none_of(waiting.begin(), waiting.end(), [&](size_t b) { return over[a][b]; });
    };
    auto next = std::find_if(waiting.begin(), waiting.end(), free);
    if (next == waiting.end()) next = waiting.begin();
    order.push_back(*next);
    waiting.erase(next);
  }
  return order;
}

}  // namespace moe::synth
