#include "models/rtdetr/names.h"

#include <ATen/ATen.h>

#include <array>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/error.h"
#include "models/rtdetr/options.h"

namespace moe::rtdetr {

namespace {

// transformers: src/transformers/models/rt_detr_v2/convert_rt_detr_v2_weights_to_hf.py. The first rule that fits the
// whole name is used; what fits none has no counterpart.
struct Rule {
  std::regex ours;
  const char* theirs;
};

const std::vector<Rule>& rules() {
  static const std::vector<Rule> list = [] {
    const std::vector<std::array<const char*, 2>> texts = {
        {"backbone\\.conv1\\.conv1_1\\.(conv|norm)\\.(.+)", "model.backbone.model.embedder.embedder.0.$1.$2"},
        {"backbone\\.conv1\\.conv1_2\\.(conv|norm)\\.(.+)", "model.backbone.model.embedder.embedder.1.$1.$2"},
        {"backbone\\.conv1\\.conv1_3\\.(conv|norm)\\.(.+)", "model.backbone.model.embedder.embedder.2.$1.$2"},
        {"backbone\\.res_layers\\.(\\d+)\\.blocks\\.(\\d+)\\.branch2a\\.(conv|norm)\\.(.+)",
         "model.backbone.model.encoder.stages.$1.layers.$2.layer.0.$3.$4"},
        {"backbone\\.res_layers\\.(\\d+)\\.blocks\\.(\\d+)\\.branch2b\\.(conv|norm)\\.(.+)",
         "model.backbone.model.encoder.stages.$1.layers.$2.layer.1.$3.$4"},
        {"backbone\\.res_layers\\.(\\d+)\\.blocks\\.(\\d+)\\.branch2c\\.(conv|norm)\\.(.+)",
         "model.backbone.model.encoder.stages.$1.layers.$2.layer.2.$3.$4"},
        {"backbone\\.res_layers\\.(\\d+)\\.blocks\\.(\\d+)\\.short\\.conv\\.(conv|norm)\\.(.+)",
         "model.backbone.model.encoder.stages.$1.layers.$2.shortcut.1.$3.$4"},
        {"backbone\\.res_layers\\.(\\d+)\\.blocks\\.(\\d+)\\.short\\.(conv|norm)\\.(.+)",
         "model.backbone.model.encoder.stages.$1.layers.$2.shortcut.$3.$4"},
        {"encoder\\.input_proj\\.(\\d+)\\.conv\\.(.+)", "model.encoder_input_proj.$1.0.$2"},
        {"encoder\\.input_proj\\.(\\d+)\\.norm\\.(.+)", "model.encoder_input_proj.$1.1.$2"},
        {"encoder\\.encoder\\.(\\d+)\\.layers\\.(\\d+)\\.norm1\\.(.+)",
         "model.encoder.encoder.$1.layers.$2.self_attn_layer_norm.$3"},
        {"encoder\\.encoder\\.(\\d+)\\.layers\\.(\\d+)\\.norm2\\.(.+)",
         "model.encoder.encoder.$1.layers.$2.final_layer_norm.$3"},
        {"encoder\\.encoder\\.(\\d+)\\.layers\\.(\\d+)\\.linear([12])\\.(.+)",
         "model.encoder.encoder.$1.layers.$2.fc$3.$4"},
        {"encoder\\.encoder\\.(.+)", "model.encoder.encoder.$1"},
        {"encoder\\.((lateral_convs|fpn_blocks|downsample_convs|pan_blocks)\\..+)", "model.encoder.$1"},
        {"decoder\\.input_proj\\.(\\d+)\\.conv\\.(.+)", "model.decoder_input_proj.$1.0.$2"},
        {"decoder\\.input_proj\\.(\\d+)\\.norm\\.(.+)", "model.decoder_input_proj.$1.1.$2"},
        {"decoder\\.decoder\\.layers\\.(\\d+)\\.norm1\\.(.+)", "model.decoder.layers.$1.self_attn_layer_norm.$2"},
        {"decoder\\.decoder\\.layers\\.(\\d+)\\.norm2\\.(.+)", "model.decoder.layers.$1.encoder_attn_layer_norm.$2"},
        {"decoder\\.decoder\\.layers\\.(\\d+)\\.norm3\\.(.+)", "model.decoder.layers.$1.final_layer_norm.$2"},
        {"decoder\\.decoder\\.layers\\.(\\d+)\\.linear([12])\\.(.+)", "model.decoder.layers.$1.fc$2.$3"},
        {"decoder\\.decoder\\.layers\\.(\\d+)\\.cross_attn\\.(.+)", "model.decoder.layers.$1.encoder_attn.$2"},
        {"decoder\\.decoder\\.layers\\.(\\d+)\\.self_attn\\.(.+)", "model.decoder.layers.$1.self_attn.$2"},
        {"decoder\\.dec_score_head\\.(.+)", "model.decoder.class_embed.$1"},
        {"decoder\\.dec_bbox_head\\.(.+)", "model.decoder.bbox_embed.$1"},
        {"decoder\\.query_pos_head\\.(.+)", "model.decoder.query_pos_head.$1"},
        {"decoder\\.enc_output\\.proj\\.(.+)", "model.enc_output.0.$1"},
        {"decoder\\.enc_output\\.norm\\.(.+)", "model.enc_output.1.$1"},
        {"decoder\\.(enc_score_head|enc_bbox_head|denoising_class_embed)\\.(.+)", "model.$1.$2"},
    };
    std::vector<Rule> out;
    for (const auto& [ours, theirs] : texts) out.push_back({std::regex(ours), theirs});
    return out;
  }();
  return list;
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
}

// rtdetr_pytorch, where these blocks are plain sequences.
std::optional<std::string> first_version_name(const std::string& name) {
  static const std::regex projection("(encoder\\.input_proj\\.\\d+)\\.(conv|norm)\\.(.+)");
  static const std::regex output("(decoder\\.enc_output)\\.(proj|norm)\\.(.+)");
  std::smatch match;
  if (!std::regex_match(name, match, projection) && !std::regex_match(name, match, output)) return std::nullopt;
  return match[1].str() + (match[2] == "norm" ? ".1." : ".0.") + match[3].str();
}

}  // namespace

std::optional<TensorParts> transformers_name(const std::string& name) {
  for (const Rule& rule : rules()) {
    std::smatch match;
    if (!std::regex_match(name, match, rule.ours)) continue;
    std::string out = match.format(rule.theirs);
    if (name.starts_with("backbone.")) {
      replace(out, ".conv.", ".convolution.");
      replace(out, ".norm.", ".normalization.");
    }
    const size_t packed = out.find("in_proj_");
    if (packed == std::string::npos) return TensorParts{out};
    TensorParts parts;
    for (const char* part : {"q_proj.", "k_proj.", "v_proj."}) {
      parts.push_back(out.substr(0, packed) + part + out.substr(packed + 8));
    }
    return parts;
  }
  return std::nullopt;
}

std::vector<TensorParts> other_names(const std::string& name) {
  std::vector<TensorParts> out;
  if (const auto theirs = transformers_name(name)) out.push_back(*theirs);
  if (const auto first = first_version_name(name)) out.push_back({*first});
  if (name.starts_with("backbone.")) out.push_back({name.substr(9)});
  return out;
}

bool is_redundant(const std::string& name) {
  static const std::regex names(
      "(.*\\.)?(num_batches_tracked|num_points_scale|n_points_scale|anchors|valid_mask|pos_embed\\d*)"
      "|(class_embed|bbox_embed)\\..+");  // transformers holds the decoder's heads under two names
  return std::regex_match(name, names);
}

bool is_head(const std::string& name) {
  static const std::regex heads("(.*score_head\\.|decoder\\.denoising_class_embed\\.|decoder\\.gate\\.).*");
  return std::regex_match(name, heads);
}

namespace {

void require_counterpart(bool has, const std::string& what) {
  check(has, MOE_ERR_UNSUPPORTED, "export to transformers: expected a model that RTDetrV2 describes, got ", what);
}

// Channels of the stages; transformers takes half of the stem's for its first two convolutions.
std::vector<int64_t> backbone_channels(const Options& options, const NamedTensors& weights) {
  std::vector<int64_t> stages(4);
  int64_t half = 0, full = 0;
  for (const auto& [name, tensor] : weights) {
    if (name == "backbone.conv1.conv1_1.conv.weight") half = tensor.size(0);
    if (name == "backbone.conv1.conv1_3.conv.weight") full = tensor.size(0);
    for (size_t stage = 0; stage < stages.size(); ++stage) {
      const char* last = options.backbone.depth < 50 ? "branch2b" : "branch2c";
      if (name == text("backbone.res_layers.", stage, ".blocks.0.", last, ".conv.weight"))
        stages[stage] = tensor.size(0);
    }
  }
  require_counterpart(2 * half == full && options.backbone.stages == std::vector<int64_t>({1, 2, 3}),
                      "model.backbone.width or model.backbone.stages that it does not know");
  stages.insert(stages.begin(), full);
  return stages;
}

nlohmann::ordered_json backbone_config(const Options& options, const std::vector<int64_t>& channels) {
  const int64_t depth = options.backbone.depth;
  const bool deep = depth == 101, plain = depth == 18;
  return {{"model_type", "rt_detr_resnet"},
          {"embedding_size", channels[0]},
          {"hidden_sizes", std::vector<int64_t>(channels.begin() + 1, channels.end())},
          {"depths", plain ? std::vector<int64_t>{2, 2, 2, 2} : std::vector<int64_t>{3, 4, deep ? 23 : 6, 3}},
          {"layer_type", depth < 50 ? "basic" : "bottleneck"},
          {"hidden_act", "relu"},
          {"out_features", {"stage2", "stage3", "stage4"}},
          {"out_indices", {2, 3, 4}}};
}

std::string config_text(const Options& options, const NamedTensors& weights) {
  const std::vector<int64_t> channels = backbone_channels(options, weights);
  const int64_t hidden = options.decoder.hidden, levels = options.decoder.levels;
  nlohmann::ordered_json labels = nlohmann::ordered_json::object(), ids = nlohmann::ordered_json::object();
  for (size_t i = 0; i < options.classes.size(); ++i) {
    labels[std::to_string(i)] = options.classes[i];
    ids[options.classes[i]] = i;
  }
  const nlohmann::ordered_json config = {
      {"architectures", {"RTDetrV2ForObjectDetection"}},
      {"model_type", "rt_detr_v2"},
      {"backbone_config", backbone_config(options, channels)},
      {"freeze_backbone_batch_norms", options.backbone.freeze_norm},
      {"id2label", labels},
      {"label2id", ids},
      {"encoder_in_channels", std::vector<int64_t>(channels.begin() + 2, channels.end())},
      {"encoder_hidden_dim", hidden},
      {"encoder_ffn_dim", options.encoder.ffn},
      {"encoder_attention_heads", options.encoder.heads},
      {"encoder_layers", options.encoder.layers},
      {"hidden_expansion", options.encoder.expansion},
      {"d_model", hidden},
      {"decoder_in_channels", std::vector<int64_t>(static_cast<size_t>(levels), hidden)},
      {"decoder_ffn_dim", options.decoder.ffn},
      {"decoder_layers", options.decoder.layers},
      {"decoder_attention_heads", options.decoder.heads},
      {"decoder_n_points", options.decoder.points},
      {"decoder_n_levels", levels},
      {"num_feature_levels", levels},
      {"num_queries", options.queries},
      {"num_denoising", options.denoising.queries},
      {"label_noise_ratio", options.denoising.label_noise},
      {"box_noise_scale", options.denoising.box_noise},
      {"initializer_bias_prior_prob", options.decoder.prior},
      {"dtype", "float32"},
  };
  return config.dump(2) + "\n";
}

// Pictures stretched to the model's size, in 0..1, without mean and deviation.
std::string processor_text(const Options& options) {
  const nlohmann::ordered_json config = {
      {"image_processor_type", "RTDetrImageProcessor"},
      {"do_resize", true},
      {"size", {{"height", options.height}, {"width", options.width}}},
      {"resample", 2},
      {"do_rescale", true},
      {"rescale_factor", 1.0 / 255},
      {"do_normalize", false},
      {"do_pad", false},
  };
  return config.dump(2) + "\n";
}

}  // namespace

ExportedModel export_to_transformers(const Options& options, const NamedTensors& weights) {
  ExportedModel out;
  for (const auto& [name, tensor] : weights) {
    const auto parts = transformers_name(name);
    require_counterpart(parts.has_value(),
                        "experts or other tensors of its own (" + name + "); the format own has all");
    const std::vector<at::Tensor> values = tensor.chunk(static_cast<int64_t>(parts->size()), 0);
    for (size_t i = 0; i < parts->size(); ++i) out.tensors.emplace_back((*parts)[i], values[i]);
  }
  // A buffer of theirs: every level has the same number of points.
  const int64_t points = options.decoder.points * options.decoder.levels;
  for (int64_t i = 0; i < options.decoder.layers; ++i) {
    out.tensors.emplace_back(text("model.decoder.layers.", i, ".encoder_attn.n_points_scale"),
                             at::full({points}, 1.0 / static_cast<double>(options.decoder.points), at::kFloat));
  }
  out.metadata["format"] = "pt";  // which transformers asks for
  out.files["config.json"] = config_text(options, weights);
  out.files["preprocessor_config.json"] = processor_text(options);
  return out;
}

}  // namespace moe::rtdetr
