#include "models/diffusion/unet.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "models/diffusion/paper_unet.h"
#include "tensor/batch.h"

namespace moe::diffusion {

ConditionEmbedding::ConditionEmbedding(int64_t classes, int64_t width, bool with_null)
    : time_(register_module("time", std::make_shared<TimeEmbedding>(width))), classes_(classes) {
  if (classes > 0) label_ = register_module("label", std::make_shared<ClassEmbedding>(classes, width, with_null));
}

Condition ConditionEmbedding::forward(const at::Tensor& time, const at::Tensor& labels) const {
  Condition out;
  out.time = time_->forward(time);
  if (label_) {
    out.label = label_->forward(labels).to(out.time.scalar_type());
    out.classes = labels.masked_fill(labels == classes_, -1);
  }
  out.mixed = at::silu(label_ ? out.time + out.label : out.time);
  return out;
}

static std::shared_ptr<nn::Conv2d> conv3(int64_t in, int64_t out, int64_t stride = 1) {
  return std::make_shared<nn::Conv2d>(in, out, nn::ConvOptions{.kernel = 3, .stride = stride, .bias = true});
}

template <typename Item>
static std::shared_ptr<Item> append(nn::Module& owner, const std::string& name,
                                    std::vector<std::shared_ptr<Item>>& list, std::shared_ptr<Item> item) {
  list.push_back(owner.register_module(text(name, list.size()), std::move(item)));
  return list.back();
}

Unet::Unet(const NetworkOptions& options) : options_(options) {
  const int64_t last = options.levels() - 1, side = std::min(options.height, options.width) >> last;
  embedding_ =
      register_module("embedding", std::make_shared<ConditionEmbedding>(options.classes, options.embedding, true));
  stem_ = register_module("stem", conv3(options.image_channels, options.channels));
  for (int64_t level = 0; level < last; ++level) add_level(level);
  const int64_t before = last > 0 ? options.width_of(last - 1) : options.channels, bottom = options.width_of(last);
  middle_ =
      register_module("middle", std::make_shared<UnetBlock>(options.for_layer("middle.experts"), before, bottom, side));
  if (options.frequency.mode != FrequencyMode::none) {
    frequency_ =
        register_module("frequency", std::make_shared<FrequencyModule>(options.frequency, bottom, options.embedding,
                                                                       options.height >> last, options.width >> last));
  }
  const int64_t top = options.width_of(0);
  head_norm_ = register_module("head_norm", std::make_shared<GroupNorm>(top));
  head_ = register_module("head", conv3(top, options.image_channels));
}

void Unet::add_level(int64_t level) {
  const int64_t in = level > 0 ? options_.width_of(level - 1) : options_.channels, width = options_.width_of(level);
  const int64_t side = std::min(options_.height, options_.width) >> level;
  append(*this, "down", down_,
         std::make_shared<UnetBlock>(options_.for_layer(text("down", level, ".experts")), in, width, side));
  append(*this, "halve", halve_, conv3(width, width, 2));
  append(*this, "double", double_, conv3(options_.width_of(level + 1), width));
  append(*this, "up", up_,
         std::make_shared<UnetBlock>(options_.for_layer(text("up", level, ".experts")), 2 * width, width, side));
}

void Unet::init_own(const nn::ParameterInit&) {
  nn::ParameterInit::constant(head_->weight, 0);
  nn::ParameterInit::constant(head_->bias, 0);
}

std::vector<MixtureLayer> Unet::mixture_layers() const {
  if (!middle_->router()) return {};
  const std::string unit = options_.experts.kind == ExpertKind::token ? "pixel" : "image";
  std::vector<MixtureLayer> out;
  for (size_t l = 0; l < down_.size(); ++l) out.push_back({text("down", l, ".experts"), unit, down_[l]->router()});
  out.push_back({"middle.experts", unit, middle_->router()});
  for (size_t l = up_.size(); l-- > 0;) out.push_back({text("up", l, ".experts"), unit, up_[l]->router()});
  return out;
}

NetworkOutput Unet::forward(const at::Tensor& images, const at::Tensor& time, const at::Tensor& labels,
                            const std::optional<Rng>& noise) const {
  NetworkOutput out;
  const Condition condition = embedding_->forward(time, labels);
  const auto block = [&](const UnetBlock& unit, const at::Tensor& x) {
    const auto own = noise ? std::optional(noise->child("router", out.routings.size())) : std::nullopt;
    BlockOutput result = unit.forward(x, condition, own);
    if (result.routing) out.routings.push_back(std::move(*result.routing));
    return result.y;
  };
  at::Tensor x = stem_->forward(images.contiguous(at::MemoryFormat::ChannelsLast));
  std::vector<at::Tensor> skips;
  for (size_t l = 0; l < down_.size(); ++l) {
    skips.push_back(block(*down_[l], x));
    x = halve_[l]->forward(skips.back());
  }
  x = block(*middle_, x);
  if (frequency_) x = frequency_->forward(x, condition.time);
  for (size_t l = up_.size(); l-- > 0;) {
    const at::Tensor larger = at::upsample_nearest2d(x, {skips[l].size(2), skips[l].size(3)});
    x = block(*up_[l], nn::concat_channels(double_[l]->forward(larger), skips[l]));
  }
  x = head_->forward(at::gelu(head_norm_->forward(x)));
  out.prediction = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  return out;
}

static void check_sizes(const NetworkOptions& options) {
  check(options.levels() >= 1, MOE_ERR_CONFIG, "model.unet.multipliers: expected at least one level, got none");
  const int64_t halvings = options.topology == Topology::paper ? options.levels() : options.levels() - 1;
  const int64_t unit = int64_t{1} << halvings;
  check(options.height % unit == 0 && options.width % unit == 0, MOE_ERR_CONFIG, "data.size: expected multiples of ",
        unit, " for the ", options.levels(), " levels of model.unet, got ", options.height, " x ", options.width);
}

std::shared_ptr<Network> make_network(const NetworkOptions& options, uint64_t seed) {
  check_sizes(options);
  std::shared_ptr<Network> out;
  if (options.topology == Topology::standard) {
    out = std::make_shared<Unet>(options);
  } else {
    out = std::make_shared<PaperUnet>(options);
  }
  nn::init_parameters(*out, seed);
  return out;
}

}  // namespace moe::diffusion
