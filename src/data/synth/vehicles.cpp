// Cars and vans: a body with bonnet and boot, a narrower cabin with windows on it, wheels, lamps, plates.
#include <algorithm>
#include <utility>

#include "data/synth/actors.h"

namespace moe::synth {

static const Rgb black_trim = rgb(0x17181B), plate = rgb(0xE8EAF0), chrome = rgb(0xB9BEC6);

// Paints wheels of the side turned away, then the body, then those that face the camera.
template <typename Body>
static void between_wheels(Painter& painter, const Frame& frame, const std::vector<Wheel>& wheels, Rgb rim, Body body) {
  for (const Wheel& wheel : wheels) {
    for (const Side side : {Side::left, Side::right}) wheel_tread(painter, frame, wheel, side);
  }
  body();
  for (const Wheel& wheel : wheels) {
    for (const Side side : {Side::left, Side::right}) wheel_face(painter, frame, wheel, side, rim);
  }
}

struct CarShape {
  double half_length, half_width, height;
  double sill = 0.22, waist;                 // heights of the lower and upper edge of the body
  double cowl, roof_front, roof_rear, tail;  // along: foot of the windscreen, roof, foot of the rear window
};

static CarShape car_shape(const Actor& actor, Rng& rng) {
  CarShape shape{actor.length / 2, actor.width / 2, actor.height, 0.22, 0, 0, 0, 0, 0};
  const double l = shape.half_length;
  shape.waist = actor.height * 0.6;
  shape.cowl = l * rng.uniform(0.38, 0.48);
  shape.roof_front = shape.cowl - rng.uniform(0.65, 0.85);
  const bool hatchback = rng.chance(0.5);
  shape.tail = hatchback ? -l * 0.97 : -l * rng.uniform(0.66, 0.76);
  shape.roof_rear = shape.tail + (hatchback ? rng.uniform(0.25, 0.45) : rng.uniform(0.5, 0.75));
  return shape;
}

static Prism car_body(const Frame& frame, const CarShape& s) {
  const double l = s.half_length, w = s.half_width, waist = s.waist;
  return Prism(frame, {{-l + 0.12, s.sill, w - 0.05},
                       {l - 0.12, s.sill, w - 0.05},
                       {l, s.sill + 0.25, w},
                       {l - 0.06, waist * 0.74, w},
                       {s.cowl, waist, w - 0.02},
                       {-l + 0.1, waist, w - 0.02},
                       {-l, waist * 0.72, w}});
}
// Strips of car_body by what they carry.
static constexpr size_t car_bumper = 1, car_nose = 2, car_bonnet = 3, car_boot = 4, car_tail = 5, car_rear_bumper = 6;

static Prism car_cabin(const Frame& frame, const CarShape& s) {
  const double w = s.half_width;
  return Prism(frame, {{s.tail, s.waist, w - 0.06},
                       {s.cowl, s.waist, w - 0.06},
                       {s.roof_front, s.height, w - 0.24},
                       {s.roof_rear, s.height, w - 0.24}});
}

static void mark_car_ends(Painter& painter, const Prism& body) {
  body.mark(painter, car_bumper, {-1, 0, 1, 0.9}, Finish(black_trim, black_trim, 0.85));
  body.mark(painter, car_nose, {-0.55, 0.15, 0.55, 0.75}, black_trim);
  body.mark(painter, car_nose, {-0.5, 0.42, 0.5, 0.5}, chrome);
  body.mark(painter, car_bumper, {-0.28, 0.45, 0.28, 0.95}, plate);
  for (const double side : {-1.0, 1.0}) {
    lamp(painter, body, car_nose, {side * 0.6, 0.3, side * 0.96, 0.95}, white_light, 0.8);
    lamp(painter, body, car_tail, {side * 0.58, 0.1, side * 0.97, 0.75}, red_light, 0.5);
  }
  body.mark(painter, car_tail, {-0.28, 0.2, 0.28, 0.75}, plate);
  body.mark(painter, car_rear_bumper, {-1, 0.45, 1, 1}, Finish(black_trim, black_trim, 0.85));
}

static void mark_car_sides(Painter& painter, const Prism& body, const CarShape& s) {
  const double seam = (s.cowl + s.tail) / 2;
  for (const Side side : {Side::left, Side::right}) {
    const double l = s.half_length;
    body.mark(painter, side,
              {{-l + 0.15, s.sill}, {l - 0.15, s.sill}, {l - 0.1, s.sill + 0.1}, {-l + 0.1, s.sill + 0.1}}, black_trim);
    for (const double door : {s.cowl - 0.1, seam, s.tail + 0.5}) {
      body.mark(painter, side,
                {{door, s.sill + 0.1}, {door + 0.03, s.sill + 0.1}, {door + 0.03, s.waist}, {door, s.waist}},
                Finish(black_trim, black_trim, 0.45));
    }
    for (const double handle : {seam + 0.12, s.tail + 0.62}) {
      const double up = s.waist - 0.16;
      body.mark(painter, side, {{handle, up}, {handle + 0.2, up}, {handle + 0.2, up + 0.05}, {handle, up + 0.05}},
                chrome);
    }
  }
}

static void mark_car_windows(Painter& painter, const Prism& cabin, const CarShape& s) {
  const Finish pane = glass(painter.light());
  cabin.mark(painter, front_strip, {-0.9, 0.06, 0.9, 0.9}, pane);
  cabin.mark(painter, rear_strip, {-0.86, 0.1, 0.86, 0.9}, pane);
  const double low = s.waist + 0.05, high = s.height - 0.09;
  const auto slant = [&](double foot, double top, double up) {
    return foot + (top - foot) * (up - s.waist) / (s.height - s.waist);
  };
  const double pillar = (s.roof_front + s.roof_rear) / 2;
  for (const Side side : {Side::left, Side::right}) {
    cabin.mark(painter, side,
               {{pillar + 0.05, low},
                {slant(s.cowl, s.roof_front, low) - 0.14, low},
                {slant(s.cowl, s.roof_front, high) - 0.1, high},
                {pillar + 0.05, high}},
               pane);
    cabin.mark(painter, side,
               {{slant(s.tail, s.roof_rear, low) + 0.14, low},
                {pillar - 0.05, low},
                {pillar - 0.05, high},
                {slant(s.tail, s.roof_rear, high) + 0.1, high}},
               pane);
  }
}

static void paint_mirrors(Painter& painter, const Frame& frame, const CarShape& s, Rgb colour) {
  for (const double sign : {-1.0, 1.0}) {
    const Vec3 at = frame.at(s.cowl - 0.3, sign * (s.half_width + 0.02), s.waist + 0.08);
    painter.limb(at, at + frame.left * (sign * 0.12), 0.06, 0.07, colour);
  }
}

void paint_car(Painter& painter, const Actor& actor) {
  Rng rng = actor.looks;
  const Rgb colour = vary(rng,
                          pick(rng, {0xC62A2A, 0x2458A8, 0xECEEF0, 0xB8BEC6, 0x33373D, 0x1F6E54, 0xD9A21B, 0x8A8F98,
                                     0x4F86C6, 0x7A1F2B, 0xE9E2CF, 0xD8602A, 0x2B9AA0}),
                          0.08);
  const Frame frame = actor.frame();
  const CarShape shape = car_shape(actor, rng);
  const double l = shape.half_length;
  const std::vector<Wheel> wheels{{l * 0.62, shape.half_width + 0.01, 0.33, 0.22},
                                  {-l * 0.6, shape.half_width + 0.01, 0.33, 0.22}};
  const bool taxi = rng.chance(0.08);
  between_wheels(painter, frame, wheels, rgb(0xC2C6CC), [&] {
    const Prism body = car_body(frame, shape);
    body.draw(painter, paintwork(colour));
    mark_car_ends(painter, body);
    mark_car_sides(painter, body, shape);
    const Prism cabin = car_cabin(frame, shape);
    cabin.draw(painter, paintwork(colour));
    mark_car_windows(painter, cabin, shape);
    paint_mirrors(painter, frame, shape, colour);
    if (taxi)
      box(frame, -0.2, 0.1, shape.height, shape.height + 0.16, 0.3).draw(painter, Finish(rgb(0xFFD447)).emitting(0.5));
  });
}

// A tall body with a short sloping nose; the rear is glazed in a minibus and closed in a delivery van.
static Prism van_body(const Frame& frame, const Actor& actor) {
  const double l = actor.length / 2, w = actor.width / 2, h = actor.height;
  return Prism(frame, {{-l + 0.05, 0.3, w},
                       {l - 0.05, 0.3, w},
                       {l, 0.72, w},
                       {l - 0.18, 1.08, w},
                       {l - 0.75, 1.3, w - 0.02},
                       {l - 1.5, h, w - 0.14},
                       {-l + 0.1, h, w - 0.14}});
}
static constexpr size_t van_bumper = 1, van_nose = 2, van_screen = 4, van_rear = 6;

static void mark_van_sides(Painter& painter, const Prism& body, const Actor& actor, bool glazed, Rgb stripe) {
  const double l = actor.length / 2, low = 1.28, high = std::min(actor.height - 0.28, low + 0.68);
  const Finish pane = glass(painter.light());
  for (const Side side : {Side::left, Side::right}) {
    body.mark(painter, side, {{-l, 0.3}, {l - 0.1, 0.3}, {l - 0.1, 0.46}, {-l, 0.46}}, black_trim);
    body.mark(painter, side, {{l - 2.05, low}, {l - 0.92, low}, {l - 1.42, high}, {l - 2.05, high}}, pane);
    const double rear = -l + 0.3, front = l - 2.25, middle = (rear + front) / 2;
    if (glazed) {
      body.mark(painter, side, {{middle + 0.06, low}, {front, low}, {front, high}, {middle + 0.06, high}}, pane);
      body.mark(painter, side, {{rear, low}, {middle - 0.06, low}, {middle - 0.06, high}, {rear, high}}, pane);
    } else {
      body.mark(painter, side, {{rear, 1.0}, {front, 1.0}, {front, 1.22}, {rear, 1.22}}, stripe);
      body.mark(painter, side, {{front - 0.9, 1.35}, {front - 0.1, 1.35}, {front - 0.1, high}, {front - 0.9, high}},
                stripe);
    }
    body.mark(painter, side,
              {{front + 0.08, 0.5},
               {front + 0.12, 0.5},
               {front + 0.12, actor.height - 0.2},
               {front + 0.08, actor.height - 0.2}},
              Finish(black_trim, black_trim, 0.5));
  }
}

static void mark_van_ends(Painter& painter, const Prism& body, bool glazed) {
  const Finish pane = glass(painter.light());
  body.mark(painter, van_screen, {-0.9, 0.05, 0.9, 0.85}, pane);
  body.mark(painter, van_bumper, {-1, 0, 1, 0.55}, black_trim);
  body.mark(painter, van_bumper, {-0.26, 0.3, 0.26, 0.75}, plate);
  body.mark(painter, van_nose, {-0.5, 0.1, 0.5, 0.6}, black_trim);
  body.mark(painter, van_rear, {-1, 0.9, 1, 1}, black_trim);
  body.mark(painter, van_rear, {-0.25, 0.76, 0.25, 0.85}, plate);
  body.mark(painter, van_rear, {-0.015, 0.05, 0.015, 0.9}, Finish(black_trim, black_trim, 0.6));
  if (glazed) body.mark(painter, van_rear, {-0.82, 0.12, 0.82, 0.45}, pane);
  for (const double side : {-1.0, 1.0}) {
    if (!glazed) body.mark(painter, van_rear, {side * 0.12, 0.12, side * 0.8, 0.4}, pane);
    lamp(painter, body, van_nose, {side * 0.58, 0.1, side * 0.97, 0.85}, white_light, 0.85);
    lamp(painter, body, van_rear, {side * 0.86, 0.5, side * 0.99, 0.78}, red_light, 0.5);
  }
}

void paint_van(Painter& painter, const Actor& actor) {
  Rng rng = actor.looks;
  const Rgb colour = vary(rng, pick(rng, {0xF0F1F2, 0xF0F1F2, 0xC7CDD4, 0x3C5A86, 0xE3B23C, 0x6D7480, 0xB43A34}), 0.05);
  const Rgb stripe = vary(rng, pick(rng, {0x2B6CB0, 0xD14B3B, 0x2F855A, 0xDD8A1F}), 0.08);
  const bool glazed = rng.chance(0.4);
  const double l = actor.length / 2, w = actor.width / 2;
  const std::vector<Wheel> wheels{{l * 0.64, w + 0.01, 0.36, 0.24}, {-l * 0.6, w + 0.01, 0.36, 0.24}};
  between_wheels(painter, actor.frame(), wheels, rgb(0xAEB3BA), [&] {
    const Prism body = van_body(actor.frame(), actor);
    body.draw(painter, paintwork(colour));
    mark_van_sides(painter, body, actor, glazed, stripe);
    mark_van_ends(painter, body, glazed);
  });
}

}  // namespace moe::synth
