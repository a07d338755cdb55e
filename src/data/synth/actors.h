// What moves in a generated scene: its kinds, sizes and how each is painted. Placement is scene.cpp's concern.
#pragma once

#include <string>

#include "base/rng.h"
#include "data/synth/solids.h"

namespace moe::synth {

enum class Kind { car, van, truck, bus, pedestrian, cyclist, motorcyclist };
inline constexpr int64_t kind_count = 7;
const char* type_name(Kind kind);  // DAIR-V2X's

struct Actor {
  Kind kind;
  double x = 0, y = 0, heading = 0;          // metres, metres, radians
  double length = 0, width = 0, height = 0;  // metres
  Rng looks;                                 // colours and details

  Frame frame() const { return {x, y, heading}; }
  Footprint footprint() const { return {x, y, heading, length, width}; }
};

Actor make_actor(Kind kind, Rng rng);  // at the origin, with the size of its kind

// The painter's owner and depth are already set.
void paint_car(Painter& painter, const Actor& actor);
void paint_van(Painter& painter, const Actor& actor);
void paint_truck(Painter& painter, const Actor& actor);
void paint_bus(Painter& painter, const Actor& actor);
void paint_pedestrian(Painter& painter, const Actor& actor);
void paint_cyclist(Painter& painter, const Actor& actor);
void paint_motorcyclist(Painter& painter, const Actor& actor);
void paint_actor(Painter& painter, const Actor& actor);

// Colours, by chance.
Rgb pick(Rng& rng, const std::vector<uint32_t>& colours);
Rgb vary(Rng& rng, Rgb colour, double amount);  // brightness and tint, +- amount

inline const Rgb white_light = rgb(0xFFF4D6), red_light = rgb(0xFF2A1E), amber_light = rgb(0xFFA51E);

}  // namespace moe::synth
