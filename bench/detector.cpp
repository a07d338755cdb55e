// One training step of RT-DETR R18 with 80 classes and one dense decoder, from batch to updated weights through moe.h,
// against transformers' model of the same shapes: as it is by default, and in its best setting (channels-last, memory
// kept, fp32 products by oneDNN). Random pictures with ten boxes each.
#include <memory>

#include "base/rng.h"
#include "base/text.h"
#include "c_api.h"
#include "peer.h"
#include "turns.h"

namespace {

using bench::check;
using bench::view;

constexpr int64_t classes = 80, boxes_each = 10;

struct Case {
  const char* type;  // of torch.autocast: fp32 is none
  int64_t images, side;
  bench::Goal beside_default, beside_best;

  std::string name() const { return moe::text("detector/", type, "/batch=", images, "/", side, "x", side); }
};

std::string settings(const Case& one) {
  std::string names;
  for (int64_t i = 0; i < classes; ++i) names += moe::text(i == 0 ? "" : ", ", "c", i);
  return moe::text("task: rtdetr\ndata: {classes: [", names, "], size: [", one.side, ", ", one.side, "]}\n",
                   "train: {amp: ", std::string_view(one.type) == "bf16" ? "bf16" : "off", "}\n",
                   "optimizer: {kind: adamw, lr: 1e-4, weight_decay: 1e-4}\n");
}

std::vector<float> uniform(const char* name, int64_t count) {
  moe::Rng rng(1, name);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = static_cast<float>(rng.uniform());
  return out;
}

moe_batch* make_batch(const Case& one) {
  const int64_t count = one.images * boxes_each, image_shape[] = {one.images, 3, one.side, one.side};
  const int64_t box_shape[] = {count, 4}, offset_shape = one.images + 1;
  const std::vector<float> pixels = uniform("pixels", one.images * 3 * one.side * one.side);
  std::vector<float> boxes = uniform("boxes", count * 4);
  std::vector<int64_t> labels, offsets = {0};
  moe::Rng rng(1, "labels");
  for (int64_t i = 0; i < count; ++i) {
    labels.push_back(rng.below(classes));
    for (int64_t k = 4 * i; k < 4 * i + 2; ++k) {
      boxes[k + 2] = 0.25F * boxes[k + 2] + 0.02F;
      boxes[k] = boxes[k + 2] / 2 + boxes[k] * (1 - boxes[k + 2]);
    }
  }
  for (int64_t i = 1; i <= one.images; ++i) offsets.push_back(i * boxes_each);
  moe_batch* batch = nullptr;
  check(moe_batch_create(&batch));
  const auto set = [&](const char* name, const moe_tensor_view& values) { check(moe_batch_set(batch, name, &values)); };
  set("images", view(MOE_F32, pixels.data(), image_shape, 4));
  set("boxes", view(MOE_F32, boxes.data(), box_shape, 2));
  set("labels", view(MOE_I64, labels.data(), &count, 1));
  set("offsets", view(MOE_I64, offsets.data(), &offset_shape, 1));
  return batch;
}

bench::Rival ours(const Case& one) {
  const std::shared_ptr<moe_session> session(bench::create_session(settings(one)), moe_session_free);
  const std::shared_ptr<moe_batch> batch(make_batch(one), moe_batch_free);
  return bench::resident_rival("moe", [=] {
    check(moe_session_feed(session.get(), batch.get()));
    check(moe_session_step(session.get(), nullptr));
  });
}

std::vector<bench::Rival> beside_peers(const Case& one) {
  std::vector<bench::Rival> rivals = {ours(one)};
  std::vector<std::string> arguments = {
      "--batch", std::to_string(one.images), "--size", std::to_string(one.side), "--dtype", one.type};
  bench::add_peer(rivals, "transformers", "rtdetr_step.py", arguments, false, one.beside_default);
  arguments.push_back("--best");
  bench::add_peer(rivals, "transformers_best", "rtdetr_step.py", arguments, true, one.beside_best);
  return rivals;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr double memory = 0.8;
  const std::vector<Case> cases = {{"fp32", 4, 640, {0.55, memory}, {0.85, memory}},
                                   {"bf16", 4, 640, {0.65, memory}, {0.75, memory}},
                                   {"fp32", 8, 320, {0.55, memory}, {}},
                                   {"bf16", 8, 320, {0.60, memory}, {}}};
  constexpr int rounds = 5;
  for (const Case& one : cases) {
    bench::add_turns(one.name(), [one] { return beside_peers(one); }, rounds);
  }
  return bench::run_benchmarks(argc, argv);
}
