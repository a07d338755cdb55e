#include "models/diffusion/paper_unet.h"

#include <torch/torch.h>

#include <algorithm>

#include "base/error.h"
#include "moe/sample_groups.h"
#include "tensor/scope.h"

namespace moe::diffusion {

static bool has_experts(const NetworkOptions& options) {
  return options.experts.kind == ExpertKind::conv;
}

PaperBlock::PaperBlock(const NetworkOptions& options, int64_t in, int64_t out) : options_(options) {
  project_ = register_module("project", std::make_shared<SpatialConv>(in, out, options.separable));
  if (!has_experts(options)) {
    fusion_ = register_module("fusion", std::make_shared<FusionBranch>(out, options.separable));
    return;
  }
  const int64_t features = out + 2 * options.embedding;
  router_ = register_module(
      "router", std::make_shared<nn::Mlp>(features, features / 2, options.experts.count, 2, nn::Activation::gelu));
  choice_.emplace(*this, options.experts.router, 0, options.experts.count);
  stages_ = {add_stage("1", out), add_stage("2", out)};
}

PaperBlock::Stage PaperBlock::add_stage(const std::string& name, int64_t channels) {
  const int64_t experts = options_.experts.count, kernel = options_.separable ? 1 : 3;
  Stage out;
  out.weight = register_parameter("weight" + name, nn::unset({experts, channels, channels, kernel, kernel}));
  if (options_.separable) {
    out.depthwise = register_parameter("depthwise" + name, nn::unset({experts, channels, 1, 3, 3}));
  } else {
    out.bias = register_parameter("bias" + name, nn::unset({experts, channels}));
  }
  out.norm_weight = register_parameter("norm" + name, nn::unset({experts, channels}));
  out.norm_bias = register_parameter("bias_norm" + name, nn::unset({experts, channels}));
  return out;
}

void PaperBlock::init_own(const nn::ParameterInit& init) {
  for (size_t i = 0; i < stages_.size(); ++i) {
    const Stage& stage = stages_[i];
    const std::string name = std::to_string(i + 1);
    const int64_t inputs = stage.weight[0][0].numel();
    init.fan_in_uniform("weight" + name, stage.weight, inputs);
    if (stage.depthwise.defined()) init.fan_in_uniform("depthwise" + name, stage.depthwise, 9);
    if (stage.bias.defined()) init.fan_in_uniform("bias" + name, stage.bias, inputs);
    nn::ParameterInit::constant(stage.norm_weight, 1);
    nn::ParameterInit::constant(stage.norm_bias, 0);
  }
}

// The residual of every expert acts before its gate, so the experts do not fit the chain of moe/conv_experts.h.
at::Tensor PaperBlock::mixed(const at::Tensor& h, const Routing& routing) const {
  const SampleGroupsPtr groups = group_samples(routing.experts, options_.experts.count);
  std::vector<at::Tensor> rows = gather_samples(groups, h);
  std::vector<std::vector<std::vector<at::Tensor>>> split;
  const auto parts = [](const at::Tensor& t) { return t.defined() ? split_experts(t) : std::vector<at::Tensor>(); };
  for (const Stage& s : stages_) {
    split.push_back({parts(s.weight), parts(s.depthwise), parts(s.bias), parts(s.norm_weight), parts(s.norm_bias)});
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto expert = static_cast<size_t>(groups->blocks[i].expert);
    const auto of = [&](const std::vector<at::Tensor>& list) { return list.empty() ? at::Tensor() : list[expert]; };
    at::Tensor y = rows[i];
    for (size_t s = 0; s < split.size(); ++s) {
      y = conv_same(s == 0 ? y : at::gelu(y), {of(split[s][0]), of(split[s][1]), of(split[s][2])});
      y = at::group_norm(y, norm_group_count(y.size(1)), of(split[s][3]), of(split[s][4]));
    }
    rows[i] = at::gelu(y + rows[i]);
  }
  return combine_samples(groups, rows, routing.gates);
}

// fp32 also under autocast: exact ties are common in bfloat16 logits.
Routing PaperBlock::route_images(const at::Tensor& h, const Condition& condition,
                                 const std::optional<Rng>& noise) const {
  const Float32Scope precise;
  const nn::RouterContext context{{}, noise, condition.classes};
  const at::Tensor features = routing_features(h, condition);
  const at::Tensor exact = features.scalar_type() == at::kDouble ? features : features.to(at::kFloat);
  return choice_->decide(router_->forward(choice_->jittered(exact, context)), context);
}

BlockOutput PaperBlock::forward(const at::Tensor& x, const Condition& condition,
                                const std::optional<Rng>& noise) const {
  const at::Tensor h = project_->forward(x);
  if (fusion_) return {fusion_->forward(h), {}};
  BlockOutput out;
  out.routing = route_images(h, condition, noise);
  out.y = mixed(h, *out.routing);
  return out;
}

// --- The network ---

static std::shared_ptr<nn::Conv2d> conv3(int64_t in, int64_t out, int64_t stride = 1) {
  return std::make_shared<nn::Conv2d>(in, out, nn::ConvOptions{.kernel = 3, .stride = stride, .bias = true});
}

PaperUnet::PaperUnet(const NetworkOptions& options) : options_(options) {
  check(options.classes > 0, MOE_ERR_CONFIG,
        "data.classes: expected the classes that model.unet.topology: paper is conditioned on, got none");
  check(options.experts.kind == ExpertKind::conv || options.experts.kind == ExpertKind::fusion, MOE_ERR_CONFIG,
        "model.experts.kind: expected conv or fusion with model.unet.topology: paper");
  embedding_ =
      register_module("embedding", std::make_shared<ConditionEmbedding>(options.classes, options.embedding, false));
  stem_ = register_module("stem", conv3(options.image_channels, options.channels));
  int64_t width = options.channels;
  std::vector<int64_t> skips;
  for (int64_t level = 0; level + 1 < options.levels(); ++level) {
    const int64_t out = options.width_of(level);
    const std::string name = text("down", level);
    down_.push_back(register_module(name, std::make_shared<PaperBlock>(options.for_layer(name), width, out)));
    halve_.push_back(register_module(text("halve", level), conv3(out, out, 2)));
    skips.push_back(width = out);
  }
  const bool own = options.topology == Topology::paper;
  const int64_t bottom = options.width_of(options.levels() - 1), halvings = options.levels() - (own ? 0 : 1);
  bottleneck_ = register_module("bottleneck", conv3(width, bottom, own ? 2 : 1));
  if (options.frequency.mode == FrequencyMode::none) {
    middle_ = register_module("middle", std::make_shared<PaperBlock>(options.for_layer("middle"), bottom, bottom));
  } else {
    frequency_ = register_module(
        "frequency", std::make_shared<FrequencyModule>(options.frequency, bottom, options.embedding,
                                                       options.height >> halvings, options.width >> halvings));
  }
  if (own) skips.insert(skips.begin(), options.channels);  // the stem's output, where the source has zeros
  add_decoder(skips);
  head_norm_ = register_module("head_norm", std::make_shared<GroupNorm>(skips.front()));
  head_ = register_module("head", conv3(skips.front(), options.image_channels));
}

// skips: channels of the skip connections, finest first; the block after each has as many.
void PaperUnet::add_decoder(const std::vector<int64_t>& skips) {
  int64_t width = options_.width_of(options_.levels() - 1);
  for (size_t l = skips.size(); l-- > 0;) {
    const std::string number = std::to_string(l);
    double_weight_.push_back(register_parameter("double_weight" + number, nn::unset({width, width, 4, 4})));
    double_bias_.push_back(register_parameter("bias_double" + number, nn::unset({width})));
    const std::string name = "up" + number;
    up_.push_back(
        register_module(name, std::make_shared<PaperBlock>(options_.for_layer(name), width + skips[l], skips[l])));
    width = skips[l];
  }
}

void PaperUnet::init_own(const nn::ParameterInit& init) {
  for (size_t i = 0; i < up_.size(); ++i) {
    const std::string number = std::to_string(up_.size() - 1 - i);
    init.fan_in_uniform("double_weight" + number, double_weight_[i], nn::fan_in(double_weight_[i]));
    init.fan_in_uniform("bias_double" + number, double_bias_[i], nn::fan_in(double_weight_[i]));
  }
}

std::vector<MixtureLayer> PaperUnet::mixture_layers() const {
  std::vector<MixtureLayer> out;
  if (!has_experts(options_)) return out;
  for (size_t l = 0; l < down_.size(); ++l) out.push_back({text("down", l), "image", down_[l]->router()});
  if (middle_) out.push_back({"middle", "image", middle_->router()});
  for (size_t i = 0; i < up_.size(); ++i) {  // the coarsest one first
    out.push_back({text("up", up_.size() - 1 - i), "image", up_[i]->router()});
  }
  return out;
}

NetworkOutput PaperUnet::forward(const at::Tensor& images, const at::Tensor& time, const at::Tensor& labels,
                                 const std::optional<Rng>& noise) const {
  NetworkOutput out;
  const Condition condition = embedding_->forward(time, labels);
  const auto block = [&](const PaperBlock& unit, const at::Tensor& x) {
    const auto own = noise ? std::optional(noise->child("router", out.routings.size())) : std::nullopt;
    BlockOutput result = unit.forward(x, condition, own);
    if (result.routing) out.routings.push_back(std::move(*result.routing));
    return result.y;
  };
  at::Tensor x = stem_->forward(images.contiguous(at::MemoryFormat::ChannelsLast));
  const bool own = options_.topology == Topology::paper;
  std::vector<at::Tensor> skips;
  if (own) skips.push_back(x);
  for (size_t l = 0; l < down_.size(); ++l) {
    x = block(*down_[l], x);
    if (!own) skips.push_back(x);
    x = halve_[l]->forward(x);
    if (own) skips.push_back(x);
  }
  x = bottleneck_->forward(x);
  x = middle_ ? block(*middle_, x) : frequency_->forward(x, condition.time);
  for (size_t i = 0; i < up_.size(); ++i) {
    const at::Tensor larger = at::conv_transpose2d(x, double_weight_[i], double_bias_[i], {2, 2}, {1, 1});
    x = block(*up_[i], nn::concat_channels(larger, skips[skips.size() - 1 - i]));
  }
  x = head_->forward(at::gelu(head_norm_->forward(x)));
  out.prediction = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  return out;
}

}  // namespace moe::diffusion
