// What stands beside the road: buildings, trees, lamps, signs. None of it is labelled; it may hide what is.
#include <algorithm>

#include "data/synth/actors.h"
#include "data/synth/street.h"

namespace moe::synth {

struct Building {
  double near, far;    // y
  double face, depth;  // x of the facade on the street (signed), and how far it goes back
  double height;
};

static void paint_window(Painter& painter, const std::vector<Vec3>& pane, Vec3 normal, bool lit, Rgb frame) {
  painter.face(pane, normal, lit ? Finish(rgb(0xFFDFA0), rgb(0xE0A85A)).emitting(0.85) : glass(painter.light()));
  if (painter.camera().depth(pane[0]) > 45) return;
  const Vec3 foot = lerp(pane[0], pane[1], -0.08), end = lerp(pane[0], pane[1], 1.08);
  painter.face({foot, end, end - Vec3{0, 0, 0.12}, foot - Vec3{0, 0, 0.12}}, normal, Finish(frame));
}

// A wall from `a` to `b` on the ground, with rows of windows above a ground floor of shops or plinth.
static void paint_wall(Painter& painter, Vec3 a, Vec3 b, double height, Rgb colour, Rng rng) {
  const Vec3 up{0, 0, 1}, normal = unit(cross(b - a, up));
  if (!painter.faces_camera(a, normal)) return;
  const double span = length(b - a);
  painter.face({a, b, b + up * height, a + up * height}, normal, Finish(colour, colour * 0.9));
  painter.face({a, b, b + up * 0.5, a + up * 0.5}, normal, Finish(colour * 0.6));
  const Rgb trim = blend(colour, {1, 1, 1}, 0.45);
  const bool shop = rng.chance(0.45);
  const Rgb awning = vary(rng, pick(rng, {0xC0392B, 0x1F6F8B, 0x2E7D4F, 0xB9770E, 0x6C3483}), 0.1);
  const auto columns = static_cast<int64_t>(span / 2.6);
  const auto floors = std::min<int64_t>(static_cast<int64_t>((height - 0.6) / 3.1), 7);
  for (int64_t floor = 0; floor < floors; ++floor) {
    const double low = 0.9 + static_cast<double>(floor) * 3.1 + (floor == 0 ? 0 : 0.3);
    for (int64_t column = 0; column < columns; ++column) {
      const double left = (static_cast<double>(column) + 0.22) / static_cast<double>(columns);
      const double right =
          (static_cast<double>(column) + (shop && floor == 0 ? 0.92 : 0.74)) / static_cast<double>(columns);
      const Vec3 from = lerp(a, b, left), to = lerp(a, b, right);
      const bool lit = painter.light().lamps && rng.chance(0.4);
      paint_window(painter, {from + up * low, to + up * low, to + up * (low + 1.6), from + up * (low + 1.6)}, normal,
                   lit, trim);
    }
  }
  if (shop)
    painter.face({a + up * 2.75, b + up * 2.75, b + up * 3.3, a + up * 3.3}, normal, Finish(awning, awning * 0.8));
  painter.face({a + up * (height - 0.3), b + up * (height - 0.3), b + up * height, a + up * height}, normal,
               Finish(trim));
}

static void paint_gable_roof(Painter& painter, const Building& building, double side, Rgb colour) {
  const double middle = building.face + side * building.depth / 2, ridge = building.height + 2.2;
  const Vec3 near_eave{building.face - side * 0.3, building.near - 0.3, building.height},
      near_ridge{middle, building.near - 0.3, ridge};
  const Vec3 far_eave{building.face - side * 0.3, building.far, building.height},
      far_ridge{middle, building.far, ridge};
  const Vec3 back_eave{building.face + side * (building.depth + 0.3), building.near - 0.3, building.height};
  painter.face({near_eave, near_ridge, back_eave}, {0, -1, 0}, Finish(blend(colour, {1, 1, 1}, 0.35)));
  painter.face({near_eave, far_eave, far_ridge, near_ridge}, {-side, 0, 1}, Finish(colour));
}

static void paint_building(Painter& painter, const Building& building, bool house, Rng rng) {
  const double side = building.face > 0 ? 1 : -1, back = building.face + side * building.depth;
  const Rgb wall =
      vary(rng, pick(rng, {0xC9B79C, 0xB5654A, 0xD8D2C4, 0x9AA5AE, 0xA98467, 0xE2C9A1, 0x8F9B8A, 0xC58F6B}), 0.08);
  painter.begin(0, building.near);
  const Vec3 street_near{building.face, building.near, 0}, street_far{building.face, building.far, 0},
      back_near{back, building.near, 0};
  if (side > 0) {
    paint_wall(painter, street_near, back_near, building.height, wall, rng.child("end"));
    paint_wall(painter, street_far, street_near, building.height, wall, rng.child("front"));
  } else {
    paint_wall(painter, back_near, street_near, building.height, wall, rng.child("end"));
    paint_wall(painter, street_near, street_far, building.height, wall, rng.child("front"));
  }
  if (house) paint_gable_roof(painter, building, side, vary(rng, pick(rng, {0x9B4A35, 0x6B4A3A, 0x55606B}), 0.08));
}

static std::vector<Building> draw_row(const Street& street, double side, Rng& rng) {
  std::vector<Building> row;
  double y = rng.uniform(-2, 8);
  while (y < 150) {
    const double width = street.urban ? rng.uniform(11, 19) : rng.uniform(8, 11);
    Building building{y, y + width, side * (street.outer() + (street.urban ? 0.2 : rng.uniform(4, 7))),
                      rng.uniform(9, 13), 0};
    building.height = street.urban ? rng.uniform(9, 21) : rng.uniform(4.5, 6.5);
    y += width + (street.urban ? (rng.chance(0.2) ? rng.uniform(3, 7) : 0) : rng.uniform(8, 22));
    const bool on_side_road =
        street.junction && building.far > street.cross_near - 3 && building.near < street.cross_far + 3;
    if (!on_side_road)
      row.push_back(building);
    else if (building.near < street.cross_near - 9) {
      building.far = street.cross_near - 3;
      row.push_back(building);
      y = street.cross_far + 3;
    } else {
      y = street.cross_far + 3;
    }
  }
  std::reverse(row.begin(), row.end());
  return row;
}

// Distant roofs and tree tops where the road ends.
static void paint_skyline(Painter& painter, Rng& rng) {
  for (double x = -260; x < 260;) {
    const double width = rng.uniform(12, 34), height = rng.uniform(5, 24), y = rng.uniform(300, 340);
    painter.begin(0, 190);
    painter.face({{x, y, 0}, {x + width, y, 0}, {x + width, y, height}, {x, y, height}}, {0, -1, 0},
                 vary(rng, rgb(0x7E8A94), 0.1));
    x += width * rng.uniform(0.6, 1.1);
  }
  for (int tree = 0; tree < 40; ++tree) {
    painter.begin(0, 150);
    painter.ball({rng.uniform(-200, 200), 250, 2}, rng.uniform(3, 7), vary(rng, rgb(0x5F7F52), 0.12));
  }
}

void paint_buildings(Painter& painter, const Street& street, Rng rng) {
  paint_skyline(painter, rng);
  for (const double side : {-1.0, 1.0}) {
    Rng row_rng = rng.child(side < 0 ? "left" : "right");
    for (const Building& building : draw_row(street, side, row_rng)) {
      paint_building(painter, building, !street.urban,
                     row_rng.child("building", static_cast<uint64_t>(building.far * 100)));
    }
  }
}

static void add_row(std::vector<Prop>& props, const Street& street, Rng& rng, double x, double start, double step,
                    double end, const std::vector<PropKind>& kinds) {
  for (double y = start; y < end; y += step * rng.uniform(0.8, 1.25)) {
    if (street.junction && y > street.cross_near - 3 && y < street.cross_far + 3) continue;
    if (street.zebra && y > street.zebra_near - 1.5 && y < street.zebra_far + 1.5) continue;
    const PropKind kind = kinds[static_cast<size_t>(rng.below(static_cast<int64_t>(kinds.size())))];
    props.push_back({kind, x + rng.uniform(-0.2, 0.2), y, rng.uniform(0.8, 1.2), rng.child("prop", props.size())});
  }
}

std::vector<Prop> draw_props(const Street& street, Rng rng) {
  std::vector<Prop> props;
  using enum PropKind;
  const bool trees = rng.chance(street.urban ? 0.55 : 1);
  for (const double side : {-1.0, 1.0}) {
    add_row(props, street, rng, side * (street.half + 0.55), rng.uniform(16, 24), 19, 110, {lamp_post});
    if (trees)
      add_row(props, street, rng, side * (street.outer() - 0.5), rng.uniform(22, 28), street.urban ? 11 : 8, 120,
              {tree, tree, conifer});
    add_row(props, street, rng, side * (street.outer() - 0.4), rng.uniform(14, 20), 16, 60, {bin, bush, sign});
    if (!street.urban)
      add_row(props, street, rng, side * (street.outer() + 1.8), rng.uniform(12, 18), 5, 90,
              {bush, tree, bush, conifer});
  }
  if (street.junction) {
    props.push_back({traffic_light, street.half + 0.6, street.cross_near - 1.2, 1, rng.child("light", 0)});
    props.push_back({traffic_light, -street.half - 0.6, street.cross_far + 1.2, 1, rng.child("light", 1)});
  }
  return props;
}

static constexpr double lamp_height = 6.4, lamp_reach = 1.5;  // metres, towards the road

static Vec3 lamp_head(const Prop& prop) {
  return {prop.x - (prop.x > 0 ? lamp_reach : -lamp_reach), prop.y, lamp_height - 0.1};
}

void paint_prop_shadow(Painter& painter, const Prop& prop) {
  const Light& light = painter.light();
  const Finish dark({0.04, 0.05, 0.09}, {0.04, 0.05, 0.09}, light.shadow * 0.8, 1);
  const auto thrown = [&](double up) {
    const double reach = -up / std::fmax(light.to_sun.z, 0.25);
    return Vec3{prop.x + light.to_sun.x * reach, prop.y + light.to_sun.y * reach, 0};
  };
  if (prop.kind == PropKind::tree || prop.kind == PropKind::conifer) {
    painter.ground_disc(thrown(3.6 * prop.size), 1.5 * prop.size, 1.8 * prop.size, dark);
    painter.ground_disc({prop.x, prop.y, 0}, 0.5, 0.5, dark);
  } else if (prop.kind == PropKind::bush || prop.kind == PropKind::bin) {
    painter.ground_disc({prop.x, prop.y, 0}, 0.5, 0.4, dark);
  }
  if (prop.kind != PropKind::lamp_post || !light.lamps) return;
  const Vec3 head = lamp_head(prop);
  for (int ring = 0; ring < 14; ++ring) {
    const double radius = 6.2 - 0.4 * ring;
    painter.ground_disc({head.x, head.y, 0}, radius, radius, Finish(rgb(0xFFD69A), rgb(0xFFD69A), 0.026, 1));
  }
}

static void paint_tree(Painter& painter, const Prop& prop, Rng& rng) {
  const double s = prop.size;
  const Vec3 foot{prop.x, prop.y, 0};
  const Rgb green = vary(rng, pick(rng, {0x4F8A3C, 0x6A9E45, 0x3F7A46, 0x8AA544, 0xB98B3A}), 0.1);
  painter.limb(foot, foot + Vec3{0, 0, 2.6 * s}, 0.17 * s, 0.12 * s, rgb(0x6A4E38));
  for (int blob = 0; blob < 8; ++blob) {
    const double lift = rng.uniform(2.5, 4.9) * s, spread = (1.5 - std::abs(lift / s - 3.6) * 0.5) * s;
    const Vec3 at = foot + Vec3{rng.uniform(-1, 1) * spread * 0.8, rng.uniform(-0.6, 0.6) * spread, lift};
    painter.ball(at, rng.uniform(0.55, 0.95) * s, vary(rng, green, 0.07));
  }
}

static void paint_conifer(Painter& painter, const Prop& prop, Rng& rng) {
  const double s = prop.size;
  const Rgb green = vary(rng, rgb(0x2F6B45), 0.12);
  painter.limb({prop.x, prop.y, 0}, {prop.x, prop.y, 1.2 * s}, 0.14, 0.14, rgb(0x5A4330));
  for (int tier = 0; tier < 4; ++tier) {
    const double low = (0.8 + 1.05 * tier) * s, radius = (1.35 - 0.28 * tier) * s;
    painter.hull({{prop.x - radius, prop.y, low},
                  {prop.x + radius, prop.y, low},
                  {prop.x, prop.y - radius * 0.6, low - 0.12},
                  {prop.x, prop.y, low + 1.9 * s}},
                 Finish(blend(green, {1, 1, 1}, 0.1), green * 0.75));
  }
}

static void paint_lamp_post(Painter& painter, const Prop& prop) {
  const Rgb metal = rgb(0x59616A);
  const Vec3 foot{prop.x, prop.y, 0}, top{prop.x, prop.y, lamp_height}, head = lamp_head(prop);
  painter.limb(foot, top, 0.08, 0.06, metal);
  painter.limb(top, head + Vec3{0, 0, 0.15}, 0.05, 0.05, metal);
  const bool on = painter.light().lamps;
  painter.limb(head + Vec3{-0.25, 0, 0.08}, head + Vec3{0.25, 0, 0.08}, 0.08, 0.08,
               on ? Finish(rgb(0xFFF0C8)).emitting() : Finish(metal));
  if (on) painter.glow(head, 1.6, rgb(0xFFD38A), 0.7);
}

static void paint_sign(Painter& painter, const Prop& prop, Rng& rng) {
  const Vec3 foot{prop.x, prop.y, 0}, board{prop.x, prop.y - 0.05, 2.3};
  painter.limb(foot, foot + Vec3{0, 0, 2.5}, 0.035, 0.035, rgb(0x8A9098));
  const double choice = rng.uniform();
  if (choice < 0.4) {
    painter.ball(board, 0.33, Finish(rgb(0xC0262D)).emitting(0.1));
    painter.ball(board, 0.23, Finish(rgb(0xF4F4F0)).emitting(0.1));
  } else if (choice < 0.7) {
    painter.face({{prop.x - 0.36, prop.y, 2.0}, {prop.x + 0.36, prop.y, 2.0}, {prop.x, prop.y, 2.65}}, {0, -1, 0},
                 rgb(0xE8B51E));
  } else {
    painter.face({{prop.x - 0.3, prop.y, 2.0},
                  {prop.x + 0.3, prop.y, 2.0},
                  {prop.x + 0.3, prop.y, 2.6},
                  {prop.x - 0.3, prop.y, 2.6}},
                 {0, -1, 0}, rgb(0x2563B0));
  }
}

static void paint_traffic_light(Painter& painter, const Prop& prop, Rng& rng) {
  const Vec3 foot{prop.x, prop.y, 0};
  painter.limb(foot, foot + Vec3{0, 0, 3.4}, 0.06, 0.06, rgb(0x4A5058));
  box({prop.x, prop.y, 1.5708}, -0.14, 0.14, 2.5, 3.5, 0.17).draw(painter, Finish(rgb(0x22262B)));
  const Rgb colours[3] = {rgb(0x2ECC71), rgb(0xF5B021), rgb(0xF03A2E)};
  const auto on = rng.below(3);
  for (int64_t i = 0; i < 3; ++i) {
    const Vec3 at{prop.x, prop.y - 0.16, 2.68 + 0.31 * static_cast<double>(i)};
    const Rgb colour = colours[i];
    painter.ball(at, 0.11, i == on ? Finish(colour).emitting() : Finish(colour * 0.3));
    if (i == on) painter.glow(at, 0.35, colour, 0.4);
  }
}

static void paint_bush(Painter& painter, const Prop& prop, Rng& rng) {
  const Rgb green = vary(rng, rgb(0x557F3C), 0.15);
  for (int blob = 0; blob < 5; ++blob) {
    painter.ball({prop.x + rng.uniform(-0.45, 0.45), prop.y + rng.uniform(-0.3, 0.3), rng.uniform(0.3, 0.65)},
                 rng.uniform(0.28, 0.42), vary(rng, green, 0.08));
  }
}

void paint_prop(Painter& painter, const Prop& prop) {
  Rng rng = prop.looks;
  painter.begin(0, prop.y);
  switch (prop.kind) {
    case PropKind::tree:
      return paint_tree(painter, prop, rng);
    case PropKind::conifer:
      return paint_conifer(painter, prop, rng);
    case PropKind::lamp_post:
      return paint_lamp_post(painter, prop);
    case PropKind::sign:
      return paint_sign(painter, prop, rng);
    case PropKind::traffic_light:
      return paint_traffic_light(painter, prop, rng);
    case PropKind::bush:
      return paint_bush(painter, prop, rng);
    case PropKind::bin:
      return box({prop.x, prop.y, 1.5708}, -0.22, 0.22, 0, 0.95, 0.24, 0.02, 0.02, -0.03)
          .draw(painter, paintwork(vary(rng, rgb(0x3E7A5B), 0.1)));
  }
}

}  // namespace moe::synth
