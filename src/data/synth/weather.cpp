#include "data/synth/weather.h"

#include <algorithm>

namespace moe::synth {

static Vec3 sun_at(double azimuth, double elevation) {
  return {std::cos(azimuth) * std::cos(elevation), std::sin(azimuth) * std::cos(elevation), std::sin(elevation)};
}

static Weather sunny(Rng& rng) {
  Light light{rgb(0x9AA3B4), rgb(0xA0937A), sun_at(rng.uniform(0, 6.28), rng.uniform(0.6, 1.15)), rgb(0xC9DCEB), 260};
  light.shadow = 0.36;
  return {Daytime::sunny, false, light, rgb(0x5B9BD8), 2.2, 0.05};
}

static Weather overcast(Rng& rng) {
  Light light{rgb(0xC4C8CE), rgb(0x2C2C2C), sun_at(rng.uniform(0, 6.28), 1.3), rgb(0xCDD3D8), rng.uniform(80, 200)};
  light.shadow = 0.08;
  return {Daytime::overcast, rng.chance(0.45), light, rgb(0xA8B2BC), 3.0, 0.08};
}

static Weather dusk(Rng& rng) {
  const double side = rng.chance(0.5) ? 0.5 : 2.6;
  Light light{rgb(0x948A9C), rgb(0xBC8652), sun_at(side + rng.uniform(-0.3, 0.3), rng.uniform(0.32, 0.5)),
              rgb(0xF3BE8C), 190};
  light.lamps = true;
  light.shadow = 0.26;
  return {Daytime::dusk, false, light, rgb(0x6D6A9C), 3.2, 0.07};
}

static Weather night(Rng& rng) {
  Light light{rgb(0x656D88), rgb(0x685A42), unit({rng.uniform(-0.3, 0.3), -0.35, 0.9}), rgb(0x1C2438), 150};
  light.lamps = true;
  light.shadow = 0.1;
  return {Daytime::night, rng.chance(0.25), light, rgb(0x0B1020), 5.0, 0.08};
}

Weather draw_weather(Rng rng) {
  const double choice = rng.uniform();
  if (choice < 0.45) return sunny(rng);
  if (choice < 0.63) return overcast(rng);
  if (choice < 0.77) return dusk(rng);
  return night(rng);
}

static void fill_gradient(Image& image, Rgb top, Rgb bottom, double end) {
  for (int64_t y = 0; y < image.height; ++y) {
    const Rgb colour = blend(top, bottom, std::clamp(static_cast<double>(y) / std::fmax(end, 1), 0.0, 1.0));
    const uint8_t channels[3] = {static_cast<uint8_t>(colour.r * 255), static_cast<uint8_t>(colour.g * 255),
                                 static_cast<uint8_t>(colour.b * 255)};
    uint8_t* row = image.at(0, y);
    for (int64_t i = 0; i < image.width * 3; ++i) row[i] = channels[i % 3];
  }
}

// Clouds are piles of faint flat ellipses.
static void paint_clouds(Canvas& canvas, double width, double horizon, Rng& rng) {
  for (int64_t cloud = rng.below(5); cloud >= 0; --cloud) {
    const Point middle{rng.uniform(0, width), rng.uniform(-0.1, 0.75) * horizon};
    const double size = width * rng.uniform(0.05, 0.12);
    for (int puff = 0; puff < 7; ++puff) {
      const Point at{middle.x + rng.uniform(-1, 1) * size, middle.y + rng.uniform(-0.15, 0.15) * size};
      canvas.ellipse(at, size * rng.uniform(0.3, 0.7), size * rng.uniform(0.08, 0.18), {255, 255, 255, 0.28});
    }
  }
}

static void paint_stars(Canvas& canvas, double width, double horizon, Rng& rng) {
  for (int star = 0; star < 30; ++star) {
    canvas.ellipse({rng.uniform(0, width), rng.uniform(0, horizon)}, 0.7, 0.7, {255, 250, 230, rng.uniform(0.2, 0.8)});
  }
}

void paint_sky(Image& image, const Camera& camera, const Weather& weather, Rng rng) {
  const double horizon = std::clamp(camera.horizon(), 1.0, camera.height());
  fill_gradient(image, weather.sky_top, weather.light.haze, horizon);
  Canvas canvas(image);
  if (weather.daytime == Daytime::sunny || weather.daytime == Daytime::dusk)
    paint_clouds(canvas, camera.width(), horizon, rng);
  if (weather.daytime == Daytime::night && !weather.rain) paint_stars(canvas, camera.width(), horizon, rng);
}

void paint_rain(Image& image, Rng rng) {
  Canvas canvas(image);
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  const double slant = rng.uniform(-0.25, 0.25);
  const int64_t drops = image.width * image.height / 1800;
  for (int64_t i = 0; i < drops; ++i) {
    const Point from{rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1) * height};
    const double fall = height * rng.uniform(0.02, 0.06);
    canvas.line(from, {from.x + slant * fall, from.y + fall}, 0.9, {225, 232, 240, rng.uniform(0.12, 0.32)});
  }
}

// One pass along `count` samples that lie `step` apart.
static void blur_line(uint8_t* first, int64_t count, int64_t step, int weight) {
  int before = first[0];
  for (int64_t i = 0; i < count; ++i) {
    uint8_t& here = first[i * step];
    const int old = here, after = i + 1 < count ? first[(i + 1) * step] : old;
    here = static_cast<uint8_t>((old * (256 - 2 * weight) + (before + after) * weight + 128) >> 8);
    before = old;
  }
}

static void blur(Image& image, double weight) {
  const int share = static_cast<int>(weight * 256);
  for (int64_t y = 0; y < image.height; ++y) {
    for (int c = 0; c < 3; ++c) blur_line(image.at(0, y) + c, image.width, 3, share);
  }
  const int64_t row = image.width * 3;
  std::vector<uint8_t> before(image.pixels.begin(), image.pixels.begin() + row), old(before);
  for (int64_t y = 0; y < image.height; ++y) {
    uint8_t* here = image.at(0, y);
    const uint8_t* after = y + 1 < image.height ? here + row : here;
    std::copy(here, here + row, old.begin());
    for (int64_t i = 0; i < row; ++i) {
      const auto at = static_cast<size_t>(i);
      here[i] = static_cast<uint8_t>((here[i] * (256 - 2 * share) + (before[at] + after[i]) * share + 128) >> 8);
    }
    before.swap(old);
  }
}

// The sum of two uniform numbers is close enough to a normal one; a word of the stream serves the three channels of a
// pixel.
static void add_noise(Image& image, double deviation, Rng& rng) {
  const double scale = deviation / std::sqrt(2.0 / 12.0) / 1024;
  const int gain = static_cast<int>(scale * 65536);
  for (size_t i = 0; i + 2 < image.pixels.size(); i += 3) {
    uint64_t word = rng.next();
    for (size_t c = 0; c < 3; ++c, word >>= 20) {
      const int sum = static_cast<int>(word & 1023) + static_cast<int>(word >> 10 & 1023) - 1023;
      image.pixels[i + c] =
          static_cast<uint8_t>(std::clamp(image.pixels[i + c] + ((sum * gain + 32768) >> 16), 0, 255));
    }
  }
}

void expose(Image& image, const Weather& weather, Rng rng) {
  blur(image, weather.blur);
  add_noise(image, weather.noise * rng.uniform(0.7, 1.3), rng);
}

}  // namespace moe::synth
