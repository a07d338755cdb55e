// The place of a scene: a straight road along the y axis, at times crossed by another one; pavements, markings,
// buildings and street furniture. Traffic keeps to the right.
#pragma once

#include <vector>

#include "base/rng.h"
#include "data/synth/weather.h"

namespace moe::synth {

struct Street {
  double lane = 3.4;  // metres
  int64_t lanes_each_way = 1;
  double bicycle_lane = 0;  // width on each side; 0: none
  double half = 0;          // from the middle of the road to the kerb
  double pavement = 3;      // width on each side
  bool junction = false;    // a road of two lanes crosses between these y
  double cross_near = 0, cross_far = 0;
  bool zebra = false;  // a crossing for pedestrians, over the main road
  double zebra_near = 0, zebra_far = 0;
  bool urban = true;  // rows of buildings, or trees and single houses
  bool worn = false;  // patches and cracks

  double outer() const { return half + pavement; }
  double lane_middle(int64_t index) const { return (static_cast<double>(index) + 0.5) * lane; }
};

Street draw_street(Rng rng);

enum class PropKind { tree, conifer, lamp_post, sign, traffic_light, bush, bin };

struct Prop {
  PropKind kind;
  double x, y, size;
  Rng looks;

  Footprint footprint() const { return {x, y, 0, 0.3, 0.3}; }
};

void paint_ground(Painter& painter, const Street& street, const Weather& weather, Rng rng);
void paint_buildings(Painter& painter, const Street& street, Rng rng);
std::vector<Prop> draw_props(const Street& street, Rng rng);
void paint_prop_shadow(Painter& painter, const Prop& prop);  // and the pool of light below a lamp
void paint_prop(Painter& painter, const Prop& prop);

// Painted on the ground, where a solid of this footprint and height keeps the sun off.
void paint_shadow(Painter& painter, const Footprint& footprint, double height);

}  // namespace moe::synth
