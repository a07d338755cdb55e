// One training step of RT-DETR R18 with 80 classes and one dense decoder, from batch to updated weights through moe.h,
// against transformers' model of the same shapes: as it is by default, and in its best setting (channels-last, memory
// kept, fp32 products by oneDNN). Random pictures with ten boxes each.
#include <memory>

#include "base/text.h"
#include "c_api.h"
#include "peer.h"
#include "pictures.h"
#include "turns.h"

namespace {

using bench::check;

constexpr int64_t classes = 80;

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

bench::Rival ours(const Case& one) {
  const std::shared_ptr<moe_session> session(bench::create_session(settings(one)), moe_session_free);
  const auto batch = bench::random_pictures({one.images, one.side, one.side, classes});
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
