// Time of day and weather of a scene: the light, the sky, and what the sensor adds to the finished picture.
#pragma once

#include "base/rng.h"
#include "data/synth/painter.h"

namespace moe::synth {

enum class Daytime { sunny, overcast, dusk, night };

struct Weather {
  Daytime daytime;
  bool rain = false;
  Light light;
  Rgb sky_top;         // the sky's lower end is light.haze
  double noise, blur;  // standard deviation in grey levels; weight of each neighbour, 0 .. 0.25
};

Weather draw_weather(Rng rng);
void paint_sky(Image& image, const Camera& camera, const Weather& weather, Rng rng);
void paint_rain(Image& image, Rng rng);
// Slight blur, then noise that differs from pixel to pixel and channel to channel.
void expose(Image& image, const Weather& weather, Rng rng);

}  // namespace moe::synth
