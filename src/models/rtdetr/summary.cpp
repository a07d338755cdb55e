#include "models/rtdetr/summary.h"

#include <algorithm>

namespace moe::rtdetr {

namespace {

int64_t number_after(const std::string& name, const std::string& prefix) {
  return std::stoll(name.substr(prefix.size()));
}

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Rows that every weight is applied to, for one image of options.height x options.width.
class Geometry {
 public:
  Geometry(const Options& options, const std::vector<int64_t>& strides) : options_(options), strides_(strides) {
    active_ = options.mixture ? std::min(options.gate.top_k, options.groups.size()) : 1;
  }

  int64_t cells(int64_t stride) const { return ceil_div(options_.height, stride) * ceil_div(options_.width, stride); }
  int64_t level_cells(int64_t level) const { return cells(strides_[level]); }
  int64_t top_cells() const { return level_cells(static_cast<int64_t>(strides_.size()) - 1); }
  int64_t queries() const { return std::min(options_.queries, all_cells()); }
  int64_t active() const { return active_; }
  int64_t all_cells() const {
    int64_t sum = 0;
    for (const int64_t stride : strides_) sum += cells(stride);
    return sum;
  }

  int64_t conv_rows(const std::string& name, int64_t kernel) const {
    const auto top = static_cast<int64_t>(strides_.size()) - 1;
    const auto at = [&](const std::string& prefix) { return name.starts_with(prefix); };
    const auto index = [&](const std::string& prefix) { return number_after(name, prefix); };
    if (at("backbone.conv1.")) return cells(2);
    if (at("backbone.res_layers.")) return residual_rows(name, kernel);
    if (at("encoder.input_proj.")) return level_cells(index("encoder.input_proj."));
    if (at("encoder.lateral_convs.")) return level_cells(top - index("encoder.lateral_convs."));
    if (at("encoder.fpn_blocks.")) return level_cells(top - 1 - index("encoder.fpn_blocks."));
    if (at("encoder.downsample_convs.")) return level_cells(1 + index("encoder.downsample_convs."));
    if (at("encoder.pan_blocks.")) return level_cells(1 + index("encoder.pan_blocks."));
    return level_cells(index("decoder.input_proj."));
  }

  int64_t linear_rows(const std::string& name) const {
    const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
    if (name.starts_with("encoder.")) return top_cells();
    if (has("denoising_class_embed")) return 0;  // training only
    if (has("decoder.gate.")) return 1;
    if (has("value_proj")) return all_cells();
    if (has("enc_output")) return all_cells() + queries();  // all cells, and the selected ones again
    if (has("enc_score_head")) return all_cells();
    if (has("enc_bbox_head")) return queries();
    if (has("dec_score_head") && !has(last_head(name).c_str())) return 0;  // training only
    return queries();
  }

  // Products of attention that have no weights.
  int64_t encoder_products() const { return 2 * top_cells() * top_cells() * options_.encoder.hidden; }
  int64_t decoder_products(int64_t layers) const {
    const DecoderOptions& d = options_.decoder;
    const int64_t samples = 4 * d.points * static_cast<int64_t>(strides_.size());
    return layers * queries() * d.hidden * (2 * queries() + samples);
  }

 private:
  std::string last_head(const std::string& name) const {
    const int64_t shared = options_.decoder.shared_layers;
    const int64_t layers = name.starts_with("decoder.shared.") ? shared : options_.decoder.layers - shared;
    return text("dec_score_head.", layers - 1, ".");
  }

  // The stride of a bottleneck sits on its 3x3 convolution, so its first 1x1 still sees the finer map.
  int64_t residual_rows(const std::string& name, int64_t kernel) const {
    const int64_t stage = number_after(name, "backbone.res_layers.");
    const bool finer = kernel == 1 && stage > 0 && name.find("blocks.0.branch2a") != std::string::npos;
    return cells((finer ? 2 : 4) << stage);
  }

  const Options& options_;
  std::vector<int64_t> strides_;
  int64_t active_;
};

bool of_expert(const std::string& name) {
  for (const char* own : {"decoder.experts.", "decoder.decoder.", "decoder.dec_", "decoder.query_pos"}) {
    if (name.starts_with(own)) return name.find("value_proj") == std::string::npos;
  }
  return false;
}

// What of a weight a query uses: of feed-forward experts those that it is routed to.
struct FfnShare {
  int64_t active = 1, all = 1;
  bool bias = false;  // one row an expert, no product
};

FfnShare ffn_share(const Options& options, const std::string& name) {
  const size_t at = name.find(".experts.");
  if (options.decoder.ffn_experts == 0 || at == std::string::npos || name.find(".router") != std::string::npos)
    return {};
  const bool bias = name.find(".bias") != std::string::npos;
  if (name.find("shared") != std::string::npos) return {1, 1, bias};
  return {options.decoder.ffn_router.top_k, options.decoder.ffn_experts, bias};
}

size_t part_of(const std::string& name) {
  if (name.starts_with("backbone.")) return 0;
  if (name.starts_with("encoder.")) return 1;
  if (name.starts_with("decoder.gate.")) return 3;
  return of_expert(name) ? 4 : 2;
}

std::string experts_text(const Options& options) {
  if (!options.mixture) {
    std::string out = text("one decoder of ", options.queries, " queries for ", options.classes.size(), " classes\n");
    if (options.decoder.ffn_experts == 0) return out;
    return out + text(options.decoder.ffn_router.top_k, " of ", options.decoder.ffn_experts,
                      " feed-forward experts a query in every decoder layer; their dense twin is kind: none\n");
  }
  std::string out =
      text(options.gate.top_k, " of ", options.groups.size(), " experts of ", options.queries,
           " queries per image; their dense twin has one decoder of ", twin_queries(options), " queries\n");
  for (size_t e = 0; e < options.groups.names.size(); ++e) {
    std::vector<std::string> names;
    for (const int64_t id : options.groups.classes[e]) names.push_back(options.classes[id]);
    out += text("expert ", e, " ", options.groups.names[e], ": ", join(names, ", "), "\n");
  }
  return out;
}

}  // namespace

std::vector<PartCost> part_costs(const Options& options, const Network& network) {
  const Geometry geometry(options, network.strides());
  std::vector<PartCost> parts = {
      {"backbone"}, {"encoder"}, {"decoder, shared"}, {"gate"}, {options.mixture ? "experts" : "decoder"}};
  for (const auto& item : network.named_parameters(true)) {
    const at::Tensor& weight = item.value();
    PartCost& part = parts[part_of(item.key())];
    const FfnShare ffn = ffn_share(options, item.key());
    part.parameters += weight.numel();
    part.active_parameters += weight.numel() * ffn.active / ffn.all;
    if (weight.dim() == 3) part.multiply_adds += weight.numel() * ffn.active / ffn.all * geometry.queries();
    if (weight.dim() == 4) part.multiply_adds += weight.numel() * geometry.conv_rows(item.key(), weight.size(2));
    if (weight.dim() == 2 && !ffn.bias) part.multiply_adds += weight.numel() * geometry.linear_rows(item.key());
  }
  parts[1].multiply_adds += geometry.encoder_products();
  PartCost& experts = parts[4];
  const int64_t all = options.groups.size();
  const int64_t shared = options.decoder.shared_layers, own = options.decoder.layers - shared;
  parts[2].multiply_adds += geometry.decoder_products(shared);
  experts.multiply_adds =
      (experts.multiply_adds * geometry.active()) / all + geometry.active() * geometry.decoder_products(own);
  experts.active_parameters = experts.active_parameters * geometry.active() / all;
  if (!options.mixture) parts.erase(parts.begin() + 3);
  return parts;
}

std::string summary_text(const Options& options, const Network& network) {
  std::string out =
      text("RT-DETRv2, PResNet-", options.backbone.depth, "-vd, input ", options.height, " x ", options.width, "\n");
  out += experts_text(options);
  return out + cost_table(part_costs(options, network)) +
         "multiply-adds of one image; active: what one image uses, of experts their mean size\n";
}

}  // namespace moe::rtdetr
