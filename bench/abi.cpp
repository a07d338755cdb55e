// What the C boundary costs, through moe.h alone: calls that do next to nothing, a batch of 4 x 3 x 640 x 640 float32
// into a session against a memcpy of the same bytes, and the expert counts of 12 layers x 16 experts.
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <ATen/dlpack.h>

#include "c_api.h"
#include "turns.h"

namespace {

using bench::check;
using bench::view;

constexpr int32_t layers = 12, experts = 16;
constexpr int64_t images_shape[] = {4, 3, 640, 640}, side = 64;
constexpr size_t pixels = size_t{4} * 3 * 640 * 640, bytes = pixels * sizeof(float);

// Small weights, twelve decoder layers of sixteen experts.
moe_session* make_session() {
  return bench::create_session(
      "task: rtdetr\n"
      "model:\n"
      "  backbone: {width: 0.125}\n"
      "  hidden: 32\n"
      "  heads: 4\n"
      "  queries: 20\n"
      "  encoder: {ffn: 32}\n"
      "  decoder: {layers: 12, ffn: 64}\n"
      "  denoising: {queries: 0}\n"
      "  experts: {kind: ffn, count: 16, top_k: 2}\n");
}

// The targets of four pictures with one box each.
moe_batch* make_batch() {
  static const std::vector<float> boxes(16, 0.5F);
  static const int64_t labels[] = {0, 1, 2, 3}, offsets[] = {0, 1, 2, 3, 4}, four[] = {4, 4}, five = 5;
  const moe_tensor_view views[] = {view(MOE_F32, boxes.data(), four, 2), view(MOE_I64, labels, four, 1),
                                   view(MOE_I64, offsets, &five, 1)};
  const char* names[] = {"boxes", "labels", "offsets"};
  moe_batch* batch = nullptr;
  check(moe_batch_create(&batch));
  for (int i = 0; i < 3; ++i) check(moe_batch_set(batch, names[i], &views[i]));
  return batch;
}

// A step over small pictures, so that every layer has counted something.
void train_once(moe_session* session) {
  static const std::vector<float> small(size_t{4} * 3 * side * side, 0.5F);
  const int64_t shape[] = {4, 3, side, side};
  const moe_tensor_view images = view(MOE_F32, small.data(), shape, 4);
  moe_batch* batch = make_batch();
  check(moe_batch_set(batch, "images", &images));
  check(moe_session_feed(session, batch));
  check(moe_session_step(session, nullptr));
  moe_batch_free(batch);
}

// A DLPack tensor over `data`, whose deleter frees the description and leaves the data.
struct Loan {
  DLManagedTensorVersioned tensor{};
  std::array<int64_t, 4> shape{4, 3, 640, 640};
};

DLManagedTensorVersioned* lend(std::vector<float>& data) {
  auto* loan = new Loan;
  loan->tensor.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
  loan->tensor.manager_ctx = loan;
  loan->tensor.deleter = [](DLManagedTensorVersioned* self) { delete static_cast<Loan*>(self->manager_ctx); };
  loan->tensor.dl_tensor = {data.data(), {kDLCPU, 0}, 4, {kDLFloat, 32, 1}, loan->shape.data(), nullptr, 0};
  return &loan->tensor;
}

// The way of a batch into the window and out of it again. memcpy goes into memory at hand; malloc_memcpy into fresh
// memory, as a batch does that has no tensor of this size to replace.
void add_feed(moe_session* session) {
  auto source = std::make_shared<std::vector<float>>(pixels, 0.5F),
       target = std::make_shared<std::vector<float>>(pixels);
  moe_batch* batch = make_batch();
  const auto set = [=] {
    const moe_tensor_view images = view(MOE_F32, source->data(), images_shape, 4);
    check(moe_batch_set(batch, "images", &images));
  };
  const auto bind = [=] { check(moe_batch_bind_dlpack(batch, "images", lend(*source))); };
  const auto feed = [=] {
    check(moe_session_feed(session, batch));
    check(moe_session_discard(session));
  };
  const auto fresh = [=] {
    void* copy = std::malloc(bytes);
    std::memcpy(copy, source->data(), bytes);
    benchmark::DoNotOptimize(copy);
    std::free(copy);
  };
  const bench::Rival at_hand = {
      "memcpy", [=] { benchmark::DoNotOptimize(std::memcpy(target->data(), source->data(), bytes)); }};
  const std::vector<bench::Rival> ways = {{"set", set},
                                          {"feed", feed},
                                          {"set_feed", [=] { set(), feed(); }},
                                          {"dlpack", bind},
                                          {"dlpack_feed", [=] { bind(), feed(); }}};
  for (const bench::Rival& way : ways) {
    bench::Rival copy = at_hand;
    if (way.name == "set_feed") copy.goal.time = 1.1;  // one copy, and a tenth for the checks
    bench::add_turns("abi/4x3x640x640/" + way.name, {way, copy, {"malloc_memcpy", fresh}});
  }
}

template <typename Call>
void add_call(const char* name, Call call) {
  benchmark::RegisterBenchmark(name, [call](benchmark::State& state) {
    for (auto _ : state) call();
  });
}

void add_empty_calls(moe_session* session) {
  moe_batch* batch = make_batch();
  add_call("abi/moe_version", [] { benchmark::DoNotOptimize(moe_version()); });
  add_call("abi/moe_batch_count", [=] {
    int32_t count = 0;
    check(moe_batch_count(batch, &count));
  });
  add_call("abi/moe_session_layer_count", [=] {
    int32_t count = 0;
    check(moe_session_layer_count(session, &count));
  });
  add_call("abi/moe_session_discard", [=] { check(moe_session_discard(session)); });
  add_call("abi/error", [=] { benchmark::DoNotOptimize(moe_batch_count(batch, nullptr)); });
}

void add_expert_stats(moe_session* session) {
  add_call("abi/expert_stats_12x16", [=] {
    std::array<moe_expert_stat, experts> stats;
    size_t count = 0;
    for (int32_t layer = 0; layer < layers; ++layer) {
      check(moe_session_expert_stats(session, layer, MOE_WINDOW_LIFETIME, stats.data(), stats.size(), &count));
    }
    benchmark::DoNotOptimize(stats);
  });
  add_call("abi/layer_stats_12", [=] {
    moe_layer_stat stat = MOE_LAYER_STAT_INIT;
    for (int32_t layer = 0; layer < layers; ++layer) {
      check(moe_session_layer_stats(session, layer, MOE_WINDOW_LIFETIME, &stat));
    }
    benchmark::DoNotOptimize(stat);
  });
}

}  // namespace

int main(int argc, char** argv) {
  moe_session* session = make_session();
  train_once(session);
  add_empty_calls(session);
  add_expert_stats(session);
  add_feed(session);
  return bench::run_benchmarks(argc, argv);
}
