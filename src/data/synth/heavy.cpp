// Trucks and buses. A truck is a cab and a load on a frame; a bus is one long glazed body.
#include <algorithm>

#include "data/synth/actors.h"

namespace moe::synth {

static const Rgb black_trim = rgb(0x17181B), plate = rgb(0xE8EAF0), steel = rgb(0x9AA1AA);

static void paint_treads(Painter& painter, const Frame& frame, const std::vector<Wheel>& wheels) {
  for (const Wheel& wheel : wheels) {
    for (const Side side : {Side::left, Side::right}) wheel_tread(painter, frame, wheel, side);
  }
}

static void paint_wheels(Painter& painter, const Frame& frame, const std::vector<Wheel>& wheels) {
  for (const Wheel& wheel : wheels) {
    for (const Side side : {Side::left, Side::right}) wheel_face(painter, frame, wheel, side, rgb(0xB5B9BF));
  }
}

static std::vector<Point> panel(double rear, double front, double low, double high) {
  return {{rear, low}, {front, low}, {front, high}, {rear, high}};
}

// From `rear` to the vehicle's nose; about two metres long.
static void paint_cab(Painter& painter, const Actor& actor, double rear, Rgb colour) {
  const double l = actor.length / 2, w = actor.width / 2 - 0.04, top = std::min(actor.height - 0.1, 2.85);
  const Prism lower = box(actor.frame(), rear, l, 0.45, 1.55, w, 0, 0.05);
  const Prism upper = box(actor.frame(), rear, l - 0.05, 1.55, top, w, 0.1, 0.3, 0.1);
  const Finish pane = glass(painter.light());
  lower.draw(painter, paintwork(colour));
  upper.draw(painter, paintwork(colour));
  upper.mark(painter, front_strip, {-0.9, 0.08, 0.9, 0.72}, pane);
  lower.mark(painter, front_strip, {-1, 0, 1, 0.28}, Finish(black_trim));
  lower.mark(painter, front_strip, {-0.6, 0.42, 0.6, 0.86}, black_trim);
  lower.mark(painter, front_strip, {-0.56, 0.6, 0.56, 0.66}, steel);
  lower.mark(painter, front_strip, {-0.22, 0.1, 0.22, 0.24}, plate);
  for (const double side : {-1.0, 1.0})
    lamp(painter, lower, front_strip, {side * 0.66, 0.3, side * 0.96, 0.5}, white_light, 1.0);
  for (const Side side : {Side::left, Side::right}) {
    upper.mark(painter, side, panel(rear + 0.5, l - 0.4, 1.62, top - 0.45), pane);
    lower.mark(painter, side, panel(rear + 0.42, rear + 0.46, 0.7, 1.55), Finish(black_trim, black_trim, 0.5));
    lower.mark(painter, side, panel(rear, l, 0.45, 0.62), black_trim);
  }
}

static void mark_cargo_rear(Painter& painter, const Prism& load) {
  load.mark(painter, rear_strip, {-0.02, 0.02, 0.02, 0.98}, Finish(black_trim, black_trim, 0.6));
  load.mark(painter, rear_strip, {-0.94, 0.04, 0.94, 0.07}, Finish(black_trim, black_trim, 0.4));
  for (const double bolt : {-0.35, 0.35}) load.mark(painter, rear_strip, {bolt - 0.02, 0.1, bolt + 0.02, 0.95}, steel);
}

// A closed box with ribs or a broad stripe.
static void paint_box_load(Painter& painter, const Actor& actor, double front, Rgb colour, Rgb stripe, bool ribbed) {
  const double rear = -actor.length / 2, w = actor.width / 2, high = actor.height;
  const Prism load = box(actor.frame(), rear, front, 1.0, high, w);
  load.draw(painter, paintwork(colour));
  mark_cargo_rear(painter, load);
  for (const Side side : {Side::left, Side::right}) {
    if (!ribbed) load.mark(painter, side, panel(rear + 0.3, front - 0.3, 1.55, 2.15), stripe);
    for (double x = rear + 0.5; ribbed && x < front - 0.2; x += 0.5) {
      load.mark(painter, side, panel(x, x + 0.08, 1.05, high - 0.08), Finish(colour * 0.62));
    }
  }
}

// An open bed with sand or crates on it.
static void paint_open_load(Painter& painter, const Actor& actor, double front, Rgb colour, Rgb load_colour) {
  const double rear = -actor.length / 2, w = actor.width / 2, wall = actor.height * 0.62;
  const Prism bed = box(actor.frame(), rear, front, 1.0, wall, w);
  bed.draw(painter, paintwork(colour));
  for (const Side side : {Side::left, Side::right}) {
    for (double x = rear + 0.1; x < front - 0.1; x += 0.9)
      bed.mark(painter, side, panel(x, x + 0.1, 1.0, wall), colour * 0.6);
  }
  const double span = front - rear;
  box(actor.frame(), rear + 0.12, front - 0.12, wall, wall + 0.45, w - 0.12, span * 0.3, span * 0.25, 0.6)
      .draw(painter, Finish(load_colour, load_colour * 0.7));
}

// A lying cylinder, as a prism of eight edges drawn along the truck.
static void paint_tank_load(Painter& painter, const Actor& actor, double front, Rgb colour) {
  const double rear = -actor.length / 2 + 0.1, w = actor.width / 2, low = 1.05, high = actor.height - 0.25;
  const double shoulder = low + (high - low) * 0.35, neck = low + (high - low) * 0.72;
  const Frame frame = actor.frame();
  box(frame, rear, front, low, shoulder, w - 0.1, 0, 0, -0.1).draw(painter, Finish(colour * 0.8, colour * 0.5));
  box(frame, rear, front, shoulder, neck, w).draw(painter, Finish(blend(colour, {1, 1, 1}, 0.25), colour * 0.85));
  box(frame, rear, front, neck, high, w, 0.1, 0.1, 0.55).draw(painter, Finish(colour));
  for (const double x : {rear + 0.6, (rear + front) / 2, front - 0.8}) {
    box(frame, x, x + 0.5, high, high + 0.14, 0.3).draw(painter, steel);
  }
}

static void paint_truck_rear(Painter& painter, const Actor& actor) {
  const double l = actor.length / 2;
  const Prism bumper = box(actor.frame(), -l, l - 2.2, 0.55, 1.0, actor.width / 2 - 0.12);
  bumper.draw(painter, Finish(rgb(0x2A2D33), rgb(0x17181B)));
  bumper.mark(painter, rear_strip, {-0.2, 0.3, 0.2, 0.75}, plate);
  for (const double side : {-1.0, 1.0})
    lamp(painter, bumper, rear_strip, {side * 0.62, 0.2, side * 0.95, 0.75}, red_light, 0.6);
}

void paint_truck(Painter& painter, const Actor& actor) {
  Rng rng = actor.looks;
  const Rgb cab = vary(rng, pick(rng, {0xD6432F, 0x2C5FA8, 0xF2F2F0, 0xE7A824, 0x2F7D5B, 0x6B7683}), 0.07);
  const Rgb load = vary(rng, pick(rng, {0xF2F2EE, 0xD9DDE2, 0x3F74B5, 0xC9573F, 0x4F8F5F, 0xE0B04A}), 0.06);
  const Rgb stripe = vary(rng, pick(rng, {0x2B6CB0, 0xD14B3B, 0x2F855A, 0xF0932B}), 0.08);
  const double choice = rng.uniform();
  const double l = actor.length / 2, w = actor.width / 2, cab_rear = l - 2.0, gap = cab_rear - 0.15;
  const std::vector<Wheel> wheels{{l - 1.1, w, 0.5, 0.32}, {-l + 1.5, w, 0.5, 0.5}, {-l + 2.6, w, 0.5, 0.5}};
  paint_treads(painter, actor.frame(), wheels);
  paint_truck_rear(painter, actor);
  const auto paint_load = [&] {
    if (choice < 0.62) return paint_box_load(painter, actor, gap, load, stripe, choice < 0.28);
    if (choice < 0.84) return paint_open_load(painter, actor, gap, load, pick(rng, {0xC9A66B, 0x8C7A66, 0x6F5B4A}));
    paint_tank_load(painter, actor, gap, blend(load, steel, 0.5));
  };
  const bool cab_behind = painter.faces_camera(actor.frame().at(-l, 0, 1), actor.frame().forward * -1);
  if (cab_behind) paint_cab(painter, actor, cab_rear, cab);
  paint_load();
  if (!cab_behind) paint_cab(painter, actor, cab_rear, cab);
  paint_wheels(painter, actor.frame(), wheels);
}

static void mark_bus_side(Painter& painter, const Prism& body, const Actor& actor, Side side, Rgb livery) {
  const double l = actor.length / 2, low = 1.35, high = actor.height - 0.45;
  const Finish pane =
      painter.light().lamps ? Finish(rgb(0xFFE9B0), rgb(0xC9A35A)).emitting(0.55) : glass(painter.light());
  body.mark(painter, side, panel(-l, l, 0.35, 0.5), black_trim);
  body.mark(painter, side, panel(-l, l, 0.82, 1.12), livery);
  body.mark(painter, side, panel(-l + 0.15, l - 0.1, low - 0.08, high + 0.08), black_trim);
  const int64_t panes = static_cast<int64_t>((actor.length - 0.6) / 1.35);
  const double step = (actor.length - 0.5) / static_cast<double>(panes);
  for (int64_t i = 0; i < panes; ++i) {
    const double rear = -l + 0.25 + static_cast<double>(i) * step;
    const bool door = side == Side::right && (i == panes - 1 || i == panes / 2 - 1);
    body.mark(painter, side, panel(rear + 0.06, rear + step - 0.06, door ? 0.5 : low, high), pane);
    if (door) body.mark(painter, side, panel(rear + step / 2 - 0.03, rear + step / 2 + 0.03, 0.5, high), black_trim);
  }
}

static void mark_bus_ends(Painter& painter, const Prism& body, Rgb livery) {
  const Finish pane = glass(painter.light());
  body.mark(painter, front_strip, {-0.93, 0.3, 0.93, 0.8}, pane);
  body.mark(painter, front_strip, {-0.6, 0.84, 0.6, 0.95}, black_trim);
  body.mark(painter, front_strip, {-0.45, 0.865, 0.35, 0.925}, Finish(amber_light).emitting());
  body.mark(painter, front_strip, {-1, 0.16, 1, 0.22}, livery);
  body.mark(painter, front_strip, {-1, 0, 1, 0.05}, black_trim);
  body.mark(painter, front_strip, {-0.2, 0.06, 0.2, 0.12}, plate);
  body.mark(painter, rear_strip, {-0.8, 0.12, 0.8, 0.45}, pane);
  body.mark(painter, rear_strip, {-0.7, 0.58, 0.7, 0.8}, livery * 0.8);
  body.mark(painter, rear_strip, {-0.2, 0.86, 0.2, 0.92}, plate);
  for (const double side : {-1.0, 1.0}) {
    lamp(painter, body, front_strip, {side * 0.66, 0.08, side * 0.94, 0.15}, white_light, 1.0);
    lamp(painter, body, rear_strip, {side * 0.84, 0.55, side * 0.96, 0.82}, red_light, 0.6);
  }
}

void paint_bus(Painter& painter, const Actor& actor) {
  Rng rng = actor.looks;
  const Rgb colour = vary(rng, pick(rng, {0xE9B42C, 0xD23F31, 0x2E8BC0, 0x3E9B5B, 0xF1F1EC, 0xE8743B}), 0.05);
  const Rgb livery = vary(rng, pick(rng, {0xFFFFFF, 0x1F3A5F, 0xB7312C, 0x226F54}), 0.05);
  const double l = actor.length / 2, w = actor.width / 2;
  const std::vector<Wheel> wheels{{l - 2.4, w + 0.01, 0.48, 0.3}, {-l + 2.6, w + 0.01, 0.48, 0.3}};
  paint_treads(painter, actor.frame(), wheels);
  const Prism body = box(actor.frame(), -l, l, 0.35, actor.height, w, 0.05, 0.12, 0.06);
  body.draw(painter, paintwork(colour));
  for (const Side side : {Side::left, Side::right}) mark_bus_side(painter, body, actor, side, livery);
  mark_bus_ends(painter, body, livery);
  const Finish roof(rgb(0xE4E6E8), rgb(0xB9BDC2));
  box(actor.frame(), -l * 0.75, -l * 0.35, actor.height, actor.height + 0.22, w * 0.6, 0.1, 0.1, 0.1)
      .draw(painter, roof);
  box(actor.frame(), l * 0.1, l * 0.45, actor.height, actor.height + 0.18, w * 0.55, 0.1, 0.1, 0.1).draw(painter, roof);
  paint_wheels(painter, actor.frame(), wheels);
}

}  // namespace moe::synth
