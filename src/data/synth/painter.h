// Paints shapes of a scene into a picture: projection, light, haze, and for every pixel the object that owns it. Shapes
// are painted over each other in the order of the calls; hidden surfaces are the caller's concern.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/synth/geometry.h"
#include "image/raster.h"

namespace moe::synth {

struct Rgb {
  double r = 0, g = 0, b = 0;  // 0 .. 1, display values
};

inline Rgb operator*(Rgb a, double s) {
  return {a.r * s, a.g * s, a.b * s};
}
inline Rgb operator*(Rgb a, Rgb b) {
  return {a.r * b.r, a.g * b.g, a.b * b.b};
}
inline Rgb operator+(Rgb a, Rgb b) {
  return {a.r + b.r, a.g + b.g, a.b + b.b};
}
inline Rgb blend(Rgb a, Rgb b, double t) {
  return a * (1 - t) + b * t;
}
constexpr Rgb rgb(uint32_t hex) {
  return {(hex >> 16 & 255) / 255.0, (hex >> 8 & 255) / 255.0, (hex & 255) / 255.0};
}

// How a surface looks before light falls on it: a colour that may change from the upper to the lower end of the shape.
struct Finish {
  Rgb top, bottom;
  double alpha = 1;
  double emission = 0;  // share of the colour that needs no light, 0 .. 1

  Finish(Rgb colour) : top(colour), bottom(colour) {}
  Finish(Rgb upper, Rgb lower, double opacity = 1, double own_light = 0)
      : top(upper), bottom(lower), alpha(opacity), emission(own_light) {}
  Finish with_alpha(double value) const { return {top, bottom, value, emission}; }
  Finish emitting(double value = 1) const { return {top, bottom, alpha, value}; }
};

struct Light {
  Rgb ambient, sun;    // factors on a surface's colour
  Vec3 to_sun;         // unit
  Rgb haze;            // colour of the far distance
  double visibility;   // metres at which haze takes 63 %
  bool lamps = false;  // headlights, windows and street lamps are on
  double shadow = 0;   // opacity of cast shadows
};

class Painter {
 public:
  Painter(Image& image, const Camera& camera, const Light& light);

  const Camera& camera() const { return camera_; }
  const Light& light() const { return light_; }

  // The following shapes belong to this object (0: to none) and lie at this depth, in metres, for the haze.
  void begin(uint16_t owner, double depth);
  bool faces_camera(Vec3 point, Vec3 normal) const { return dot(normal, camera_.position() - point) > 0; }

  void face(const std::vector<Vec3>& polygon, Vec3 normal, const Finish& finish);
  void ground(const std::vector<Vec3>& polygon, const Finish& finish);  // z = 0; hazed row by row; owns nothing
  void ground_disc(Vec3 centre, double radius_x, double radius_y, const Finish& finish);
  void hull(const std::vector<Vec3>& points, const Finish& finish);                   // silhouette of a convex solid
  void limb(Vec3 a, Vec3 b, double radius_a, double radius_b, const Finish& finish);  // rounded stick
  void ball(Vec3 centre, double radius, const Finish& finish);
  void glow(Vec3 centre, double radius, Rgb colour, double strength);  // light scattered around a lamp; owns nothing

  // owners()[y * width + x]: the object seen there. painted()[owner]: pixels that it took when it was painted.
  const std::vector<uint16_t>& owners() const { return owners_; }
  const std::vector<int64_t>& painted() const { return painted_; }

 private:
  Rgb lit(Rgb colour, double towards_sun, double emission) const;
  void solid(const std::vector<Point>& points, const Finish& finish, double towards_sun);
  void fill(const std::vector<Point>& points, Rgb top, Rgb bottom, double alpha);
  template <typename RowColour>
  void fill_rows(const std::vector<Point>& points, double alpha, bool owns, RowColour row_colour);

  Image& image_;
  const Camera& camera_;
  const Light& light_;
  Rasterizer raster_;
  std::vector<uint16_t> owners_;  // [height * width]
  std::vector<int64_t> painted_;  // by owner
  std::vector<double> row_haze_;  // [height] share of haze on the ground
  uint16_t owner_ = 0;
  double haze_ = 0;
};

}  // namespace moe::synth
