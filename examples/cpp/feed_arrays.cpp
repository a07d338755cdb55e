// A program with its own data and its own loop: pictures with coloured boxes, made here, go as plain vectors into a
// session. Every step takes a window of two micro-batches; at the end, what every expert did.
//
//   feed_arrays [STEPS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "moe.hpp"

namespace {

constexpr std::int64_t batch_size = 4, side = 96, boxes_each = 2;

const char settings[] = R"(
task: rtdetr
data: {classes: [red, green, blue], size: [96, 96]}
model:
  backbone: {width: 0.25}
  hidden: 32
  encoder: {ffn: 64}
  decoder: {layers: 2, ffn: 64}
  denoising: {queries: 20}
  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 20}
optimizer: {lr: 2e-3}
)";

// One micro-batch: the boxes of picture i are rows offsets[i] to offsets[i + 1] - 1.
struct Scene {
  std::vector<float> images = std::vector<float>(batch_size * 3 * side * side);  // [B, 3, H, W] in 0..1
  std::vector<float> boxes;                                                      // [N, 4] cx, cy, w, h in 0..1
  std::vector<std::int64_t> labels;                                              // [N]
  std::vector<std::int64_t> offsets = {0};                                       // [B + 1]
};

void add_box(Scene& scene, std::int64_t picture, std::mt19937& random) {
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(n));
  };
  const std::int64_t label = below(3), w = 16 + below(24), h = 16 + below(24);
  const std::int64_t left = below(side - w), top = below(side - h);
  for (std::int64_t c = 0; c < 3; ++c) {
    for (std::int64_t y = top; y < top + h; ++y) {
      float* row = &scene.images[static_cast<std::size_t>(((picture * 3 + c) * side + y) * side)];
      std::fill(row + left, row + left + w, c == label ? 0.9F : 0.1F);
    }
  }
  const auto share = [](std::int64_t pixels2) { return static_cast<float>(pixels2) / (2.0F * side); };
  for (const float v : {share(2 * left + w), share(2 * top + h), share(2 * w), share(2 * h)}) scene.boxes.push_back(v);
  scene.labels.push_back(label);
}

Scene make_scene(std::mt19937& random) {
  Scene scene;
  for (float& pixel : scene.images) pixel = 0.4F + 0.2F * static_cast<float>(random() >> 8) / 16777216.0F;
  for (std::int64_t picture = 0; picture < batch_size; ++picture) {
    for (std::int64_t box = 0; box < boxes_each; ++box) add_box(scene, picture, random);
    scene.offsets.push_back(static_cast<std::int64_t>(scene.labels.size()));
  }
  return scene;
}

moe::Batch make_batch(const Scene& scene) {
  const auto count = static_cast<std::int64_t>(scene.labels.size());
  moe::Batch batch;
  batch.set("images", scene.images, {batch_size, 3, side, side})
      .set("boxes", scene.boxes, {count, 4})
      .set("labels", scene.labels, {count})
      .set("offsets", scene.offsets, {batch_size + 1});
  return batch;
}

void print_experts(const moe::Session& session) {
  for (std::int32_t layer = 0; layer < session.layers(); ++layer) {
    const moe_layer_stat total = session.layer_stats(layer, MOE_WINDOW_LIFETIME);
    std::printf("%s: entropy of a decision %.2f, of the load %.2f\n", session.layer(layer).name, total.token_entropy,
                total.marginal_entropy);
    std::int32_t expert = 0;
    for (const moe_expert_stat& stat : session.expert_stats(layer, MOE_WINDOW_LIFETIME)) {
      std::printf("  %-8s %6lld tokens  share %5.1f%%  gate %.2f\n", session.expert_name(layer, expert++).c_str(),
                  static_cast<long long>(stat.tokens), 100 * stat.share, stat.gate_mean);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 150;
  try {
    moe::Session session(moe::Config::parse(settings));
    std::mt19937 random(1);
    for (int i = 0; i < steps; ++i) {
      for (int part = 0; part < 2; ++part) session.feed(make_batch(make_scene(random)));
      const moe_step_info step = session.step();  // all or nothing
      std::printf("step %lld  loss %.3f  %.0f ms\n", static_cast<long long>(step.step), step.loss, 1e3 * step.seconds);
    }
    print_experts(session);

    const moe::Batch found = session.predict(make_batch(make_scene(random)));
    const auto scores = found.read<float>("scores");
    const auto offsets = found.read<std::int64_t>("offsets");
    std::printf("best score in picture 0: %.2f of %lld detections\n", scores.data[0],
                static_cast<long long>(offsets.data[1]));
    return 0;
  } catch (const moe::Error& error) {
    std::fprintf(stderr, "%s: %s\n", moe_status_name(error.status()), error.what());
    return 1;
  }
}
