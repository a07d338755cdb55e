#include "data/synth/solids.h"

#include <algorithm>
#include <numbers>

namespace moe::synth {

Vec3 Prism::on_strip(size_t strip, double u, double v) const {
  const Rib& a = ribs_[strip];
  const Rib& b = ribs_[(strip + 1) % ribs_.size()];
  const double half = a.half + (b.half - a.half) * v;
  return frame_.at(a.along + (b.along - a.along) * v, u * half, a.up + (b.up - a.up) * v);
}

double Prism::half_at(double up) const {
  const auto less = [](const Rib& a, const Rib& b) { return a.up < b.up; };
  const auto [low, high] = std::minmax_element(ribs_.begin(), ribs_.end(), less);
  return low->half + (high->half - low->half) * (up - low->up) / std::fmax(high->up - low->up, 1e-9);
}

Vec3 Prism::on_side(Side side, double along, double up) const {
  return frame_.at(along, static_cast<double>(side) * half_at(up), up);
}

Vec3 Prism::normal(size_t strip) const {
  const Rib& a = ribs_[strip];
  const Rib& b = ribs_[(strip + 1) % ribs_.size()];
  return frame_.forward * (b.up - a.up) + Vec3{0, 0, a.along - b.along};
}

bool Prism::shows(const Painter& painter, Side side) const {
  const double middle = (ribs_.front().up + ribs_[ribs_.size() / 2].up) / 2;
  return painter.faces_camera(on_side(side, ribs_.front().along, middle), frame_.left * static_cast<double>(side));
}

bool Prism::strip_shows(const Painter& painter, size_t strip) const {
  return painter.faces_camera(on_strip(strip, 0, 0.5), normal(strip));
}

// The silhouette first, so that no background shines through between two faces.
void Prism::draw(Painter& painter, const Finish& finish) const {
  std::vector<Vec3> corners;
  for (const Rib& rib : ribs_) {
    corners.push_back(frame_.at(rib.along, rib.half, rib.up));
    corners.push_back(frame_.at(rib.along, -rib.half, rib.up));
  }
  painter.hull(corners, Finish(finish.bottom * 0.7));
  for (const Side side : {Side::left, Side::right}) {
    if (!shows(painter, side)) continue;
    std::vector<Vec3> outline;
    for (const Rib& rib : ribs_) outline.push_back(frame_.at(rib.along, static_cast<double>(side) * rib.half, rib.up));
    painter.face(outline, frame_.left * static_cast<double>(side), finish);
  }
  for (size_t strip = 0; strip < ribs_.size(); ++strip) mark(painter, strip, {-1, 0, 1, 1}, finish);
}

void Prism::mark(Painter& painter, Side side, const std::vector<Point>& outline, const Finish& finish) const {
  if (!shows(painter, side)) return;
  std::vector<Vec3> polygon;
  for (const Point& point : outline) polygon.push_back(on_side(side, point.x, point.y));
  painter.face(polygon, frame_.left * static_cast<double>(side), finish);
}

void Prism::mark(Painter& painter, size_t strip, Patch patch, const Finish& finish) const {
  if (!strip_shows(painter, strip)) return;
  const auto at = [&](double u, double v) { return on_strip(strip, u, v); };
  painter.face({at(patch.u0, patch.v0), at(patch.u1, patch.v0), at(patch.u1, patch.v1), at(patch.u0, patch.v1)},
               normal(strip), finish);
}

Prism box(const Frame& frame, double rear, double front, double bottom, double top, double half, double rear_inset,
          double front_inset, double side_inset) {
  return Prism(frame, {{rear, bottom, half},
                       {front, bottom, half},
                       {front - front_inset, top, half - side_inset},
                       {rear + rear_inset, top, half - side_inset}});
}

static std::vector<Vec3> rim(const Frame& frame, const Wheel& wheel, double aside, double radius) {
  std::vector<Vec3> points;
  for (int i = 0; i < 16; ++i) {
    const double angle = i * std::numbers::pi / 8;
    points.push_back(frame.at(wheel.along + radius * std::cos(angle), aside, wheel.radius + radius * std::sin(angle)));
  }
  return points;
}

void wheel_tread(Painter& painter, const Frame& frame, const Wheel& wheel, Side side) {
  const double sign = static_cast<double>(side);
  std::vector<Vec3> points = rim(frame, wheel, sign * wheel.half, wheel.radius);
  const std::vector<Vec3> inner = rim(frame, wheel, sign * (wheel.half - wheel.width), wheel.radius);
  points.insert(points.end(), inner.begin(), inner.end());
  painter.hull(points, rgb(0x1B1B1E));
}

void wheel_face(Painter& painter, const Frame& frame, const Wheel& wheel, Side side, Rgb colour) {
  const double sign = static_cast<double>(side);
  const Vec3 normal = frame.left * sign;
  if (!painter.faces_camera(frame.at(wheel.along, sign * wheel.half, wheel.radius), normal)) return;
  const auto disc = [&](double share) { return rim(frame, wheel, sign * wheel.half, wheel.radius * share); };
  painter.face(disc(1), normal, rgb(0x232326));
  painter.face(disc(0.64), normal, Finish(colour, colour * 0.7));
  painter.face(disc(0.22), normal, colour * 0.5);
}

void tyre(Painter& painter, const Frame& frame, double along, double radius, double tube, Rgb colour) {
  constexpr int pieces = 16;
  const double middle = radius + tube;
  const auto at = [&](int i) {
    const double angle = 2 * std::numbers::pi * i / pieces;
    return frame.at(along + radius * std::cos(angle), 0, middle + radius * std::sin(angle));
  };
  for (int i = 0; i < pieces; ++i) painter.limb(at(i), at(i + 1), tube, tube, colour);
}

void lamp(Painter& painter, const Prism& prism, size_t strip, Patch patch, Rgb colour, double reach) {
  const bool on = painter.light().lamps;
  prism.mark(painter, strip, patch, Finish(colour).emitting(on ? 1 : 0.25));
  if (!on || !prism.strip_shows(painter, strip)) return;
  const Vec3 centre = prism.on_strip(strip, (patch.u0 + patch.u1) / 2, (patch.v0 + patch.v1) / 2);
  painter.glow(centre, reach, colour, 0.75);
}

Finish paintwork(Rgb colour) {
  return {blend(colour, {1, 1, 1}, 0.12), colour * 0.78};
}

Finish glass(const Light& light) {
  const Rgb dark = rgb(0x1A2530);
  return {blend(dark, light.haze, light.lamps ? 0.12 : 0.42), dark};
}

}  // namespace moe::synth
