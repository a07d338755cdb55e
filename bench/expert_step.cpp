// A whole training step of a small detector whose decoder layers are mixtures of feed-forward experts
// (configs/rtdetr/hituav_ffn.yml), through moe.h, beside its dense twin: the same detector with one FFN of equal active
// work in each layer. And the routing statistics of such a step beside the step.
#include <torch/torch.h>

#include "base/rng.h"
#include "base/text.h"
#include "c_api.h"
#include "moe/router.h"
#include "moe/routing_stats.h"
#include "pictures.h"
#include "tensor/random.h"
#include "turns.h"

namespace {

using bench::check;

constexpr int64_t images = 8, queries = 100, decoder_layers = 3, experts = 8, top_k = 2, classes = 4;
constexpr int rounds = 15;

// `file` below configs/, with the dense layers' number of queries where it has none of its own.
std::shared_ptr<moe_session> session_of(const char* file, const char* amp) {
  moe_config* config = nullptr;
  moe_session* session = nullptr;
  check(moe_config_load(moe::text(MOE_BENCH_PEERS "/../../configs/", file).c_str(), &config));
  check(moe_config_set(config, "train.amp", amp));
  check(moe_config_set(config, "model.queries", std::to_string(queries).c_str()));
  check(moe_session_create(config, nullptr, &session));
  moe_config_free(config);
  return {session, moe_session_free};
}

bench::Rival step(const char* name, const char* file, const char* amp, bench::Goal goal = {}) {
  const auto session = session_of(file, amp);
  const auto batch = bench::random_pictures({images, 256, 320, classes});
  bench::Rival rival = bench::resident_rival(name, [=] {
    check(moe_session_feed(session.get(), batch.get()));
    check(moe_session_step(session.get(), nullptr));
  });
  rival.goal = goal;
  return rival;
}

bench::Rival mixture(const char* amp, bench::Goal goal = {}) {
  return step("mixture", "rtdetr/hituav_ffn.yml", amp, goal);
}

// What the layers of one step record; the queries that denoising adds are not counted.
bench::Rival statistics() {
  moe::RouterOptions options;
  options.top_k = top_k;
  moe::RouterInputs in;
  in.logits = moe::normal_tensor(moe::Rng(1, "logits"), {images * queries, experts});
  const std::vector<std::string> names(experts, "expert");
  const auto stats = std::make_shared<moe::RoutingStats>("layer", "ffn", "query", names, top_k, classes);
  const at::Tensor labels = at::arange(images * queries).remainder(classes);
  const auto call = [=, routing = moe::route(options, in)] {
    for (int64_t layer = 0; layer < decoder_layers; ++layer) stats->record(moe::routing_record(routing, labels));
    stats->commit();
  };
  return {"statistics", call};
}

}  // namespace

int main(int argc, char** argv) {
  for (const char* amp : {"off", "bf16"}) {
    const auto twins = [=] { return std::vector{mixture(amp), step("dense_twin", "base/hituav.yml", amp)}; };
    const auto share = [=] { return std::vector{statistics(), mixture(amp, {0.01})}; };
    bench::add_turns(moe::text("expert_step/amp=", amp), twins, rounds);
    bench::add_turns(moe::text("expert_step/statistics/amp=", amp), share, rounds);
  }
  return bench::run_benchmarks(argc, argv);
}
