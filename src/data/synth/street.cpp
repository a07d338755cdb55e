// The ground: lawn, pavements, asphalt, markings, shadows. Everything here is flat.
#include "data/synth/street.h"

#include <algorithm>

#include "data/synth/actors.h"

namespace moe::synth {

static constexpr double street_end = 320, side_end = 150;  // metres: how far the two roads reach

Street draw_street(Rng rng) {
  Street street;
  street.lanes_each_way = rng.chance(0.55) ? 2 : 1;
  street.lane = rng.uniform(3.2, 3.6);
  street.bicycle_lane = rng.chance(0.55) ? rng.uniform(1.6, 2.0) : 0;
  street.half = static_cast<double>(street.lanes_each_way) * street.lane + street.bicycle_lane + 0.3;
  street.pavement = rng.uniform(2.6, 4.2);
  street.junction = rng.chance(0.5);
  street.cross_near = rng.uniform(19, 27);
  street.cross_far = street.cross_near + rng.uniform(7.5, 9);
  street.zebra = rng.chance(street.junction ? 0.8 : 0.35);
  street.zebra_near = street.junction ? street.cross_near - 4.2 : rng.uniform(15, 24);
  street.zebra_far = street.zebra_near + 3.2;
  street.urban = rng.chance(0.65);
  street.worn = rng.chance(0.6);
  return street;
}

static void rectangle(Painter& painter, double left, double right, double near, double far, const Finish& finish) {
  painter.ground({{left, near, 0}, {right, near, 0}, {right, far, 0}, {left, far, 0}}, finish);
}

static bool in_junction(const Street& street, double y) {
  return street.junction && y > street.cross_near - 1 && y < street.cross_far + 1;
}

static Rgb asphalt(const Weather& weather, Rng& rng) {
  return vary(rng, rgb(weather.rain ? 0x4B4F55 : 0x686A6D), 0.06);
}

static void paint_surfaces(Painter& painter, const Street& street, Rgb road, Rng& rng) {
  const Rgb lawn = vary(rng, rgb(street.urban ? 0x9A978F : 0x6F9A4C), 0.08), slabs = vary(rng, rgb(0xB4ADA2), 0.06);
  rectangle(painter, -400, 400, -5, 900, lawn);
  const double outer = street.outer(), half = street.half;
  rectangle(painter, -outer, outer, -5, street_end, slabs);
  if (street.junction) rectangle(painter, -side_end, side_end, street.cross_near - 2.6, street.cross_far + 2.6, slabs);
  rectangle(painter, -half, half, -5, street_end, road);
  if (street.junction) rectangle(painter, -side_end, side_end, street.cross_near, street.cross_far, road);
  if (street.bicycle_lane > 0) {
    const Rgb track = blend(road, vary(rng, rgb(rng.chance(0.5) ? 0x9C4B3C : 0x4C8060), 0.05), 0.55);
    for (const double side : {-1.0, 1.0}) {
      rectangle(painter, side * (half - 0.1), side * (half - 0.1 - street.bicycle_lane), -5,
                street.junction ? street.cross_near : street_end, track);
    }
  }
}

static void paint_slab_joints(Painter& painter, const Street& street) {
  const Finish joint(rgb(0x8B857B), rgb(0x8B857B), 0.55);
  for (double y = 4; y < 46; y += 1.5) {
    if (in_junction(street, y) || in_junction(street, y + 2) || in_junction(street, y - 2)) continue;
    for (const double side : {-1.0, 1.0})
      rectangle(painter, side * street.half, side * street.outer(), y, y + 0.07, joint);
  }
  for (const double side : {-1.0, 1.0}) {
    const double middle = side * (street.half + street.pavement / 2);
    rectangle(painter, middle - 0.035, middle + 0.035, 2, street.junction ? street.cross_near - 2.6 : 60, joint);
  }
}

static void paint_kerbs(Painter& painter, const Street& street) {
  const Finish kerb(rgb(0xD6D2C8)), gutter(rgb(0x4A4A4A), rgb(0x4A4A4A), 0.6);
  const auto along = [&](double near, double far) {
    for (const double side : {-1.0, 1.0}) {
      rectangle(painter, side * street.half, side * (street.half + 0.24), near, far, kerb);
      rectangle(painter, side * street.half, side * (street.half - 0.1), near, far, gutter);
    }
  };
  along(-5, street.junction ? street.cross_near : street_end);
  if (!street.junction) return;
  along(street.cross_far, street_end);
  for (const double side : {-1.0, 1.0}) {
    rectangle(painter, side * street.half, side * side_end, street.cross_near - 0.22, street.cross_near, kerb);
    rectangle(painter, side * street.half, side * side_end, street.cross_far, street.cross_far + 0.22, kerb);
  }
}

static void paint_wear(Painter& painter, const Street& street, Rgb road, Rng& rng) {
  for (int64_t patch = rng.below(5); patch >= 0; --patch) {
    const double x = rng.uniform(-street.half + 1, street.half - 2), y = rng.uniform(6, 50);
    const Rgb colour = road * rng.uniform(0.78, 1.12);
    rectangle(painter, x, x + rng.uniform(0.8, 2.2), y, y + rng.uniform(1.5, 7), Finish(colour, colour, 0.8));
  }
  for (int64_t crack = rng.below(4); crack > 0; --crack) {
    double x = rng.uniform(-street.half, street.half - 1), y = rng.uniform(8, 35);
    for (int piece = 0; piece < 6; ++piece) {
      const double to_x = x + rng.uniform(-0.5, 0.7), to_y = y + rng.uniform(0.3, 1.4);
      painter.ground({{x, y, 0}, {x + 0.09, y, 0}, {to_x + 0.09, to_y, 0}, {to_x, to_y, 0}},
                     Finish(road * 0.6, road * 0.6, 0.8));
      x = to_x, y = to_y;
    }
  }
  for (int64_t cover = rng.below(3); cover > 0; --cover) {
    const Vec3 at{rng.uniform(-street.half + 1, street.half - 1), rng.uniform(9, 40), 0};
    painter.ground_disc(at, 0.38, 0.38, Finish(road * 0.55));
    painter.ground_disc(at, 0.28, 0.28, Finish(road * 0.75));
  }
}

static void paint_dashes(Painter& painter, const Street& street, double x, const Finish& paint, double dash,
                         double gap) {
  for (double y = 1; y < 120; y += dash + gap) {
    if (in_junction(street, y) || in_junction(street, y + dash)) continue;
    if (street.zebra && y + dash > street.zebra_near - 1 && y < street.zebra_far + 1) continue;
    rectangle(painter, x - 0.08, x + 0.08, y, y + dash, paint);
  }
}

static void paint_arrow(Painter& painter, double x, double y, double direction, const Finish& paint) {
  const auto at = [&](double dx, double dy) { return Vec3{x + dx, y + direction * dy, 0}; };
  painter.ground({at(-0.1, -1.6), at(0.1, -1.6), at(0.1, 0.6), at(-0.1, 0.6)}, paint);
  painter.ground({at(-0.4, 0.5), at(0.4, 0.5), at(0, 1.7)}, paint);
}

static void paint_crossing(Painter& painter, const Street& street, const Finish& paint) {
  for (double x = -street.half + 0.5; x < street.half - 0.6; x += 1.05)
    rectangle(painter, x, x + 0.55, street.zebra_near, street.zebra_far, paint);
  rectangle(painter, 0.2, street.half - street.bicycle_lane - 0.2, street.zebra_near - 1.4, street.zebra_near - 1.05,
            paint);
}

static void paint_markings(Painter& painter, const Street& street, Rng& rng) {
  const Finish white(rgb(0xEDEDE6), rgb(0xEDEDE6), rng.uniform(0.7, 0.95));
  const Finish centre = rng.chance(0.5) ? Finish(rgb(0xE8B93A), rgb(0xE8B93A), white.alpha) : white;
  const double near_end = street.junction ? street.cross_near - 1 : street_end,
               far_start = street.junction ? street.cross_far + 1 : street_end;
  for (const double x : {-0.14, 0.14}) {
    rectangle(painter, x - 0.06, x + 0.06, -5, street.zebra ? street.zebra_near - 0.6 : near_end, centre);
    rectangle(painter, x - 0.06, x + 0.06,
              street.zebra ? std::max(street.zebra_far + 0.6, far_start * street.junction) : far_start, street_end,
              centre);
  }
  for (int64_t lane = 1; lane <= street.lanes_each_way; ++lane) {
    const bool edge = lane == street.lanes_each_way;
    if (edge && street.bicycle_lane == 0) continue;
    const double x = static_cast<double>(lane) * street.lane;
    for (const double side : {-1.0, 1.0})
      paint_dashes(painter, street, side * x, white, edge ? 1.0 : 2.5, edge ? 0.8 : 3.5);
  }
  if (street.junction) {
    const double middle = (street.cross_near + street.cross_far) / 2;
    for (double x = street.half + 1; x < 70; x += 5) {
      for (const double side : {-1.0, 1.0})
        rectangle(painter, side * x, side * (x + 2.5), middle - 0.07, middle + 0.07, white);
    }
  }
  if (rng.chance(0.6)) {
    for (int64_t lane = 0; lane < street.lanes_each_way; ++lane) {
      paint_arrow(painter, street.lane_middle(lane), 11.5, 1, white);
      paint_arrow(painter, -street.lane_middle(lane), 38, -1, white);
    }
  }
  if (street.zebra) paint_crossing(painter, street, Finish(rgb(0xF2F2EC), rgb(0xF2F2EC), 0.92));
}

void paint_ground(Painter& painter, const Street& street, const Weather& weather, Rng rng) {
  painter.begin(0, 0);
  const Rgb road = asphalt(weather, rng);
  paint_surfaces(painter, street, road, rng);
  paint_slab_joints(painter, street);
  if (street.worn) paint_wear(painter, street, road, rng);
  paint_kerbs(painter, street);
  paint_markings(painter, street, rng);
}

void paint_shadow(Painter& painter, const Footprint& footprint, double height) {
  const Light& light = painter.light();
  const double reach = -height / std::fmax(light.to_sun.z, 0.25);
  const auto cast = [&](double margin, double opacity) {
    std::vector<Point> points;
    for (const Vec3& corner : footprint.corners(margin)) {
      points.push_back({corner.x, corner.y});
      points.push_back({corner.x + light.to_sun.x * reach, corner.y + light.to_sun.y * reach});
    }
    std::vector<Vec3> outline;
    for (const Point& point : convex_hull(std::move(points))) outline.push_back({point.x, point.y, 0});
    painter.ground(outline, Finish({0.04, 0.05, 0.09}, {0.04, 0.05, 0.09}, opacity).emitting());
  };
  cast(0.12, light.shadow * 0.4);
  cast(-0.05, light.shadow * 0.7);
  const Finish below({0.02, 0.02, 0.03}, {0.02, 0.02, 0.03}, 0.28, 1);
  painter.ground(footprint.corners(0.15), below.with_alpha(0.16));
  painter.ground(footprint.corners(0.0), below);
}

}  // namespace moe::synth
