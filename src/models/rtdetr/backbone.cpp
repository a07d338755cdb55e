#include "models/rtdetr/backbone.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "nn/recompute.h"

namespace moe::rtdetr {

using nn::Activation;
using nn::ConvNorm;

namespace {

struct Architecture {
  std::array<int64_t, 4> blocks;
  bool bottleneck;
};

Architecture architecture(int64_t depth) {
  switch (depth) {
    case 18:
      return {{2, 2, 2, 2}, false};
    case 34:
      return {{3, 4, 6, 3}, false};
    case 50:
      return {{3, 4, 6, 3}, true};
    case 101:
      return {{3, 4, 23, 3}, true};
    default:
      fail(MOE_ERR_CONFIG, "backbone depth: expected 18, 34, 50 or 101, got ", depth);
  }
}

int64_t scaled(int64_t channels, double width) {
  return std::max<int64_t>(8, 8 * std::llround(static_cast<double>(channels) * width / 8.0));
}

struct BlockShape {
  int64_t in = 0;
  int64_t inner = 0;
  int64_t out = 0;
  int64_t stride = 1;
  bool project = false;  // the first block of a stage, even where the shapes match
  bool bottleneck = false;
  bool freeze_norm = false;
};

// The shortcut of a strided block: an average over 2x2 pixels, then a 1x1 convolution that sees all of them.
class PooledShortcut : public nn::Module {
 public:
  explicit PooledShortcut(const BlockShape& shape) {
    conv_ = register_module("conv", std::make_shared<ConvNorm>(shape.in, shape.out, nn::ConvOptions{}, Activation::none,
                                                               shape.freeze_norm));
  }
  nn::NormTerm convolved(const at::Tensor& x) {
    return conv_->convolved(at::avg_pool2d(x, {2, 2}, {2, 2}, {0, 0}, /*ceil_mode=*/true));
  }

 private:
  std::shared_ptr<ConvNorm> conv_;
};

}  // namespace

class ResidualBlock : public nn::Module {
 public:
  explicit ResidualBlock(const BlockShape& shape) {
    add_branch(shape);
    if (!shape.project) return;
    if (shape.stride > 1) {
      pooled_ = register_module("short", std::make_shared<PooledShortcut>(shape));
      return;
    }
    projection_ = register_module("short", std::make_shared<ConvNorm>(shape.in, shape.out, nn::ConvOptions{},
                                                                      Activation::none, shape.freeze_norm));
  }

  at::Tensor forward(const at::Tensor& x) {  // [B, in, H, W] -> [B, out, H / stride, W / stride]
    at::Tensor y = x;
    for (size_t i = 0; i + 1 < branch_.size(); ++i) y = branch_[i]->forward(y);
    std::vector<nn::NormTerm> terms = {branch_.back()->convolved(y)};
    if (projection_) terms.push_back(projection_->convolved(x));
    if (pooled_) terms.push_back(pooled_->convolved(x));
    return nn::norm_sum(terms, terms.size() == 1 ? x : at::Tensor(), Activation::relu);
  }

 private:
  void add_branch(const BlockShape& shape) {
    const auto add = [&](const char* name, int64_t in, int64_t out, nn::ConvOptions options, Activation activation) {
      branch_.push_back(
          register_module(name, std::make_shared<ConvNorm>(in, out, options, activation, shape.freeze_norm)));
    };
    const nn::ConvOptions strided{.kernel = 3, .stride = shape.stride};
    if (!shape.bottleneck) {
      add("branch2a", shape.in, shape.out, strided, Activation::relu);
      add("branch2b", shape.out, shape.out, {.kernel = 3}, Activation::none);
      return;
    }
    add("branch2a", shape.in, shape.inner, {.kernel = 1}, Activation::relu);
    add("branch2b", shape.inner, shape.inner, strided, Activation::relu);
    add("branch2c", shape.inner, shape.out, {.kernel = 1}, Activation::none);
  }

  std::vector<std::shared_ptr<ConvNorm>> branch_;
  std::shared_ptr<ConvNorm> projection_;
  std::shared_ptr<PooledShortcut> pooled_;
};

static void check_options(const BackboneOptions& options) {
  check(options.width > 0 && options.width <= 4, MOE_ERR_CONFIG, "backbone width: expected a factor in (0, 4], got ",
        options.width);
  check(!options.stages.empty(), MOE_ERR_CONFIG, "backbone stages: expected some of 0, 1, 2, 3, got none");
  for (size_t i = 0; i < options.stages.size(); ++i) {
    const int64_t stage = options.stages[i];
    check(stage >= 0 && stage <= 3 && (i == 0 || stage > options.stages[i - 1]), MOE_ERR_CONFIG,
          "backbone stages: expected rising numbers of 0, 1, 2, 3, got ", stage, " at place ", i);
  }
}

Backbone::Backbone(const BackboneOptions& options) : options_(options) {
  check_options(options);
  add_stem();
  const Architecture plan = architecture(options.depth);
  const int64_t last = options.stages.back();
  torch::nn::ModuleList stages;
  int64_t in = scaled(64, options.width);
  for (int64_t stage = 0; stage <= last; ++stage) {
    BlockShape shape{.bottleneck = plan.bottleneck, .freeze_norm = options.freeze_norm};
    shape.inner = scaled(64 << stage, options.width);
    shape.out = plan.bottleneck ? 4 * shape.inner : shape.inner;
    torch::nn::ModuleList list;
    blocks_.emplace_back();
    for (int64_t i = 0; i < plan.blocks[static_cast<size_t>(stage)]; ++i) {
      shape.in = in;
      shape.project = i == 0;
      shape.stride = i == 0 && stage > 0 ? 2 : 1;
      blocks_.back().push_back(std::make_shared<ResidualBlock>(shape));
      list->push_back(std::shared_ptr<torch::nn::Module>(blocks_.back().back()));
      in = shape.out;
    }
    auto container = std::make_shared<torch::nn::Module>();
    container->register_module("blocks", list);
    stages->push_back(container);
    if (std::ranges::find(options.stages, stage) == options.stages.end()) continue;
    channels_.push_back(in);
    strides_.push_back(int64_t{4} << stage);
  }
  register_module("res_layers", stages);
  freeze(options.freeze_at);
}

void Backbone::add_stem() {
  const int64_t half = scaled(32, options_.width);
  const int64_t full = scaled(64, options_.width);
  auto stem = register_module("conv1", std::make_shared<torch::nn::Module>());
  const auto add = [&](const char* name, int64_t in, int64_t out, int64_t stride) {
    const nn::ConvOptions conv{.kernel = 3, .stride = stride};
    stem_.push_back(std::make_shared<ConvNorm>(in, out, conv, Activation::relu, options_.freeze_norm));
    stem->register_module(name, stem_.back());
  };
  add("conv1_1", 3, half, 2);
  add("conv1_2", half, half, 1);
  add("conv1_3", half, full, 1);
}

void Backbone::freeze(int64_t freeze_at) {
  if (freeze_at < 0) return;
  const auto fix = [](torch::nn::Module& module) {
    for (at::Tensor& parameter : module.parameters()) parameter.requires_grad_(false);
  };
  for (const auto& conv : stem_) fix(*conv);
  for (size_t stage = 0; stage < std::min(blocks_.size(), static_cast<size_t>(freeze_at)); ++stage) {
    for (const auto& block : blocks_[stage]) fix(*block);
  }
}

std::vector<at::Tensor> Backbone::forward(const at::Tensor& images) {
  at::Tensor x = images.contiguous(at::MemoryFormat::ChannelsLast);
  for (const auto& conv : stem_) x = conv->forward(x);
  x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
  std::vector<at::Tensor> maps;
  for (size_t stage = 0; stage < blocks_.size(); ++stage) {
    for (const auto& block : blocks_[stage]) {
      x = nn::run_block(options_.checkpoint, [block](const auto& inputs) { return block->forward(inputs[0]); }, {x});
    }
    if (std::ranges::find(options_.stages, static_cast<int64_t>(stage)) != options_.stages.end()) maps.push_back(x);
  }
  return maps;
}

void Backbone::init_own(const nn::ParameterInit& init) {
  for (const auto& parameter : named_parameters()) {
    if (parameter.value().dim() == 4) init.kaiming_uniform_fan_out(parameter.key(), parameter.value());
  }
}

}  // namespace moe::rtdetr
