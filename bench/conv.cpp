// Convolution experts with routing by sample, forward and backward: mixed kernels, and samples grouped by expert,
// against k dense convolutions over all samples, which is the work that the chosen experts do.
#include "moe/conv_experts.h"

#include <torch/torch.h>

#include "base/rng.h"
#include "base/text.h"
#include "tensor/random.h"
#include "turns.h"

namespace {

constexpr int64_t samples = 8, experts = 8, top_k = 2, kernel = 3;

struct Sizes {
  int64_t channels, side;

  double gflop() const { return 6e-9 * static_cast<double>(samples * top_k * channels * channels * 9 * side * side); }
};

at::Tensor values(const char* name, at::IntArrayRef shape, double scale) {
  return moe::normal_tensor(moe::Rng(1, name), shape) * scale;
}

struct Inputs {
  at::Tensor x, dy, weight, chosen, gates;

  explicit Inputs(const Sizes& s)
      : x(values("x", {samples, s.channels, s.side, s.side}, 1).contiguous(at::MemoryFormat::ChannelsLast)),
        dy(values("dy", x.sizes(), 1).contiguous(at::MemoryFormat::ChannelsLast)),
        weight(moe::channels_last_kernels(values("w", {experts, s.channels, s.channels, kernel, kernel}, 0.05))),
        chosen(
            at::stack({at::arange(samples).remainder(experts), (at::arange(samples) * 3 + 1).remainder(experts)}, 1)),
        gates(values("g", {samples, top_k}, 0.2) + 0.5) {
    for (at::Tensor* leaf : {&x, &weight, &gates}) leaf->requires_grad_();
  }
  void clear() const {
    for (const at::Tensor& leaf : {x, weight, gates}) leaf.mutable_grad().reset();
  }
};

bench::Rival mixture(const char* name, const Sizes& s, moe::ConvRoute route) {
  const Inputs in(s);
  const auto call = [=] {
    moe::ConvStage stage;
    stage.weight = in.weight;
    moe::ConvExpertsOptions options;
    options.route = route;
    moe::conv_experts(in.x, in.chosen, in.gates, {stage}, options).backward(in.dy);
    in.clear();
  };
  return {name, call, s.gflop()};
}

bench::Rival dense(const Sizes& s) {
  const Inputs in(s);
  std::vector<at::Tensor> kernels;
  for (int64_t j = 0; j < top_k; ++j) {
    kernels.push_back(in.weight.detach()[j].contiguous(at::MemoryFormat::ChannelsLast).requires_grad_());
  }
  const auto call = [=] {
    at::Tensor y;
    for (const at::Tensor& one : kernels) {
      const at::Tensor part = at::conv2d(in.x, one, {}, 1, kernel / 2);
      y = y.defined() ? y + part : part;
    }
    y.backward(in.dy);
    in.clear();
    for (const at::Tensor& one : kernels) one.mutable_grad().reset();
  };
  return {"dense", call, s.gflop()};
}

}  // namespace

int main(int argc, char** argv) {
  for (const Sizes& s : {Sizes{64, 64}, Sizes{128, 32}, Sizes{256, 16}}) {
    bench::add_turns(
        moe::text("conv/C=", s.channels, "/side=", s.side, "/k=", top_k),
        {mixture("merged", s, moe::ConvRoute::merged), dense(s), mixture("grouped", s, moe::ConvRoute::grouped)});
  }
  return bench::run_benchmarks(argc, argv);
}
