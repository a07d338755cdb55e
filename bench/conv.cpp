// Convolution experts with routing by sample, forward and backward, against k dense blocks over all samples, which is
// the work that the chosen experts do: mixed kernels, samples grouped by expert, and grouped experts that cannot be
// mixed: depthwise-separable, of several dilations, with GroupNorm and activation.
#include "moe/conv_experts.h"

#include <torch/torch.h>

#include "base/rng.h"
#include "base/text.h"
#include "tensor/cpu_allocator.h"
#include "tensor/random.h"
#include "turns.h"

namespace {

constexpr int64_t top_k = 2, kernel = 3;

struct Sizes {
  int64_t samples, channels, side, experts;

  double gflop() const { return 6e-9 * static_cast<double>(samples * top_k * channels * channels * 9 * side * side); }
};

enum class Kind { plain, separable, dilated, normed };

at::Tensor values(const char* name, at::IntArrayRef shape, double scale) {
  return moe::normal_tensor(moe::Rng(1, name), shape) * scale;
}

struct Inputs {
  at::Tensor x, dy, chosen, gates;
  moe::ConvStage stage;  // of all experts
  moe::ConvExpertsOptions options;

  Inputs(const Sizes& s, Kind kind)
      : x(values("x", {s.samples, s.channels, s.side, s.side}, 1).contiguous(at::MemoryFormat::ChannelsLast)),
        dy(values("dy", x.sizes(), 1).contiguous(at::MemoryFormat::ChannelsLast)),
        chosen(at::stack(
            {at::arange(s.samples).remainder(s.experts), (at::arange(s.samples) * 3 + 1).remainder(s.experts)}, 1)),
        gates(values("g", {s.samples, top_k}, 0.2) + 0.5) {
    const int64_t size = kind == Kind::separable ? 1 : kernel;
    stage.weight = moe::channels_last_kernels(values("w", {s.experts, s.channels, s.channels, size, size}, 0.05));
    if (kind == Kind::separable) stage.depthwise = values("d", {s.experts, s.channels, 1, kernel, kernel}, 0.3);
    if (kind == Kind::dilated) {
      for (int64_t e = 0; e < s.experts; ++e) options.dilation.push_back(int64_t{1} << (e % 3));
    }
    if (kind == Kind::normed) {
      stage.norm_weight = at::ones({s.experts, s.channels});
      stage.norm_bias = at::zeros({s.experts, s.channels});
      stage.activation = moe::ConvActivation::silu;
    }
    for (at::Tensor* leaf : leaves()) leaf->requires_grad_();
  }
  std::vector<at::Tensor*> leaves() {
    std::vector<at::Tensor*> all;
    for (at::Tensor* one : {&x, &gates, &stage.weight, &stage.depthwise, &stage.norm_weight, &stage.norm_bias}) {
      if (one->defined()) all.push_back(one);
    }
    return all;
  }
  void clear() {
    for (const at::Tensor* leaf : leaves()) leaf->mutable_grad().reset();
  }
};

bench::Rival mixture(const std::string& name, const Sizes& s, Kind kind, moe::ConvRoute route) {
  const auto in = std::make_shared<Inputs>(s, kind);
  in->options.route = route;
  const auto call = [=] {
    moe::conv_experts(in->x, in->chosen, in->gates, {in->stage}, in->options).backward(in->dy);
    in->clear();
  };
  return {name, call, s.gflop()};
}

// The block of one expert, over all samples.
struct Block {
  moe::ConvWeights weights;
  at::Tensor norm_weight, norm_bias;
  moe::ConvActivation activation;
  int64_t dilation;

  Block(const Inputs& in, int64_t expert) : activation(in.stage.activation) {
    const auto own = [&](const at::Tensor& stacked) {
      return stacked.defined() ? stacked.detach()[expert].clone().requires_grad_() : at::Tensor();
    };
    weights = {own(in.stage.weight), own(in.stage.depthwise), {}};
    norm_weight = own(in.stage.norm_weight);
    norm_bias = own(in.stage.norm_bias);
    dilation = in.options.dilation.empty() ? 1 : in.options.dilation[static_cast<size_t>(expert)];
  }
  at::Tensor operator()(at::Tensor x) const {
    if (norm_weight.defined()) x = at::group_norm(x, moe::norm_group_count(x.size(1)), norm_weight, norm_bias);
    return moe::conv_same(moe::activate(activation, x), weights, dilation);
  }
  void clear() const {
    for (const at::Tensor& leaf : {weights.weight, weights.depthwise, norm_weight, norm_bias}) {
      if (leaf.defined()) leaf.mutable_grad().reset();
    }
  }
};

bench::Rival dense(const Sizes& s, Kind kind, double at_most) {
  const auto in = std::make_shared<Inputs>(s, kind);
  const std::vector<Block> blocks = {Block(*in, 0), Block(*in, 1)};
  static_assert(top_k == 2);
  const auto call = [=] {
    (blocks[0](in->x) + blocks[1](in->x)).backward(in->dy);
    in->clear();
    for (const Block& block : blocks) block.clear();
  };
  return {.name = "dense", .call = call, .gflop = s.gflop(), .goal = {at_most}};
}

void add(const char* name, const Sizes& s, Kind kind, moe::ConvRoute route, double at_most) {
  bench::add_turns(moe::text("conv/", name, "/B=", s.samples, "/C=", s.channels, "/side=", s.side, "/E=", s.experts),
                   [=] { return std::vector<bench::Rival>{mixture("moe", s, kind, route), dense(s, kind, at_most)}; });
}

}  // namespace

int main(int argc, char** argv) {
  constexpr double merged = 0.6, grouped = 1.1;  // of k dense convolutions
  for (const Sizes& s : {Sizes{8, 64, 32, 4}, Sizes{16, 128, 16, 8}, Sizes{32, 64, 16, 8}, Sizes{8, 64, 64, 8}}) {
    add("merged", s, Kind::plain, moe::ConvRoute::merged, merged);
    add("grouped", s, Kind::plain, moe::ConvRoute::grouped, grouped);
    add("separable", s, Kind::separable, moe::ConvRoute::grouped, grouped);
    add("dilated", s, Kind::dilated, moe::ConvRoute::grouped, grouped);
    add("group_norm", s, Kind::normed, moe::ConvRoute::grouped, grouped);
  }
  const moe::KeepMemory keep;  // as a session does
  return bench::run_benchmarks(argc, argv);
}
