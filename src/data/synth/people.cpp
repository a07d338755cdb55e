// Pedestrians, cyclists and motorcyclists: figures of rounded sticks, and two-wheelers of tubes and tyres.
#include <algorithm>
#include <numbers>

#include "data/synth/actors.h"

namespace moe::synth {

struct Clothes {
  Rgb skin, shirt, trousers, shoes, hair;
};

static Clothes dress(Rng& rng) {
  Clothes clothes;
  clothes.skin = pick(rng, {0xF1C9A5, 0xE0AC7E, 0xC68642, 0x8D5524, 0xF3D2B8});
  clothes.shirt = vary(
      rng, pick(rng, {0xD64541, 0x2E86C1, 0xF4D03F, 0x27AE60, 0xECF0F1, 0x8E44AD, 0xE67E22, 0x34495E, 0xE884A8}), 0.1);
  clothes.trousers = vary(rng, pick(rng, {0x2C3E50, 0x1F2A44, 0x5D6D7E, 0x7B5B3A, 0x3A3A3C, 0xB8A88A}), 0.1);
  clothes.shoes = pick(rng, {0x222222, 0xEDEDED, 0x6B3E26});
  clothes.hair = pick(rng, {0x241C15, 0x4A3120, 0x8A5A2B, 0xC9A45C, 0x5A5A5A});
  return clothes;
}

static bool left_is_near(const Painter& painter, const Frame& frame) {
  return painter.faces_camera(frame.origin, frame.left);
}

static bool front_is_near(const Painter& painter, const Frame& frame) {
  return painter.faces_camera(frame.origin, frame.forward);
}

// Hip, bent joint, end: the joint lies on the `bend` side of the straight line.
static void paint_bent(Painter& painter, Vec3 from, Vec3 to, double reach, Vec3 bend, double thick, double thin,
                       const Finish& finish) {
  const double half = length(to - from) / 2;
  const Vec3 joint = lerp(from, to, 0.5) + bend * std::sqrt(std::fmax(0, reach * reach / 4 - half * half));
  painter.limb(from, joint, thick, (thick + thin) / 2, finish);
  painter.limb(joint, to, (thick + thin) / 2, thin, finish);
}

static void paint_head(Painter& painter, const Frame& frame, Vec3 centre, double size, const Clothes& clothes) {
  const bool front = front_is_near(painter, frame);
  const Vec3 face = centre + frame.forward * (0.03 * size),
             hair = centre + frame.forward * (-0.035 * size) + Vec3{0, 0, 0.035 * size};
  if (!front) painter.ball(face, 0.115 * size, clothes.skin);
  painter.ball(hair, 0.125 * size, clothes.hair);
  if (front) painter.ball(face + Vec3{0, 0, -0.015 * size}, 0.105 * size, clothes.skin);
}

// A trunk wider across than deep, between the hip and the shoulders.
static void paint_torso(Painter& painter, const Frame& frame, Vec3 hip, Vec3 neck, double size, const Finish& finish) {
  std::vector<Vec3> points;
  for (const double side : {-1.0, 1.0}) {
    for (const double depth : {-1.0, 1.0}) {
      points.push_back(hip + frame.left * (side * 0.16 * size) + frame.forward * (depth * 0.1 * size));
      points.push_back(lerp(hip, neck, 0.85) + frame.left * (side * 0.22 * size) +
                       frame.forward * (depth * 0.11 * size));
      points.push_back(neck + frame.left * (side * 0.12 * size) + frame.forward * (depth * 0.06 * size));
    }
  }
  painter.hull(points, finish);
}

static void paint_leg(Painter& painter, const Frame& frame, const Actor& actor, double side, double swing,
                      const Clothes& clothes) {
  const double s = actor.height / 1.75;
  const Vec3 hip = frame.at(0, side * 0.09 * s, 0.92 * s);
  const Vec3 ankle = frame.at(std::sin(swing) * 0.8 * s, side * 0.1 * s, (0.92 - std::cos(swing) * 0.84) * s);
  paint_bent(painter, hip, ankle, 0.86 * s, frame.forward, 0.1 * s, 0.065 * s, Finish(clothes.trousers));
  painter.limb(ankle + Vec3{0, 0, -0.02 * s}, ankle + frame.forward * (0.17 * s) + Vec3{0, 0, -0.02 * s}, 0.055 * s,
               0.045 * s, Finish(clothes.shoes));
}

static void paint_arm(Painter& painter, const Frame& frame, const Actor& actor, double side, double swing,
                      const Clothes& clothes) {
  const double s = actor.height / 1.75;
  const Vec3 shoulder = frame.at(0, side * 0.23 * s, 1.4 * s);
  const Vec3 hand = frame.at(std::sin(swing) * 0.5 * s + 0.05 * s, side * 0.27 * s, (1.4 - std::cos(swing) * 0.56) * s);
  paint_bent(painter, shoulder, hand, 0.6 * s, frame.forward * -1, 0.065 * s, 0.05 * s, Finish(clothes.shirt * 0.9));
  painter.ball(hand, 0.055 * s, clothes.skin);
}

static void paint_umbrella(Painter& painter, const Frame& frame, double s, Rgb colour) {
  painter.limb(frame.at(0.15, 0.2 * s, 1.0 * s), frame.at(0.1, 0.1 * s, 2.05 * s), 0.02, 0.02, rgb(0x333333));
  std::vector<Vec3> canopy{frame.at(0.1, 0.1, 2.2 * s)};
  for (int i = 0; i < 10; ++i) {
    const double angle = i * std::numbers::pi / 5;
    canopy.push_back(frame.at(0.1 + 0.55 * std::cos(angle), 0.1 + 0.55 * std::sin(angle), 1.88 * s));
    canopy.push_back(frame.at(0.1 + 0.35 * std::cos(angle), 0.1 + 0.35 * std::sin(angle), 2.1 * s));
  }
  painter.hull(canopy, Finish(blend(colour, {1, 1, 1}, 0.2), colour * 0.8));
}

static void paint_extras(Painter& painter, const Frame& frame, double s, double choice, Rgb colour) {
  if (choice < 0.25) {  // rucksack
    box(frame, -0.3 * s, -0.1 * s, 1.02 * s, 1.42 * s, 0.16 * s, 0.04, 0, 0.03)
        .draw(painter, Finish(colour, colour * 0.7));
  } else if (choice < 0.4) {  // bag in the hand
    box(frame, -0.05 * s, 0.2 * s, 0.5 * s, 0.78 * s, 0.05 * s).draw(painter, Finish(colour));
  }
}

void paint_pedestrian(Painter& painter, const Actor& actor) {
  Rng rng = actor.looks;
  const Clothes clothes = dress(rng);
  const Frame frame = actor.frame();
  const double s = actor.height / 1.75, swing = rng.uniform(-0.5, 0.5), extra = rng.uniform();
  const double near = left_is_near(painter, frame) ? 1 : -1;
  const Rgb extra_colour = vary(rng, pick(rng, {0xB03A2E, 0x1F618D, 0x7D6608, 0x222222, 0x196F3D}), 0.1);
  const bool skirt = rng.chance(0.25), front = front_is_near(painter, frame);
  if (front) paint_extras(painter, frame, s, extra, extra_colour);
  paint_arm(painter, frame, actor, -near, swing * near, clothes);
  paint_leg(painter, frame, actor, -near, -swing * near, clothes);
  paint_leg(painter, frame, actor, near, swing * near, clothes);
  if (skirt) {
    painter.hull({frame.at(0.2 * s, 0.2 * s, 0.52 * s), frame.at(0.2 * s, -0.2 * s, 0.52 * s),
                  frame.at(-0.2 * s, 0.2 * s, 0.52 * s), frame.at(-0.2 * s, -0.2 * s, 0.52 * s),
                  frame.at(0.05, 0.15 * s, 1.0 * s), frame.at(0.05, -0.15 * s, 1.0 * s)},
                 Finish(clothes.shirt * 0.8));
  }
  paint_torso(painter, frame, frame.at(0, 0, 0.88 * s), frame.at(0.02, 0, 1.5 * s), s,
              Finish(clothes.shirt, clothes.shirt * 0.82));
  if (!front) paint_extras(painter, frame, s, extra, extra_colour);
  paint_arm(painter, frame, actor, near, -swing * near, clothes);
  paint_head(painter, frame, frame.at(0.03, 0, 1.63 * s), s, clothes);
  if (extra > 0.88) paint_umbrella(painter, frame, s, extra_colour);
}

// One leg of a rider, from the hip to a pedal or a foot rest.
static void paint_rider_leg(Painter& painter, const Frame& frame, Vec3 hip, Vec3 foot, const Clothes& clothes) {
  paint_bent(painter, hip, foot, 0.92, unit(frame.forward + Vec3{0, 0, 0.7}), 0.095, 0.065, Finish(clothes.trousers));
  painter.limb(foot, foot + frame.forward * 0.14, 0.05, 0.045, Finish(clothes.shoes));
}

static void paint_bicycle_frame(Painter& painter, const Frame& frame, const Finish& paint) {
  const Vec3 rear = frame.at(-0.54, 0, 0.35), front = frame.at(0.56, 0, 0.35), pedals = frame.at(-0.04, 0, 0.3);
  const Vec3 saddle = frame.at(-0.2, 0, 0.88), head = frame.at(0.38, 0, 0.92), fork = frame.at(0.43, 0, 0.66);
  const std::pair<Vec3, Vec3> tubes[] = {{rear, pedals}, {rear, saddle}, {pedals, saddle},
                                         {pedals, fork}, {saddle, head}, {head, front}};
  for (const auto& [from, to] : tubes) painter.limb(from, to, 0.032, 0.032, paint);
  painter.limb(frame.at(-0.32, 0, 0.95), frame.at(-0.08, 0, 0.95), 0.06, 0.04, rgb(0x222222));
  painter.limb(head, frame.at(0.4, 0, 1.02), 0.025, 0.025, rgb(0x333333));
  painter.limb(frame.at(0.36, -0.29, 1.04), frame.at(0.36, 0.29, 1.04), 0.026, 0.026, rgb(0x333333));
}

static void paint_two_wheeler_lamps(Painter& painter, const Frame& frame, double front, double rear, double up,
                                    double size) {
  const bool on = painter.light().lamps;
  const Vec3 head = frame.at(front, 0, up), tail = frame.at(rear, 0, up - 0.15);
  const bool ahead = front_is_near(painter, frame);
  painter.ball(ahead ? head : tail, size, Finish(ahead ? white_light : red_light).emitting(on ? 1 : 0.4));
  if (on) painter.glow(ahead ? head : tail, ahead ? 0.6 : 0.35, ahead ? white_light : red_light, 0.7);
}

void paint_cyclist(Painter& painter, const Actor& actor) {
  Rng rng = actor.looks;
  const Clothes clothes = dress(rng);
  const Frame frame = actor.frame();
  const Rgb paint = vary(rng, pick(rng, {0xE74C3C, 0x3498DB, 0x2ECC71, 0xF1C40F, 0xECF0F1, 0x1ABC9C}), 0.08);
  const double near = left_is_near(painter, frame) ? 1 : -1, crank = rng.uniform(0, 2 * std::numbers::pi),
               lean = rng.uniform(0.08, 0.28);
  const auto pedal = [&](double side) {
    const double angle = crank + (side > 0 ? 0 : std::numbers::pi);
    return frame.at(-0.04 + 0.17 * std::cos(angle), side * 0.13, 0.3 + 0.17 * std::sin(angle));
  };
  const Vec3 hip = frame.at(-0.2, 0, 0.98), neck = frame.at(-0.1 + lean, 0, 1.5);
  const auto arm = [&](double side) {
    paint_bent(painter, neck + frame.left * (side * 0.19) + Vec3{0, 0, -0.07}, frame.at(0.36, side * 0.26, 1.06), 0.64,
               unit(frame.left * side + Vec3{0, 0, -1}), 0.06, 0.045, Finish(clothes.shirt * 0.9));
  };
  paint_rider_leg(painter, frame, hip + frame.left * (-near * 0.09), pedal(-near), clothes);
  for (const double along : {-0.54, 0.56}) tyre(painter, frame, along, 0.315, 0.035, rgb(0x26282B));
  paint_bicycle_frame(painter, frame, paint);
  arm(-near);
  paint_rider_leg(painter, frame, hip + frame.left * (near * 0.09), pedal(near), clothes);
  paint_torso(painter, frame, hip + Vec3{0, 0, -0.04}, neck, 0.95, Finish(clothes.shirt, clothes.shirt * 0.82));
  arm(near);
  paint_head(painter, frame, neck + frame.forward * 0.07 + Vec3{0, 0, 0.16}, 0.98, clothes);
  if (rng.chance(0.5)) painter.ball(neck + frame.forward * 0.05 + Vec3{0, 0, 0.23}, 0.125, paint);
  paint_two_wheeler_lamps(painter, frame, 0.45, -0.6, 0.85, 0.05);
}

static void paint_motorcycle(Painter& painter, const Frame& frame, Rgb paint, bool scooter) {
  const Finish dark(rgb(0x34373D), rgb(0x1C1D21)), body(blend(paint, {1, 1, 1}, 0.15), paint * 0.75);
  for (const double along : {-0.68, 0.72}) {
    tyre(painter, frame, along, 0.235, 0.085, rgb(0x1D1E21));
    painter.ball(frame.at(along, 0, 0.32), 0.1, rgb(0x9AA0A8));
  }
  for (const double side : {-0.09, 0.09})
    painter.limb(frame.at(0.72, side, 0.32), frame.at(0.46, side, 0.98), 0.04, 0.04, rgb(0xA9AFB7));
  box(frame, -0.45, 0.38, 0.24, 0.66, 0.17, 0.1, 0.05, 0.02).draw(painter, scooter ? body : dark);
  painter.limb(frame.at(-0.8, -0.2, 0.42), frame.at(0.05, -0.2, 0.34), 0.07, 0.05, rgb(0xB7BCC3));
  box(frame, -0.95, -0.1, 0.62, 0.82, 0.17, 0.05, 0.05, 0.03).draw(painter, dark);
  box(frame, -0.15, 0.44, 0.66, 0.98, 0.18, 0.12, 0.12, 0.05).draw(painter, body);
  painter.limb(frame.at(0.5, -0.38, 1.06), frame.at(0.5, 0.38, 1.06), 0.035, 0.035, rgb(0x2A2C30));
  if (scooter) box(frame, 0.4, 0.56, 0.35, 1.0, 0.24, 0, 0.1, 0.05).draw(painter, body);
  painter.limb(frame.at(0.95, 0, 0.62), frame.at(0.5, 0, 0.7), 0.1, 0.06, Finish(paint));
}

// A rider in a jacket and a full helmet, sitting upright with both feet on the rests.
static void paint_motorcycle_rider(Painter& painter, const Frame& frame, const Clothes& clothes, Rgb helmet,
                                   double near) {
  const Vec3 hip = frame.at(-0.3, 0, 0.88), neck = frame.at(-0.08, 0, 1.4), head = frame.at(-0.02, 0, 1.56);
  const auto arm = [&](double side) {
    paint_bent(painter, neck + frame.left * (side * 0.22) + Vec3{0, 0, -0.08}, frame.at(0.47, side * 0.33, 1.08), 0.66,
               unit(frame.left * side + Vec3{0, 0, -0.6}), 0.085, 0.06, Finish(clothes.shirt * 0.85));
  };
  paint_rider_leg(painter, frame, hip + frame.left * (-near * 0.15), frame.at(0.02, -near * 0.22, 0.3), clothes);
  arm(-near);
  paint_rider_leg(painter, frame, hip + frame.left * (near * 0.15), frame.at(0.02, near * 0.22, 0.3), clothes);
  paint_torso(painter, frame, hip + Vec3{0, 0, -0.05}, neck, 1.12, Finish(clothes.shirt, clothes.shirt * 0.75));
  arm(near);
  painter.ball(head, 0.165, helmet);
  if (front_is_near(painter, frame)) {
    const Vec3 visor = head + frame.forward * 0.1;
    painter.limb(visor + frame.left * 0.07, visor + frame.left * -0.07, 0.06, 0.06, rgb(0x14181F));
  }
}

void paint_motorcyclist(Painter& painter, const Actor& actor) {
  Rng rng = actor.looks;
  Clothes clothes = dress(rng);
  clothes.shirt = vary(rng, pick(rng, {0x23262B, 0x3B2A20, 0x5A1E1E, 0x1D2F4A, 0x30343A}), 0.15);
  const Frame frame = actor.frame();
  const Rgb paint = vary(rng, pick(rng, {0xC0392B, 0x1B4F9C, 0x2B2B2E, 0xE67E22, 0x1E8449, 0xBFC5CC}), 0.08);
  const Rgb helmet = vary(rng, pick(rng, {0xF2F2F2, 0xC0392B, 0x222428, 0xF1C40F, 0x2E86C1}), 0.06);
  const bool box_behind = rng.chance(0.3), front = front_is_near(painter, frame);
  const auto top_case = [&] {
    if (box_behind) box(frame, -1.05, -0.6, 0.84, 1.26, 0.23).draw(painter, Finish(paint, paint * 0.75));
  };
  if (front) top_case();
  paint_motorcycle(painter, frame, paint, rng.chance(0.3));
  paint_motorcycle_rider(painter, frame, clothes, helmet, left_is_near(painter, frame) ? 1 : -1);
  if (!front) top_case();
  paint_two_wheeler_lamps(painter, frame, 0.62, -0.95, 0.88, 0.09);
}

}  // namespace moe::synth
