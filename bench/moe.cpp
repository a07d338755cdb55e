// The mixture layer with FFN experts, router included, forward and backward: against its dense twin (one FFN of the
// same active work with the same products), the same twin of torch's own layers, sorted rows with at::_grouped_mm, and
// transformers' Mixtral block. And its growth with the number of tokens and of experts.
#include <torch/torch.h>

#include <memory>

#include "base/rng.h"
#include "base/text.h"
#include "moe/dispatch.h"
#include "moe/ffn_experts.h"
#include "moe/router.h"
#include "peer.h"
#include "tensor/cpu_allocator.h"
#include "tensor/linear.h"
#include "tensor/random.h"
#include "tensor/scope.h"
#include "turns.h"

namespace {

constexpr int64_t dim = 256;

struct Sizes {
  int64_t tokens, experts, top_k, hidden;
  at::ScalarType type;
  bool autocast = false;  // to bfloat16, with weights in float32
  bool gated = false;     // SwiGLU in place of GELU

  double gflop() const {  // forward and backward, two products, gated three; the router's is left out
    return (gated ? 18e-9 : 12e-9) * static_cast<double>(tokens * top_k * dim * hidden);
  }
  int64_t first_width() const { return gated ? 2 * hidden : hidden; }
};

const char* type_name(at::ScalarType type) {
  return type == at::kFloat ? "fp32" : "bf16";
}

at::Tensor values(const char* name, at::IntArrayRef shape, at::ScalarType type, double scale) {
  return (moe::normal_tensor(moe::Rng(1, name), shape) * scale).to(type);
}

// Several inputs in turn, so that the experts' loads change from call to call, as in training.
class Inputs {
 public:
  explicit Inputs(const Sizes& s) {
    for (int64_t i = 0; i < count; ++i) {
      const moe::Rng rng(2, "x", static_cast<uint64_t>(i));
      x_.push_back(moe::normal_tensor(rng, {s.tokens, dim}).to(s.type).requires_grad_());
    }
    dy_ = values("dy", {s.tokens, dim}, s.autocast ? at::kBFloat16 : s.type, 1);
  }
  at::Tensor next() { return x_[static_cast<size_t>(turn_++ % count)]; }
  const at::Tensor& dy() const { return dy_; }

 private:
  static constexpr int64_t count = 8;
  std::vector<at::Tensor> x_;
  at::Tensor dy_;
  int64_t turn_ = 0;
};

struct Dense {
  at::Tensor w1, w2;

  explicit Dense(const Sizes& s)
      : w1(values("w1", {s.top_k * s.hidden, dim}, s.type, 0.06).requires_grad_()),
        w2(values("w2", {dim, s.top_k * s.hidden}, s.type, 0.03).requires_grad_()) {}
  at::Tensor operator()(const at::Tensor& x) const { return moe::linear(at::gelu(moe::linear(x, w1)), w2); }
  std::vector<at::Tensor> parameters() const { return {w1, w2}; }
};

struct TorchDense : Dense {
  using Dense::Dense;
  at::Tensor operator()(const at::Tensor& x) const { return at::linear(at::gelu(at::linear(x, w1)), w2); }
};

struct Mixture {
  Sizes sizes;
  at::Tensor router, w1, w2;

  explicit Mixture(const Sizes& s)
      : sizes(s),
        router(values("router", {s.experts, dim}, at::kFloat, 0.06).requires_grad_()),
        w1(values("w1", {s.experts, s.first_width(), dim}, s.type, 0.06).requires_grad_()),
        w2(values("w2", {s.experts, dim, s.hidden}, s.type, 0.04).requires_grad_()) {}

  moe::Routing routed(const at::Tensor& x) const {
    moe::RouterOptions options;
    options.top_k = sizes.top_k;
    moe::RouterInputs in;
    in.logits = moe::linear_logits(x, router);
    return moe::route(options, in);
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const moe::Routing routing = routed(x);
    const moe::Dispatch dispatch = moe::sort_by_expert(routing.experts, sizes.experts, moe::RowCounts::rounded);
    const auto activation = sizes.gated ? moe::FfnActivation::swiglu : moe::FfnActivation::gelu;
    return moe::ffn_experts(x, routing.gates, dispatch, {w1, {}, w2, {}}, activation);
  }
  std::vector<at::Tensor> parameters() const { return {router, w1, w2}; }
};

// What torch offers for the same: sort, grouped products, scatter-add.
struct GroupedMm : Mixture {
  using Mixture::Mixture;
  at::Tensor operator()(const at::Tensor& x) const {
    const moe::Routing routing = routed(x);
    const at::Tensor flat = routing.experts.flatten(), order = flat.argsort(/*stable=*/true, 0, false);
    const at::Tensor ends = at::bincount(flat, {}, sizes.experts).cumsum(0).to(at::kInt);
    const at::Tensor tokens = order.div(sizes.top_k, "floor");
    const at::Tensor h = at::_grouped_mm(x.index_select(0, tokens), w1.transpose(1, 2), ends);
    const at::Tensor y = at::_grouped_mm(activated(h), w2.transpose(1, 2), ends);
    const at::Tensor gates = routing.gates.flatten().index_select(0, order).to(y.scalar_type());
    return at::zeros_like(x).index_add(0, tokens, y * gates.unsqueeze(1));
  }
  at::Tensor activated(const at::Tensor& h) const {
    if (!sizes.gated) return at::gelu(h);
    const std::vector<at::Tensor> halves = h.chunk(2, 1);
    return at::silu(halves[0]) * halves[1];
  }
};

// `times` calls in one, for work equal to that of another size.
template <typename Layer>
bench::Rival rival(const std::string& name, const Sizes& s, bench::Goal goal = {}, int64_t times = 1) {
  const auto inputs = std::make_shared<Inputs>(s);
  const auto layer = std::make_shared<Layer>(s);
  const auto step = [=] {
    const at::Tensor x = inputs->next();
    {
      const moe::AutocastScope scope(s.autocast ? std::optional(at::kBFloat16) : std::nullopt);
      (*layer)(x).backward(inputs->dy());
    }
    x.mutable_grad().reset();
    for (const at::Tensor& parameter : layer->parameters()) parameter.mutable_grad().reset();
  };
  const auto call = [=] {
    for (int64_t i = 0; i < times; ++i) step();
  };
  return {.name = name, .call = call, .gflop = s.gflop() * static_cast<double>(times), .goal = goal};
}

// at_most: of the dense twin's time; of its memory a quarter more.
void add_twins(const char* name, const Sizes& s, double at_most) {
  constexpr double memory = 1.25;
  std::vector<bench::Rival> rivals = {rival<Mixture>("moe", s), rival<Dense>("dense", s, {at_most, memory}),
                                      rival<TorchDense>("torch_dense", s)};
  if (!s.autocast) rivals.push_back(rival<GroupedMm>("grouped_mm", s, {1.0}));  // autocast leaves it in float32
  bench::add_turns(moe::text("twin/", name, "/rows=", s.tokens * s.top_k / s.experts, "/F=", s.hidden, "/k=", s.top_k),
                   std::move(rivals));
}

// transformers' Mixtral block, each of its expert implementations with malloc as it is and with memory kept.
std::vector<bench::Rival> beside_peers(int64_t tokens, at::ScalarType type) {
  const Sizes s = {tokens, 8, 2, 4 * dim, type, false, true};
  const bench::Goal goal = {type == at::kFloat ? 0.50 : 0.75};  // of every one of them: of the best
  std::vector<bench::Rival> rivals = {rival<Mixture>("moe", s), rival<GroupedMm>("at_grouped_mm", s, {1.0})};
  for (const char* implementation : {"eager", "grouped_mm"}) {
    for (const bool kept : {false, true}) {
      const std::vector<std::string> arguments = {"--implementation",     implementation, "--tokens",
                                                  std::to_string(tokens), "--dtype",      type_name(type)};
      bench::add_peer(rivals, moe::text(implementation, kept ? "_kept" : ""), "moe_block.py", arguments, kept, goal);
    }
  }
  return rivals;
}

void add_peers() {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t tokens : {600, 2400, 9600}) {
      bench::add_turns(moe::text("mixtral/", type_name(type), "/T=", tokens),
                       [=] { return beside_peers(tokens, type); });
    }
  }
}

// The same number of tokens at once and in smaller calls: equal times are growth in proportion. And with E experts at
// 300 rows each against 8 experts in E / 8 calls: equal times are a cost that does not depend on E.
void add_growth() {
  constexpr int64_t most_tokens = 65536, most_experts = 64, rows = 300;
  constexpr int rounds = 9;
  const bench::Goal goal = {1.10};
  const auto by_tokens = [=] {
    std::vector<bench::Rival> rivals;
    for (const int64_t tokens : {most_tokens, int64_t{8192}, int64_t{1024}}) {
      rivals.push_back(
          rival<Mixture>(moe::text("T", tokens), {tokens, 8, 2, 512, at::kFloat}, goal, most_tokens / tokens));
    }
    return rivals;
  };
  const auto by_experts = [=] {
    std::vector<bench::Rival> rivals;
    for (const int64_t experts : {most_experts, int64_t{32}, int64_t{16}, int64_t{8}}) {
      rivals.push_back(rival<Mixture>(moe::text("E", experts), {experts * rows / 2, experts, 2, 512, at::kFloat}, goal,
                                      most_experts / experts));
    }
    return rivals;
  };
  bench::add_turns("growth/tokens", by_tokens, rounds);
  bench::add_turns("growth/experts/rows=300", by_experts, rounds);
}

}  // namespace

int main(int argc, char** argv) {
  add_twins("fp32", {1200, 8, 2, 4 * dim, at::kFloat}, 1.00);
  add_twins("fp32", {4800, 8, 2, 4 * dim, at::kFloat}, 1.00);
  add_twins("fp32", {600, 8, 4, 2 * dim, at::kFloat}, 1.15);
  add_twins("fp32", {300, 8, 2, 4 * dim, at::kFloat}, 1.35);
  add_twins("bf16", {1200, 8, 2, 4 * dim, at::kBFloat16}, 1.20);
  add_twins("autocast", {1200, 8, 2, 4 * dim, at::kFloat, true}, 1.20);
  add_peers();
  add_growth();
  const moe::KeepMemory keep;  // as a session does
  return bench::run_benchmarks(argc, argv);
}
