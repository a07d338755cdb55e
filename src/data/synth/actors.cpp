#include "data/synth/actors.h"

namespace moe::synth {

const char* type_name(Kind kind) {
  switch (kind) {
    case Kind::car:
      return "Car";
    case Kind::van:
      return "Van";
    case Kind::truck:
      return "Truck";
    case Kind::bus:
      return "Bus";
    case Kind::pedestrian:
      return "Pedestrian";
    case Kind::cyclist:
      return "Cyclist";
    case Kind::motorcyclist:
      return "Motorcyclist";
  }
  return "";
}

struct SizeRange {
  double length[2], width[2], height[2];  // metres
};

static SizeRange size_range(Kind kind) {
  switch (kind) {
    case Kind::car:
      return {{4.0, 4.8}, {1.76, 1.92}, {1.42, 1.68}};
    case Kind::van:
      return {{4.9, 5.6}, {1.95, 2.05}, {2.1, 2.5}};
    case Kind::truck:
      return {{6.6, 8.8}, {2.35, 2.5}, {3.0, 3.6}};
    case Kind::bus:
      return {{9.5, 11.8}, {2.5, 2.55}, {2.95, 3.2}};
    case Kind::pedestrian:
      return {{0.5, 0.6}, {0.55, 0.65}, {1.55, 1.88}};
    case Kind::cyclist:
      return {{1.75, 1.85}, {0.62, 0.7}, {1.72, 1.85}};
    case Kind::motorcyclist:
      return {{2.05, 2.2}, {0.8, 0.9}, {1.6, 1.75}};
  }
  return {};
}

Actor make_actor(Kind kind, Rng rng) {
  const SizeRange range = size_range(kind);
  Rng sizes = rng.child("size");
  Actor actor{kind, 0, 0, 0, 0, 0, 0, rng.child("looks")};
  actor.length = sizes.uniform(range.length[0], range.length[1]);
  actor.width = sizes.uniform(range.width[0], range.width[1]);
  actor.height = sizes.uniform(range.height[0], range.height[1]);
  return actor;
}

void paint_actor(Painter& painter, const Actor& actor) {
  switch (actor.kind) {
    case Kind::car:
      return paint_car(painter, actor);
    case Kind::van:
      return paint_van(painter, actor);
    case Kind::truck:
      return paint_truck(painter, actor);
    case Kind::bus:
      return paint_bus(painter, actor);
    case Kind::pedestrian:
      return paint_pedestrian(painter, actor);
    case Kind::cyclist:
      return paint_cyclist(painter, actor);
    case Kind::motorcyclist:
      return paint_motorcyclist(painter, actor);
  }
}

Rgb pick(Rng& rng, const std::vector<uint32_t>& colours) {
  return rgb(colours[static_cast<size_t>(rng.below(static_cast<int64_t>(colours.size())))]);
}

Rgb vary(Rng& rng, Rgb colour, double amount) {
  const double bright = 1 + rng.uniform(-amount, amount);
  const auto channel = [&](double value) {
    return std::fmin(1, std::fmax(0, value * bright + rng.uniform(-amount, amount) * 0.25));
  };
  const double r = channel(colour.r), g = channel(colour.g), b = channel(colour.b);
  return {r, g, b};
}

}  // namespace moe::synth
