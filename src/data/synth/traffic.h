// Generated roadside scenes: what a camera on a pole sees of a street with cars, vans, trucks, buses, pedestrians,
// bicycles and motorcycles, by day and night, with tight 2D boxes. Drawn, not simulated: no motion, no calibration
// files, no point clouds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/rng.h"
#include "image/image.h"

namespace moe {

struct TrafficOptions {
  int64_t train_images = 400;  // 1 to 999999 with the next
  int64_t val_images = 100;    // 0 or more
  int64_t width = 640;         // pixels, 64 to 4096
  int64_t height = 384;        // pixels, 64 to 4096
  int64_t threads = 2;         // 1 to 64; does not change the result
  uint64_t seed = 0;
};

// One labelled object. Pixels of the picture, corner form: the extent of its visible pixels, so the upper ends are
// exclusive.
struct TrafficObject {
  std::string type;  // DAIR-V2X's: Car Van Truck Bus Pedestrian Cyclist Motorcyclist
  double xmin = 0, ymin = 0, xmax = 0, ymax = 0;
  int occluded_state = 0;   // 0: at least 90 % of its pixels are visible, 1: at least 60 %, 2: at least 25 %
  int truncated_state = 0;  // 0: inside, 1: cut at the left or right border, 2: at the upper or lower border only
  // Metres from the point below the camera: x ahead, y to the left, z up, of the box's middle. rotation: radians about
  // z from x.
  double x = 0, y = 0, z = 0, length = 0, width = 0, height = 0, rotation = 0;
  uint16_t owner = 0;  // its number in `owners` of render_scene
};

// One scene, a function of the size and the stream alone. Objects that are less than a quarter visible or smaller than
// 6 pixels are not listed. owners, if given, receives for every pixel [height * width] the object that it shows, 0 for
// none.
Image render_scene(const TrafficOptions& options, Rng rng, std::vector<TrafficObject>& objects,
                   std::vector<uint16_t>* owners = nullptr);

// Writes a data set in the layout of DAIR-V2X-I: image/, label/camera/, data_info.json, split_data.json. The ids of val
// follow those of train; the two draw from separate streams. The same options give the same bytes. root is created, or
// must be empty. Throws MOE_ERR_INVALID_ARGUMENT, MOE_ERR_STATE (root is not empty), MOE_ERR_IO.
void generate_traffic(const std::string& root, const TrafficOptions& options, const Log& log);

}  // namespace moe
