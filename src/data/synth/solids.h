// Building blocks of vehicles: convex prisms across the direction of travel, markings on their faces, wheels, lamps.
#pragma once

#include <vector>

#include "data/synth/painter.h"

namespace moe::synth {

// One corner of a side profile: metres ahead of the middle, metres above the road, half the width there.
struct Rib {
  double along, up, half;
};

enum class Side { left = 1, right = -1 };

// A rectangle on a strip of a prism: u across from -1 (right) to 1 (left), v from the strip's first rib to its second.
struct Patch {
  double u0, v0, u1, v1;
};

// A convex profile, ribs in the order bottom rear, bottom front, upwards, back along the top, drawn out to both sides.
// Strip i lies between rib i and rib i + 1 (the last one closes the profile).
class Prism {
 public:
  Prism(const Frame& frame, std::vector<Rib> ribs) : frame_(frame), ribs_(std::move(ribs)) {}

  void draw(Painter& painter, const Finish& finish) const;
  bool shows(const Painter& painter, Side side) const;
  bool strip_shows(const Painter& painter, size_t strip) const;
  // A polygon of (along, up) on a side, or a patch on a strip; nothing when that face is turned away.
  void mark(Painter& painter, Side side, const std::vector<Point>& outline, const Finish& finish) const;
  void mark(Painter& painter, size_t strip, Patch patch, const Finish& finish) const;
  Vec3 on_strip(size_t strip, double u, double v) const;
  Vec3 on_side(Side side, double along, double up) const;

 private:
  Vec3 normal(size_t strip) const;
  double half_at(double up) const;

  Frame frame_;
  std::vector<Rib> ribs_;
};

// Rear, front: metres along the vehicle at the bottom; the top is shorter by the given insets.
Prism box(const Frame& frame, double rear, double front, double bottom, double top, double half, double rear_inset = 0,
          double front_inset = 0, double side_inset = 0);
inline constexpr size_t front_strip = 1, top_strip = 2, rear_strip = 3;  // of a box

struct Wheel {
  double along, half, radius, width;  // half: from the vehicle's middle to the outer face
};

void wheel_tread(Painter& painter, const Frame& frame, const Wheel& wheel, Side side);          // before the body
void wheel_face(Painter& painter, const Frame& frame, const Wheel& wheel, Side side, Rgb rim);  // after it
// A thin tyre seen from any side: bicycles and motorcycles. radius to the middle of the tube.
void tyre(Painter& painter, const Frame& frame, double along, double radius, double tube, Rgb colour);

// A patch that shines and spreads a glow when the lamps are on.
void lamp(Painter& painter, const Prism& prism, size_t strip, Patch patch, Rgb colour, double reach);

Finish paintwork(Rgb colour);      // lighter above, darker below
Finish glass(const Light& light);  // the sky in its upper end, dark below

}  // namespace moe::synth
