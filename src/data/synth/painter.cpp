#include "data/synth/painter.h"

#include <algorithm>
#include <numbers>

namespace moe::synth {

// A pixel belongs to the last object that covers this share of it; below one half, so that thin spokes and straps
// count.
static constexpr float owned_coverage = 0.4f;

Painter::Painter(Image& image, const Camera& camera, const Light& light)
    : image_(image), camera_(camera), light_(light), owners_(image.pixels.size() / 3), painted_(1) {
  for (int64_t y = 0; y < image.height; ++y) {
    const double depth = camera.ground_depth(static_cast<double>(y));
    row_haze_.push_back(1 - std::exp(-depth / light.visibility));
  }
}

void Painter::begin(uint16_t owner, double depth) {
  owner_ = owner;
  haze_ = 1 - std::exp(-std::fmax(depth, 0) / light_.visibility);
  if (painted_.size() <= owner) painted_.resize(owner + size_t{1});
}

Rgb Painter::lit(Rgb colour, double towards_sun, double emission) const {
  const Rgb light = light_.ambient + light_.sun * std::fmax(0, towards_sun);
  return blend(colour * light, colour, emission);
}

template <typename RowColour>
void Painter::fill_rows(const std::vector<Point>& points, double alpha, bool owns, RowColour row_colour) {
  if (points.size() < 3) return;
  raster_.clear();
  raster_.add(points);
  raster_.sweep(image_.width, image_.height, [&](int64_t y, int64_t x_begin, int64_t x_end, const float* coverage) {
    const Rgb colour = row_colour(y);
    const float channels[3] = {static_cast<float>(std::fmin(colour.r, 1) * 255),
                               static_cast<float>(std::fmin(colour.g, 1) * 255),
                               static_cast<float>(std::fmin(colour.b, 1) * 255)};
    uint8_t* pixel = image_.at(x_begin, y);
    uint16_t* owner = owners_.data() + y * image_.width + x_begin;
    for (int64_t i = 0; i < x_end - x_begin; ++i, pixel += 3) {
      const float weight = static_cast<float>(alpha) * coverage[i];
      for (int c = 0; c < 3; ++c) {
        const auto old = static_cast<float>(pixel[c]);
        pixel[c] = static_cast<uint8_t>(old + (channels[c] - old) * weight + 0.5f);
      }
      if (!owns || coverage[i] < owned_coverage || owner[i] == owner_) continue;
      owner[i] = owner_;
      ++painted_[owner_];
    }
  });
}

void Painter::fill(const std::vector<Point>& points, Rgb top, Rgb bottom, double alpha) {
  double low = 1e9, high = -1e9;
  for (const Point& point : points) low = std::min(low, point.y), high = std::max(high, point.y);
  const double step = 1 / std::fmax(high - low, 1e-6);
  fill_rows(points, alpha, true, [&](int64_t y) {
    return blend(top, bottom, std::clamp((static_cast<double>(y) + 0.5 - low) * step, 0.0, 1.0));
  });
}

void Painter::solid(const std::vector<Point>& points, const Finish& finish, double towards_sun) {
  const double haze = haze_ * (1 - 0.5 * finish.emission);
  const auto colour = [&](Rgb own) { return blend(lit(own, towards_sun, finish.emission), light_.haze, haze); };
  fill(points, colour(finish.top), colour(finish.bottom), finish.alpha);
}

void Painter::face(const std::vector<Vec3>& polygon, Vec3 normal, const Finish& finish) {
  solid(camera_.project(polygon), finish, dot(unit(normal), light_.to_sun));
}

void Painter::ground(const std::vector<Vec3>& polygon, const Finish& finish) {
  const Rgb colour = lit(finish.top, light_.to_sun.z, finish.emission);
  fill_rows(camera_.project(polygon), finish.alpha, false,
            [&](int64_t y) { return blend(colour, light_.haze, row_haze_[static_cast<size_t>(y)]); });
}

void Painter::ground_disc(Vec3 centre, double radius_x, double radius_y, const Finish& finish) {
  std::vector<Vec3> rim;
  for (int i = 0; i < 24; ++i) {
    const double angle = i * std::numbers::pi / 12;
    rim.push_back(centre + Vec3{radius_x * std::cos(angle), radius_y * std::sin(angle), 0});
  }
  ground(rim, finish);
}

void Painter::hull(const std::vector<Vec3>& points, const Finish& finish) {
  std::vector<Point> projected;
  for (const Vec3& point : points) {
    if (camera_.depth(point) < 0.5) return;
    projected.push_back(camera_.project(point));
  }
  solid(convex_hull(std::move(projected)), finish, 0.5);
}

// The two projected circles and what lies between them. A lighter core on the side of the sun rounds larger sticks.
void Painter::limb(Vec3 a, Vec3 b, double radius_a, double radius_b, const Finish& finish) {
  if (camera_.depth(a) < 0.5 || camera_.depth(b) < 0.5) return;
  const Point from = camera_.project(a), to = camera_.project(b);
  const double ra = radius_a * camera_.scale(camera_.depth(a)), rb = radius_b * camera_.scale(camera_.depth(b));
  const double angle = std::atan2(to.y - from.y, to.x - from.x) + std::numbers::pi / 2;
  const int arcs = std::max(ra, rb) > 4 ? 8 : 4;
  std::vector<Point> outline;
  for (int half = 0; half < 2; ++half) {
    const Point centre = half == 0 ? from : to;
    const double radius = half == 0 ? ra : rb, start = angle + half * std::numbers::pi;
    for (int i = 0; i <= arcs; ++i) {
      const double turn = start + i * std::numbers::pi / arcs;
      outline.push_back({centre.x + radius * std::cos(turn), centre.y + radius * std::sin(turn)});
    }
  }
  solid(outline, finish, 0.35);
}

void Painter::ball(Vec3 centre, double radius, const Finish& finish) {
  if (camera_.depth(centre) < 0.5) return;
  const Point middle = camera_.project(centre);
  const double pixels = radius * camera_.scale(camera_.depth(centre));
  const int sides = pixels > 6 ? 24 : 12;
  const auto disc = [&](double share, double lift) {
    std::vector<Point> outline;
    for (int i = 0; i < sides; ++i) {
      const double angle = 2 * std::numbers::pi * i / sides;
      outline.push_back({middle.x + pixels * (share * std::cos(angle) + lift * 0.5),
                         middle.y + pixels * (share * std::sin(angle) - lift)});
    }
    return outline;
  };
  solid(disc(1, 0), finish, 0.25);
  if (pixels > 3 && finish.emission == 0) solid(disc(0.72, 0.16), finish.with_alpha(finish.alpha * 0.4), 0.75);
}

void Painter::glow(Vec3 centre, double radius, Rgb colour, double strength) {
  const double depth = camera_.depth(centre);
  if (depth < 1) return;
  const Point middle = camera_.project(centre);
  const double pixels = std::fmax(radius * camera_.scale(depth), 1.5);
  const auto clip = [](double value, int64_t limit) {
    return static_cast<int64_t>(std::clamp(value, 0.0, static_cast<double>(limit)));
  };
  const int64_t left = clip(middle.x - pixels, image_.width), right = clip(middle.x + pixels + 1, image_.width);
  const int64_t top = clip(middle.y - pixels, image_.height), bottom = clip(middle.y + pixels + 1, image_.height);
  const double add[3] = {colour.r * strength * 255, colour.g * strength * 255, colour.b * strength * 255};
  for (int64_t y = top; y < bottom; ++y) {
    for (int64_t x = left; x < right; ++x) {
      const double dx = static_cast<double>(x) + 0.5 - middle.x, dy = static_cast<double>(y) + 0.5 - middle.y;
      const double near = 1 - (dx * dx + dy * dy) / (pixels * pixels);
      if (near <= 0) continue;
      uint8_t* pixel = image_.at(x, y);
      for (int c = 0; c < 3; ++c) {
        // Screen blending: light adds up without burning out.
        const double light = std::fmin(add[c] * near * near * near, 255);
        pixel[c] = static_cast<uint8_t>(255.5 - (255 - pixel[c]) * (255 - light) / 255);
      }
    }
  }
}

}  // namespace moe::synth
