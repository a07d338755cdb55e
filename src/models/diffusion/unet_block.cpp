#include "models/diffusion/unet_block.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "nn/recompute.h"

namespace moe::diffusion {

FusionBranch::FusionBranch(int64_t channels, bool separable) {
  for (int i = 0; i < 3; ++i) {
    branches_.push_back(
        register_module(text("branch", i), std::make_shared<SpatialConv>(channels, channels, separable)));
  }
  fuse_ = register_module("fuse", std::make_shared<nn::Conv2d>(3 * channels, channels, nn::ConvOptions{.bias = true}));
  norm_ = register_module("norm", std::make_shared<GroupNorm>(channels));
}

DilatedFusion FusionBranch::weights() const {
  DilatedFusion out;
  for (const auto& branch : branches_) out.branches.push_back(branch->weights());
  out.fuse_weight = fuse_->weight;
  out.fuse_bias = fuse_->bias;
  out.norm_weight = norm_->weight;
  out.norm_bias = norm_->bias;
  return out;
}

static int64_t hidden(double width, int64_t channels) {
  return std::max<int64_t>(1, std::llround(width * static_cast<double>(channels)));
}

// At most a quarter of the map's side: beyond that a kernel reads padding.
static std::vector<int64_t> dilations(const ExpertOptions& options, int64_t experts, int64_t side) {
  std::vector<int64_t> out;
  const int64_t most = std::max<int64_t>(1, side / 4), choices = static_cast<int64_t>(options.dilation.size());
  for (int64_t e = 0; e < experts; ++e) {
    out.push_back(std::min(most, choices > 0 ? options.dilation[static_cast<size_t>(e % choices)] : 1));
  }
  return out;
}

UnetBlock::UnetBlock(const NetworkOptions& options, int64_t in, int64_t out, int64_t side)
    : options_(options), out_(out) {
  norm_ = register_module("norm", std::make_shared<GroupNorm>(in));
  conv_ = register_module("conv", std::make_shared<SpatialConv>(in, out, options.separable));
  if (in != out) skip_ = register_module("skip", std::make_shared<nn::Conv2d>(in, out, nn::ConvOptions{.bias = true}));
  add_experts(side);
  add_modulation();
}

void UnetBlock::add_experts(int64_t side) {
  const ExpertOptions& e = options_.experts;
  const auto stack = [&](int64_t count, double width) {
    const ExpertShape shape{count, out_, hidden(width, out_), options_.separable, dilations(e, count, side)};
    return std::make_shared<ConvExpertStack>(shape);
  };
  const bool mixes = e.kind == ExpertKind::conv || e.kind == ExpertKind::token;
  const double twin = e.shared_width + static_cast<double>(e.router.top_k) * e.width;
  if (e.kind == ExpertKind::dense) shared_ = register_module("shared", stack(1, twin));
  if (mixes && e.shared_width > 0) shared_ = register_module("shared", stack(1, e.shared_width));
  if (e.kind == ExpertKind::conv) {
    const int64_t features = out_ + options_.embedding * (options_.classes > 0 ? 2 : 1);
    router_.emplace(*this, e.router, features, e.count);
    experts_ = register_module("experts", stack(e.count, e.width));
  }
  if (e.kind == ExpertKind::fusion) {
    fusion_ = register_module("fusion", std::make_shared<FusionBranch>(out_, options_.separable));
  }
  if (e.kind == ExpertKind::token) {
    token_conv_ = register_module("token_conv", std::make_shared<SpatialConv>(out_, out_, options_.separable));
    token_experts_ =
        register_module("experts", std::make_shared<nn::MoeFfn>(nn::MoeFfnOptions{.dim = out_,
                                                                                  .ffn = hidden(e.width, out_),
                                                                                  .experts = e.count,
                                                                                  .activation = FfnActivation::gelu,
                                                                                  .router = e.router}));
  }
  if (fusion_ || token_experts_) own_norm_ = register_module("branch_norm", std::make_shared<GroupNorm>(out_));
}

// Columns: the gate, then scale and shift of the shared expert, of the experts, of h.
void UnetBlock::add_modulation() {
  parts_ = {out_};
  const auto add = [&](int64_t width) { parts_.insert(parts_.end(), {width, width}); };
  if (shared_) add(shared_->shape().inner);
  if (experts_) add(experts_->shape().inner);
  if (own_norm_) add(out_);
  const int64_t columns = std::accumulate(parts_.begin(), parts_.end(), int64_t{0});
  modulation_ = register_module("modulation", std::make_shared<nn::Linear>(options_.embedding, columns));
}

void UnetBlock::init_own(const nn::ParameterInit& init) {
  if (router_) router_->init(init);
  nn::ParameterInit::constant(modulation_->weight, 0);
  nn::ParameterInit::constant(modulation_->bias, 0);
}

at::Tensor UnetBlock::features(const at::Tensor& x) const {
  return conv_->forward(at::gelu(norm_->forward(x)));
}

Routing UnetBlock::route_images(const at::Tensor& h, const Condition& condition,
                                const std::optional<Rng>& noise) const {
  return router_->forward(routing_features(h, condition), {{}, noise, condition.classes});
}

static at::Tensor modulate(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift) {
  const at::ScalarType type = x.scalar_type();
  return at::addcmul(shift.to(type).unsqueeze(2).unsqueeze(3), x, (scale.to(type) + 1).unsqueeze(2).unsqueeze(3));
}

// [B, C, H, W] as rows of pixels and back, a view in channels-last memory.
at::Tensor UnetBlock::token_branch(const at::Tensor& h, const std::vector<at::Tensor>& parts,
                                   const Condition& condition, const std::optional<Rng>& noise,
                                   BlockOutput& out) const {
  const size_t own = parts.size() - 2;
  const at::Tensor x = at::gelu(modulate(own_norm_->forward(h), parts[own], parts[own + 1]));
  const at::Tensor rows = token_conv_->forward(x).permute({0, 2, 3, 1}).reshape({-1, out_});
  nn::RouterContext context{{}, noise, {}};
  if (token_experts_->router().uses_labels()) {
    context.labels = condition.classes.repeat_interleave(h.size(2) * h.size(3));  // a pixel has its picture's class
  }
  const nn::MoeFfn::Output mixed = token_experts_->forward(rows, context);
  out.routing = mixed.routing;
  return mixed.y.view({h.size(0), h.size(2), h.size(3), out_}).permute({0, 3, 1, 2}).to(h.scalar_type());
}

at::Tensor UnetBlock::branch(const at::Tensor& h, const std::vector<at::Tensor>& parts, const at::Tensor& experts,
                             const at::Tensor& gates) const {
  if (fusion_) return fusion_->forward(modulate(own_norm_->forward(h), parts[1], parts[2]));
  at::Tensor out;
  if (shared_) out = shared_->all(h, parts[1], parts[2]);
  if (!experts_) return out;
  const size_t own = shared_ ? 3 : 1;
  const at::Tensor mixed = experts_->routed(h, experts, gates, parts[own], parts[own + 1]);
  return out.defined() ? out + mixed : mixed;
}

BlockOutput UnetBlock::forward(const at::Tensor& x, const Condition& condition, const std::optional<Rng>& noise) const {
  using Tensors = std::vector<at::Tensor>;
  const bool checkpoint = options_.checkpoint && is_training();
  const at::Tensor h = nn::run_block(checkpoint, [this](const Tensors& in) { return features(in[0]); }, {x});
  const Tensors parts = modulation_->forward(condition.mixed).split_with_sizes(parts_, 1);
  BlockOutput out;
  at::Tensor mixed;
  if (token_experts_) {
    mixed = token_branch(h, parts, condition, noise, out);
    if (shared_) mixed = mixed + shared_->all(h, parts[1], parts[2]);
  } else {
    if (router_) out.routing = route_images(h, condition, noise);
    const at::Tensor experts = out.routing ? out.routing->experts : at::Tensor();
    Tensors inputs = {h};
    inputs.insert(inputs.end(), parts.begin(), parts.end());
    inputs.push_back(out.routing ? out.routing->gates : parts[0]);
    const auto run = [this, experts](const Tensors& in) {
      return branch(in[0], Tensors(in.begin() + 1, in.end() - 1), experts, in.back());
    };
    mixed = nn::run_block(checkpoint, run, inputs);
  }
  const at::Tensor gate = parts[0].to(mixed.scalar_type()).unsqueeze(2).unsqueeze(3);
  out.y = at::addcmul((skip_ ? skip_->forward(x) : x).to(mixed.scalar_type()), gate, mixed);
  return out;
}

}  // namespace moe::diffusion
