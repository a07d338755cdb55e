// One scene: where the camera stands, what is placed where, painting from back to front, and the labels of what can be
// seen.
#include <algorithm>
#include <numbers>

#include "data/synth/actors.h"
#include "data/synth/street.h"
#include "data/synth/traffic.h"
#include "data/synth/weather.h"

namespace moe {

using namespace synth;

static constexpr double quarter_turn = std::numbers::pi / 2;
static constexpr double smallest_box = 6;       // pixels; smaller ones are not labelled
static constexpr double smallest_share = 0.25;  // of its pixels that must be visible
static constexpr double farthest = 44;          // metres: nothing is placed beyond

static Camera draw_camera(const TrafficOptions& options, const Street& street, Rng rng) {
  const auto width = static_cast<double>(options.width), height = static_cast<double>(options.height);
  const double focal = std::max(width, height * 1.4) * rng.uniform(0.95, 1.2);
  const Vec3 position{rng.uniform(-1, 1) * (street.half + 1), 0, rng.uniform(5.2, 7.6)};
  const double horizon = height * rng.uniform(0.1, 0.27);
  const double pitch = std::atan((height / 2 - horizon) / focal);
  const double yaw = std::atan((rng.uniform(-2.5, 2.5) - position.x) / 32);
  return Camera(options.width, options.height, focal, position, yaw, pitch);
}

// The projected extent of an actor's cuboid.
struct Extent {
  double left = 1e9, top = 1e9, right = -1e9, bottom = -1e9;

  double area() const { return std::fmax(0, right - left) * std::fmax(0, bottom - top); }
};

static Extent intersect(const Extent& a, const Extent& b) {
  return {std::max(a.left, b.left), std::max(a.top, b.top), std::min(a.right, b.right), std::min(a.bottom, b.bottom)};
}

static Extent project_extent(const Camera& camera, const Actor& actor) {
  Extent extent;
  for (const Vec3& corner : actor.footprint().corners()) {
    for (const double up : {0.0, actor.height}) {
      const Vec3 point = corner + Vec3{0, 0, up};
      if (camera.depth(point) < 2) return {};
      const Point at = camera.project(point);
      extent.left = std::min(extent.left, at.x), extent.right = std::max(extent.right, at.x);
      extent.top = std::min(extent.top, at.y), extent.bottom = std::max(extent.bottom, at.y);
    }
  }
  return extent;
}

struct Placed {
  Actor actor;
  Extent extent;
};

class Placement {
 public:
  Placement(const Camera& camera, const Street& street, Rng rng) : camera_(camera), street_(street), rng_(rng) {}

  // Puts about `count` actors on the street; fewer when it is full.
  std::vector<Placed> fill(int64_t count);

 private:
  void choose_place(Actor& actor);
  void on_road(Actor& actor, double x, double spread);
  void on_crossing_road(Actor& actor, double from_edge);
  void walk(Actor& actor);
  double ahead();
  bool fits(const Placed& candidate) const;

  const Camera& camera_;
  const Street& street_;
  Rng rng_;
  std::vector<Placed> placed_;
};

static Kind draw_kind(Rng& rng) {
  constexpr double share[kind_count] = {0.37, 0.06, 0.12, 0.09, 0.16, 0.10, 0.10};  // in the order of Kind
  double left = rng.uniform();
  for (int64_t i = 0; i + 1 < kind_count; ++i) {
    if (left < share[i]) return static_cast<Kind>(i);
    left -= share[i];
  }
  return Kind::motorcyclist;
}

// A distance along the road, more often near than far.
double Placement::ahead() {
  const double nearest = camera_.ground_depth(camera_.height() * 0.9);
  return nearest + (farthest - nearest) * std::pow(rng_.uniform(), 1.35);
}

// x > 0 drives away from the camera, x < 0 towards it.
void Placement::on_road(Actor& actor, double x, double spread) {
  actor.x = x + rng_.uniform(-spread, spread);
  actor.y = ahead();
  actor.heading = (x > 0 ? quarter_turn : -quarter_turn) + rng_.uniform(-0.05, 0.05);
}

void Placement::on_crossing_road(Actor& actor, double from_edge) {
  const bool near_lane = rng_.chance(0.5);
  actor.y = near_lane ? street_.cross_near + from_edge : street_.cross_far - from_edge;
  // The buildings at the corners end at cross_near - 3; what they would hide stays empty.
  const double widen = (actor.y - 1.2) / (street_.cross_near - 3), x = camera_.position().x,
               margin = actor.length / 2 + 0.2;
  const double left = x + (-street_.outer() - x) * widen + margin, right = x + (street_.outer() - x) * widen - margin;
  actor.x = rng_.uniform(std::max(left, -17.0), std::min(right, 17.0));
  actor.heading = (near_lane ? 0 : std::numbers::pi) + rng_.uniform(-0.05, 0.05);
}

void Placement::walk(Actor& actor) {
  const double side = rng_.chance(0.5) ? 1 : -1;
  if (street_.zebra && rng_.chance(0.4)) {
    actor.x = rng_.uniform(-1, 1) * (street_.half + 0.5);
    actor.y = rng_.uniform(street_.zebra_near + 0.3, street_.zebra_far - 0.3);
    actor.heading = rng_.chance(0.5) ? 0 : std::numbers::pi;
  } else {
    actor.x = side * rng_.uniform(street_.half + 0.8, street_.outer() - 0.8);
    actor.y = ahead();
    actor.heading = rng_.chance(0.5) ? quarter_turn : -quarter_turn;
  }
  actor.heading += rng_.uniform(-0.35, 0.35);
}

void Placement::choose_place(Actor& actor) {
  if (actor.kind == Kind::pedestrian) return walk(actor);
  const bool bicycle = actor.kind == Kind::cyclist, motorcycle = actor.kind == Kind::motorcyclist;
  if (street_.junction && rng_.chance(0.35)) return on_crossing_road(actor, bicycle ? 0.8 : 2.0);
  const double side = rng_.chance(0.5) ? 1 : -1;
  if (bicycle) return on_road(actor, side * (street_.half - 0.3 - std::max(street_.bicycle_lane, 1.0) / 2), 0.25);
  on_road(actor, side * street_.lane_middle(rng_.below(street_.lanes_each_way)), motorcycle ? 0.7 : 0.2);
}

// Well inside the picture, large enough, with room around it, and neither hiding nor hidden by more than about half.
bool Placement::fits(const Placed& candidate) const {
  const Extent& own = candidate.extent;
  const Extent inside = intersect(own, {0, 0, camera_.width(), camera_.height()});
  if (inside.area() < 0.6 * own.area() || own.area() <= 0) return false;
  if (inside.bottom - inside.top < 2.5 * smallest_box || inside.right - inside.left < 1.3 * smallest_box) return false;
  const auto distance = [&](const Placed& one) { return std::hypot(one.actor.x - camera_.position().x, one.actor.y); };
  for (const Placed& other : placed_) {
    if (overlap(candidate.actor.footprint(), other.actor.footprint(), 0.5)) return false;
    const Extent& hidden = distance(candidate) > distance(other) ? own : other.extent;
    if (intersect(own, other.extent).area() > 0.42 * hidden.area()) return false;
  }
  return true;
}

std::vector<Placed> Placement::fill(int64_t count) {
  for (int64_t round = 0; round < count + 4 && static_cast<int64_t>(placed_.size()) < count; ++round) {
    Actor actor = make_actor(draw_kind(rng_), rng_.child("actor", static_cast<uint64_t>(round)));
    for (int attempt = 0; attempt < 40; ++attempt) {
      choose_place(actor);
      const Placed candidate{actor, project_extent(camera_, actor)};
      if (!fits(candidate)) continue;
      placed_.push_back(candidate);
      break;
    }
  }
  return std::move(placed_);
}

static bool has_headlights(Kind kind) {
  return kind != Kind::pedestrian && kind != Kind::cyclist;
}

// The light that headlamps throw on the road, in steps from faint to bright.
static void paint_beam(Painter& painter, const Actor& actor) {
  const Frame frame = actor.frame();
  const double nose = actor.length / 2, w = actor.width / 2;
  for (int step = 0; step < 12; ++step) {
    const double reach = nose + 9.5 - 0.6 * step, spread = w * (1.6 - 0.06 * step);
    painter.ground({frame.at(nose, w * 0.7, 0), frame.at(nose, -w * 0.7, 0), frame.at(reach, -spread, 0),
                    frame.at(reach + 0.9, 0, 0), frame.at(reach, spread, 0)},
                   Finish(rgb(0xFFF0C4), rgb(0xFFF0C4), 0.026, 1));
  }
}

static void paint_on_ground(Painter& painter, const std::vector<Placed>& placed, const std::vector<Prop>& props) {
  for (const Prop& prop : props) paint_prop_shadow(painter, prop);
  for (const Placed& one : placed) {
    Footprint footprint = one.actor.footprint();
    if (one.actor.kind == Kind::pedestrian) footprint.length *= 0.6, footprint.width *= 0.6;
    if (one.actor.kind == Kind::cyclist || one.actor.kind == Kind::motorcyclist) footprint.width *= 0.5;
    paint_shadow(painter, footprint, one.actor.height * 0.92);
  }
  if (!painter.light().lamps) return;
  for (const Placed& one : placed) {
    if (has_headlights(one.actor.kind)) paint_beam(painter, one.actor);
  }
}

// Actor i gets the owner i + 1.
static void paint_upright(Painter& painter, const std::vector<Placed>& placed, const std::vector<Prop>& props) {
  std::vector<Footprint> footprints;
  for (const Placed& one : placed) footprints.push_back(one.actor.footprint());
  for (const Prop& prop : props) footprints.push_back(prop.footprint());
  for (const size_t index : paint_order(footprints, painter.camera().position())) {
    if (index >= placed.size()) {
      paint_prop(painter, props[index - placed.size()]);
      continue;
    }
    const Actor& actor = placed[index].actor;
    painter.begin(static_cast<uint16_t>(index + 1), painter.camera().depth({actor.x, actor.y, 0}));
    paint_actor(painter, actor);
  }
}

struct Seen {
  int64_t pixels = 0, left = INT64_MAX, top = INT64_MAX, right = 0, bottom = 0;  // the ends exclusive
};

static std::vector<Seen> seen_by_owner(const std::vector<uint16_t>& owners, int64_t width, size_t count) {
  std::vector<Seen> seen(count + 1);
  for (size_t i = 0; i < owners.size(); ++i) {
    if (owners[i] == 0) continue;
    Seen& one = seen[owners[i]];
    const auto x = static_cast<int64_t>(i) % width, y = static_cast<int64_t>(i) / width;
    ++one.pixels;
    one.left = std::min(one.left, x), one.right = std::max(one.right, x + 1);
    one.top = std::min(one.top, y), one.bottom = std::max(one.bottom, y + 1);
  }
  return seen;
}

static int truncation(const Seen& seen, const TrafficOptions& options) {
  if (seen.left == 0 || seen.right == options.width) return 1;
  return seen.top == 0 || seen.bottom == options.height ? 2 : 0;
}

static TrafficObject describe(const Actor& actor, const Camera& camera, const Seen& seen) {
  TrafficObject object;
  object.type = type_name(actor.kind);
  object.xmin = static_cast<double>(seen.left), object.xmax = static_cast<double>(seen.right);
  object.ymin = static_cast<double>(seen.top), object.ymax = static_cast<double>(seen.bottom);
  object.x = actor.y, object.y = camera.position().x - actor.x, object.z = actor.height / 2;
  object.length = actor.length, object.width = actor.width, object.height = actor.height;
  object.rotation = std::remainder(actor.heading - quarter_turn, 2 * std::numbers::pi);
  return object;
}

static std::vector<TrafficObject> label(const Painter& painter, const std::vector<Placed>& placed,
                                        const TrafficOptions& options) {
  std::vector<TrafficObject> objects;
  const std::vector<Seen> seen = seen_by_owner(painter.owners(), options.width, placed.size());
  for (size_t owner = 1; owner < seen.size(); ++owner) {
    const Seen& one = seen[owner];
    const double share =
        static_cast<double>(one.pixels) / static_cast<double>(std::max<int64_t>(painter.painted()[owner], 1));
    TrafficObject object = describe(placed[owner - 1].actor, painter.camera(), one);
    const bool large = object.xmax - object.xmin >= smallest_box && object.ymax - object.ymin >= smallest_box;
    if (one.pixels == 0 || share < smallest_share || !large) continue;
    object.occluded_state = share >= 0.9 ? 0 : share >= 0.6 ? 1 : 2;
    object.truncated_state = truncation(one, options);
    object.owner = static_cast<uint16_t>(owner);
    objects.push_back(object);
  }
  return objects;
}

Image render_scene(const TrafficOptions& options, Rng rng, std::vector<TrafficObject>& objects,
                   std::vector<uint16_t>* owners) {
  const Weather weather = draw_weather(rng.child("weather"));
  const Street street = draw_street(rng.child("street"));
  const Camera camera = draw_camera(options, street, rng.child("camera"));
  Rng crowd = rng.child("crowd");
  const std::vector<Placed> placed = Placement(camera, street, rng.child("placement")).fill(5 + crowd.below(8));
  const std::vector<Prop> props = draw_props(street, rng.child("props"));

  Image image(options.width, options.height);
  paint_sky(image, camera, weather, rng.child("sky"));
  Painter painter(image, camera, weather.light);
  paint_ground(painter, street, weather, rng.child("ground"));
  paint_on_ground(painter, placed, props);
  paint_buildings(painter, street, rng.child("buildings"));
  paint_upright(painter, placed, props);
  if (weather.rain) paint_rain(image, rng.child("rain"));
  expose(image, weather, rng.child("sensor"));

  objects = label(painter, placed, options);
  if (owners) *owners = painter.owners();
  return image;
}

}  // namespace moe
