// Scenes that tests/fixtures/coco/make.py gave to pycocotools, drawn from the same hash fill.
#pragma once

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/rng.h"
#include "eval/coco.h"
#include "support/test.h"

namespace moe::coco_scenes {

struct Scene {
  CocoOptions options;
  std::vector<CocoTruth> truths;
  std::vector<CocoDetection> detections;
};

inline std::ifstream open_fixture(const std::string& name) {
  const char* root = std::getenv("MOE_SOURCE_DIR");
  std::ifstream file(std::string(root ? root : ".") + "/tests/fixtures/coco/" + name);
  CHECK(file.good());
  return file;
}

// The hash fill: number j of the stream `name`, in [0, 1).
inline double u(const std::string& name, uint64_t j) {
  const uint64_t key = static_cast<uint64_t>(crc32(0, name.data(), name.size())) << 32;
  return static_cast<double>(mix64(key + j + 0x9E3779B97F4A7C15ULL) >> 40) * 0x1p-24;
}

struct Draw {
  double r[7];
  Draw(const std::string& name, int64_t row, int64_t width) {
    for (int64_t c = 0; c < width; ++c) r[c] = u(name, row * width + c);
  }
};

inline double two_decimals(double score) {
  return std::rint(score * 100) / 100;
}

inline CocoBox placed(const Draw& q) {
  const double w = 8 + 192 * (q.r[2] * q.r[2]), h = 8 + 192 * (q.r[3] * q.r[3]);
  return {q.r[0] * (640 - w), q.r[1] * (480 - h), w, h};
}

inline CocoDetection golden_detection(int64_t image, int64_t row, const CocoTruth* of_image) {
  const Draw q("dt" + std::to_string(image), row, 7);
  const double* r = q.r;
  const int64_t random_label = static_cast<int64_t>(3 * r[5]);
  if (row >= 8) return {image, random_label, placed(q), two_decimals(0.7 * r[6])};
  const CocoBox& b = of_image[row].box;
  const CocoBox box = {b.x + 0.25 * b.width * (r[0] - 0.5), b.y + 0.25 * b.height * (r[1] - 0.5),
                       b.width * (1 + 0.25 * (r[2] - 0.5)), b.height * (1 + 0.25 * (r[3] - 0.5))};
  return {image, r[4] < 0.9 ? of_image[row].label : random_label, box, two_decimals(0.3 + 0.7 * r[6])};
}

inline Scene golden() {
  Scene scene;
  scene.options.classes = 3;
  for (int64_t i = 0; i < 20; ++i) {
    for (int64_t j = 0; j < 8; ++j) {
      const Draw q("gt" + std::to_string(i), j, 6);
      const CocoBox box = placed(q);
      const int64_t id = static_cast<int64_t>(scene.truths.size()) + 1;
      scene.truths.push_back({i, static_cast<int64_t>(3 * q.r[4]), box, box.width * box.height, q.r[5] < 0.1, id});
    }
    for (int64_t j = 0; j < 14; ++j) scene.detections.push_back(golden_detection(i, j, &scene.truths[8 * i]));
  }
  return scene;
}

inline CocoTruth scene_truth(int64_t image, int64_t row, int64_t classes, int64_t id) {
  const Draw q("truth" + std::to_string(image), row, 7);
  const double* r = q.r;
  const double w = 4 + 300 * (r[2] * r[2]), h = 4 + 300 * (r[3] * r[3]);
  return {image,
          static_cast<int64_t>(static_cast<double>(classes) * (r[4] * r[4])),
          {r[0] * 640, r[1] * 480, w, h},
          w * h * (0.5 + 0.5 * r[6]),
          r[5] < 0.05,
          id};
}

inline CocoDetection scene_detection(int64_t image, int64_t row, int64_t classes, const CocoTruth* here,
                                     int64_t count) {
  const Draw q("found" + std::to_string(image), row, 7);
  const double* r = q.r;
  if (count == 0 || r[0] >= 0.6) {
    const CocoBox box = {r[2] * 640, r[3] * 480, 4 + 300 * (r[4] * r[4]), 4 + 300 * (r[5] * r[5])};
    return {image, static_cast<int64_t>(static_cast<double>(classes) * (r[1] * r[1])), box, two_decimals(r[6])};
  }
  const CocoTruth& t = here[static_cast<int64_t>(static_cast<double>(count) * r[1])];
  const CocoBox box = {t.box.x + 0.2 * t.box.width * (r[2] - 0.5), t.box.y + 0.2 * t.box.height * (r[3] - 0.5),
                       t.box.width * (1 + 0.2 * (r[4] - 0.5)), t.box.height * (1 + 0.2 * (r[5] - 0.5))};
  return {image, t.label, box, two_decimals(r[6])};
}

inline Scene crowd_scene(int64_t images, int64_t classes) {
  Scene scene;
  scene.options.classes = classes;
  for (int64_t i = 0; i < images; ++i) {
    const std::string sizes = "n" + std::to_string(i);
    const size_t first = scene.truths.size();
    const int64_t truths = u(sizes, 2) < 0.9 ? static_cast<int64_t>(13 * u(sizes, 0)) : 0;
    const int64_t detections = static_cast<int64_t>(31 * u(sizes, 1));
    for (int64_t j = 0; j < truths; ++j) {
      scene.truths.push_back(scene_truth(i, j, classes, static_cast<int64_t>(scene.truths.size()) + 1));
    }
    for (int64_t j = 0; j < detections; ++j) {
      scene.detections.push_back(scene_detection(i, j, classes, scene.truths.data() + first, truths));
    }
  }
  return scene;
}

}  // namespace moe::coco_scenes
