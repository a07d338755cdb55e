#include "models/rtdetr/encoder.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"
#include "nn/recompute.h"

namespace moe::rtdetr {

using nn::Activation;
using nn::ConvNorm;

// One post-norm layer: self-attention with positions on query and key, then a GELU feed-forward.
class TransformerLayer : public nn::Module {
 public:
  TransformerLayer(int64_t dim, int64_t ffn, int64_t heads) {
    self_attn_ = register_module("self_attn", std::make_shared<nn::MultiheadSelfAttention>(dim, heads));
    linear1_ = register_module("linear1", std::make_shared<nn::Linear>(dim, ffn));
    linear2_ = register_module("linear2", std::make_shared<nn::Linear>(ffn, dim));
    norm1_ = register_module("norm1", std::make_shared<nn::LayerNorm>(dim));
    norm2_ = register_module("norm2", std::make_shared<nn::LayerNorm>(dim));
  }

  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& position) {  // [B, N, dim], [1, N, dim]
    const at::Tensor x = norm1_->forward(tokens + self_attn_->forward(tokens + position, tokens));
    return norm2_->forward(x + linear2_->forward(nn::activate(Activation::gelu, linear1_->forward(x))));
  }

 private:
  std::shared_ptr<nn::MultiheadSelfAttention> self_attn_;
  std::shared_ptr<nn::Linear> linear1_, linear2_;
  std::shared_ptr<nn::LayerNorm> norm1_, norm2_;
};

// SiLU(BN(3x3) + BN(1x1)), without identity branch (Ding et al., RepVGG, 2021).
class RepVgg : public nn::Module {
 public:
  explicit RepVgg(int64_t channels) {
    conv1_ = register_module("conv1", std::make_shared<ConvNorm>(channels, channels, nn::ConvOptions{.kernel = 3}));
    conv2_ = register_module("conv2", std::make_shared<ConvNorm>(channels, channels, nn::ConvOptions{.kernel = 1}));
  }

  at::Tensor forward(const at::Tensor& x) {
    return nn::norm_sum({conv1_->convolved(x), conv2_->convolved(x)}, {}, Activation::silu);
  }

 private:
  std::shared_ptr<ConvNorm> conv1_, conv2_;
};

// Cross-stage partial block on two concatenated maps: one path through RepVGG blocks, one past them.
class CspRep : public nn::Module {
 public:
  CspRep(int64_t in, int64_t out, double expansion, int64_t bottlenecks) {
    const auto inner = static_cast<int64_t>(static_cast<double>(out) * expansion);
    const auto add = [&](const char* name, int64_t from, int64_t to) {
      return register_module(name, std::make_shared<ConvNorm>(from, to, nn::ConvOptions{}, Activation::silu));
    };
    conv1_ = add("conv1", in, inner);
    conv2_ = add("conv2", in, inner);
    torch::nn::ModuleList list;
    for (int64_t i = 0; i < bottlenecks; ++i) {
      blocks_.push_back(std::make_shared<RepVgg>(inner));
      list->push_back(std::shared_ptr<torch::nn::Module>(blocks_.back()));
    }
    register_module("bottlenecks", list);
    if (inner != out) conv3_ = add("conv3", inner, out);
  }

  at::Tensor forward(const at::Tensor& a, const at::Tensor& b) {  // channels of a and b together: in
    const at::Tensor x = nn::concat_channels(a, b);
    at::Tensor y = conv1_->forward(x);
    for (const auto& block : blocks_) y = block->forward(y);
    y = conv2_->forward(x).add_(y);
    return conv3_ ? conv3_->forward(y) : y;
  }

 private:
  std::shared_ptr<ConvNorm> conv1_, conv2_, conv3_;
  std::vector<std::shared_ptr<RepVgg>> blocks_;
};

at::Tensor position_embedding(int64_t height, int64_t width, int64_t dim, at::ScalarType type) {
  const int64_t quarter = dim / 4;
  const auto fp64 = at::TensorOptions(at::kDouble);
  const at::Tensor omega = at::pow(10000.0, at::arange(quarter, fp64) / static_cast<double>(-quarter));  // [D/4]
  const auto angles = [&](int64_t size, int64_t axis) {
    const at::Tensor angle = at::arange(size, fp64).unsqueeze(1) * omega;  // [size, D/4]
    return angle.unsqueeze(axis).expand({height, width, quarter});
  };
  const at::Tensor y = angles(height, 1), x = angles(width, 0);
  return at::cat({y.sin(), y.cos(), x.sin(), x.cos()}, 2).flatten(0, 1).unsqueeze(0).to(type);
}

static void check_options(const EncoderOptions& options) {
  check(!options.in_channels.empty(), MOE_ERR_CONFIG, "encoder: expected at least one input map, got none");
  check(options.hidden >= 4 && options.hidden % 4 == 0, MOE_ERR_CONFIG,
        "encoder hidden: expected a multiple of 4, got ", options.hidden);
  check(options.expansion > 0 && static_cast<double>(options.hidden) * options.expansion >= 1, MOE_ERR_CONFIG,
        "encoder expansion: expected a factor > 0 that leaves at least one channel, got ", options.expansion);
}

HybridEncoder::HybridEncoder(const EncoderOptions& options) : options_(options) {
  check_options(options);
  const int64_t hidden = options.hidden;
  const auto add = [](torch::nn::ModuleList& list, auto& store, auto module) {
    store.push_back(module);
    list->push_back(std::shared_ptr<torch::nn::Module>(module));
  };
  torch::nn::ModuleList input, attention, layers, lateral, fpn, down, pan;
  for (const int64_t channels : options.in_channels) {
    add(input, input_proj_, std::make_shared<ConvNorm>(channels, hidden, nn::ConvOptions{}));
  }
  for (int64_t i = 0; i < options.layers; ++i) {
    add(layers, layers_, std::make_shared<TransformerLayer>(hidden, options.ffn, options.heads));
  }
  for (size_t i = 1; i < options.in_channels.size(); ++i) {
    const nn::ConvOptions halve{.kernel = 3, .stride = 2};
    const auto csp = [&] {
      return std::make_shared<CspRep>(2 * hidden, hidden, options.expansion, options.bottlenecks);
    };
    add(lateral, lateral_, std::make_shared<ConvNorm>(hidden, hidden, nn::ConvOptions{}, Activation::silu));
    add(fpn, fpn_, csp());
    add(down, downsample_, std::make_shared<ConvNorm>(hidden, hidden, halve, Activation::silu));
    add(pan, pan_, csp());
  }
  auto transformer = std::make_shared<torch::nn::Module>();
  transformer->register_module("layers", layers);
  attention->push_back(transformer);
  register_module("input_proj", input);
  register_module("encoder", attention);
  register_module("lateral_convs", lateral);
  register_module("fpn_blocks", fpn);
  register_module("downsample_convs", down);
  register_module("pan_blocks", pan);
}

at::Tensor HybridEncoder::attend(const at::Tensor& map) {
  const int64_t height = map.size(2), width = map.size(3);
  at::Tensor tokens = map.permute({0, 2, 3, 1}).flatten(1, 2);  // [B, H * W, hidden], a view of channels-last memory
  const at::Tensor position = position_embedding(height, width, options_.hidden, tokens.scalar_type());
  for (const auto& layer : layers_) {
    const auto run = [layer, position](const auto& inputs) { return layer->forward(inputs[0], position); };
    tokens = nn::run_block(options_.checkpoint, run, {tokens});
  }
  return tokens.unflatten(1, {height, width}).permute({0, 3, 1, 2});
}

std::vector<at::Tensor> HybridEncoder::forward(const std::vector<at::Tensor>& maps) {
  check(maps.size() == input_proj_.size(), MOE_ERR_SHAPE, "encoder: expected ", input_proj_.size(), " maps, got ",
        maps.size());
  const auto fuse = [this](const std::shared_ptr<CspRep>& block, const at::Tensor& a, const at::Tensor& b) {
    return nn::run_block(options_.checkpoint, [block](const auto& x) { return block->forward(x[0], x[1]); }, {a, b});
  };
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < maps.size(); ++i) out.push_back(input_proj_[i]->forward(maps[i]));
  out.back() = attend(out.back());
  for (size_t step = 0; step < fpn_.size(); ++step) {  // top-down: coarse into fine
    const size_t coarse = fpn_.size() - step;
    out[coarse] = lateral_[step]->forward(out[coarse]);
    const at::Tensor up = at::upsample_nearest2d(out[coarse], out[coarse - 1].sizes().slice(2));
    out[coarse - 1] = fuse(fpn_[step], up, out[coarse - 1]);
  }
  for (size_t step = 0; step < pan_.size(); ++step) {  // bottom-up: fine into coarse, which holds its lateral output
    out[step + 1] = fuse(pan_[step], downsample_[step]->forward(out[step]), out[step + 1]);
  }
  return out;
}

}  // namespace moe::rtdetr
