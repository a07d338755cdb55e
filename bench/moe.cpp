// The mixture layer with FFN experts, router included, forward and backward: against its dense twin (one FFN of the
// same active work with the same products), the same twin of torch's own layers, and sorted rows with at::_grouped_mm.
// And its growth with the number of tokens and of experts.
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
    const at::Tensor h = at::gelu(at::_grouped_mm(x.index_select(0, tokens), w1.transpose(1, 2), ends));
    const at::Tensor y = at::_grouped_mm(h, w2.transpose(1, 2), ends);
    const at::Tensor gates = routing.gates.flatten().index_select(0, order).to(y.scalar_type());
    return at::zeros_like(x).index_add(0, tokens, y * gates.unsqueeze(1));
  }
};

template <typename Layer>
bench::Rival rival(const char* name, const Sizes& s) {
  const auto inputs = std::make_shared<Inputs>(s);
  const auto layer = std::make_shared<Layer>(s);
  const auto call = [=] {
    const at::Tensor x = inputs->next();
    {
      const moe::AutocastScope scope(s.autocast ? std::optional(at::kBFloat16) : std::nullopt);
      (*layer)(x).backward(inputs->dy());
    }
    x.mutable_grad().reset();
    for (const at::Tensor& parameter : layer->parameters()) parameter.mutable_grad().reset();
  };
  return {name, call, s.gflop()};
}

void add_twins(const char* name, const Sizes& s) {
  std::vector<bench::Rival> rivals = {rival<Mixture>("moe", s), rival<Dense>("dense", s),
                                      rival<TorchDense>("torch_dense", s)};
  if (!s.autocast) rivals.push_back(rival<GroupedMm>("grouped_mm", s));  // autocast leaves it in float32
  bench::add_turns(moe::text("twin/", name, "/rows=", s.tokens * s.top_k / s.experts, "/F=", s.hidden, "/k=", s.top_k),
                   std::move(rivals));
}

// transformers' Mixtral block, each of its expert implementations with malloc as it is and with memory kept.
std::vector<bench::Rival> beside_peers(int64_t tokens, at::ScalarType type) {
  std::vector<bench::Rival> rivals = {rival<Mixture>("moe", {tokens, 8, 2, 4 * dim, type, false, true})};
  for (const char* implementation : {"eager", "grouped_mm"}) {
    for (const bool kept : {false, true}) {
      const std::vector<std::string> arguments = {"--implementation",     implementation, "--tokens",
                                                  std::to_string(tokens), "--dtype",      type_name(type)};
      auto peer = bench::peer_rival(moe::text(implementation, kept ? "_kept" : ""), "moe_block.py", arguments, kept);
      if (peer) rivals.push_back(std::move(*peer));
    }
  }
  return rivals;
}

void add_peers() {
  if (bench::peer_python().empty()) return;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t tokens : {600, 2400, 9600}) {
      bench::add_turns(moe::text("mixtral/", type_name(type), "/T=", tokens),
                       [=] { return beside_peers(tokens, type); });
    }
  }
}

void add_growth() {
  std::vector<bench::Rival> by_tokens, by_experts;
  for (const int64_t tokens : {1024, 8192, 65536}) {
    by_tokens.push_back(rival<Mixture>(moe::text("T", tokens).c_str(), {tokens, 8, 2, 512, at::kFloat}));
  }
  for (const int64_t experts : {8, 16, 32, 64}) {
    by_experts.push_back(rival<Mixture>(moe::text("E", experts).c_str(), {150 * experts, experts, 2, 512, at::kFloat}));
  }
  bench::add_turns("growth/tokens", std::move(by_tokens));
  bench::add_turns("growth/experts/rows=300", std::move(by_experts));
}

}  // namespace

int main(int argc, char** argv) {
  add_twins("fp32", {1200, 8, 2, 4 * dim, at::kFloat});
  add_twins("fp32", {600, 8, 4, 2 * dim, at::kFloat});
  add_twins("fp32", {300, 8, 2, 4 * dim, at::kFloat});
  add_twins("fp32", {4800, 8, 2, 4 * dim, at::kFloat});
  add_twins("bf16", {1200, 8, 2, 4 * dim, at::kBFloat16});
  add_twins("autocast", {1200, 8, 2, 4 * dim, at::kFloat, true});
  add_peers();
  add_growth();
  const moe::KeepMemory keep;  // as a session does
  return bench::run_benchmarks(argc, argv);
}
