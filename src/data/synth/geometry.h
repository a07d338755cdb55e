// Space of the generated scenes: vectors, a frame on the ground, a pinhole camera. World axes in metres: x to the
// right, y along the road, z up from the road surface. No lens distortion, no roll.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "image/canvas.h"

namespace moe::synth {

struct Vec3 {
  double x = 0, y = 0, z = 0;
};

inline Vec3 operator+(Vec3 a, Vec3 b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
inline Vec3 operator-(Vec3 a, Vec3 b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
inline Vec3 operator*(Vec3 a, double s) {
  return {a.x * s, a.y * s, a.z * s};
}
inline double dot(Vec3 a, Vec3 b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
inline Vec3 cross(Vec3 a, Vec3 b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline double length(Vec3 a) {
  return std::sqrt(dot(a, a));
}
inline Vec3 unit(Vec3 a) {
  return a * (1 / std::fmax(length(a), 1e-12));
}
inline Vec3 lerp(Vec3 a, Vec3 b, double t) {
  return a + (b - a) * t;
}

// A place on the ground and a direction there. heading: radians from the x axis, counter-clockwise seen from above.
struct Frame {
  Vec3 origin, forward, left;

  Frame(double x, double y, double heading)
      : origin{x, y, 0},
        forward{std::cos(heading), std::sin(heading), 0},
        left{-std::sin(heading), std::cos(heading), 0} {}
  Vec3 at(double along, double aside, double up) const {
    return origin + forward * along + left * aside + Vec3{0, 0, up};
  }
};

class Camera {
 public:
  // focal: pixels. yaw: radians to the right of the y axis. pitch: radians below the horizon.
  Camera(int64_t width, int64_t height, double focal, Vec3 position, double yaw, double pitch);

  const Vec3& position() const { return position_; }
  double width() const { return width_; }
  double height() const { return height_; }
  double depth(Vec3 point) const { return dot(point - position_, forward_); }  // metres along the optical axis
  double scale(double depth) const { return focal_ / depth; }                  // pixels a metre
  Point project(Vec3 point) const;                                             // depth must be positive
  // The polygon's picture, cut at the near plane; empty when it lies behind.
  std::vector<Point> project(const std::vector<Vec3>& polygon) const;
  // Metres along the optical axis to the ground seen in the middle of this pixel row; infinite above the horizon.
  double ground_depth(double row) const;
  double horizon() const;  // its pixel row

 private:
  double width_, height_, focal_;
  Vec3 position_, right_, down_, forward_;
};

// The convex hull, counter-clockwise with y up.
std::vector<Point> convex_hull(std::vector<Point> points);

// A rectangle on the ground: the space that a thing takes.
struct Footprint {
  double x = 0, y = 0, heading = 0, length = 0, width = 0;

  std::vector<Vec3> corners(double margin = 0) const;
};

bool overlap(const Footprint& a, const Footprint& b, double margin);

// Back to front: an order in which things standing on the ground can be painted over each other. For two things a line
// between their footprints decides: the one on the camera's side can only hide, not be hidden. Where footprints overlap
// and in cycles the farther centre comes first.
std::vector<size_t> paint_order(const std::vector<Footprint>& things, Vec3 camera);

}  // namespace moe::synth
