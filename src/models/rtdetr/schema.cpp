// The settings of the task rtdetr: the table of its keys, and the options read from a config. What a module checks
// itself when it is built is not checked here.
#include <algorithm>

#include "models/rtdetr/options.h"
#include "models/rtdetr/task.h"
#include "moe/router_schema.h"

namespace moe::rtdetr {

static Schema network_keys() {
  using enum KeyType;
  return {
      {"model.backbone.depth", integer, "18", "18 | 34 | 50 | 101", "Layers of the PResNet-vd backbone."},
      {"model.backbone.width", number, "1.0", "> 0, <= 4", "Factor on every channel count of the backbone."},
      {"model.backbone.stages", integers, "[1, 2, 3]", ">= 0, <= 3",
       "Backbone stages that feed the encoder, three rising ones (strides 4, 8, 16, 32)."},
      {"model.backbone.frozen_norm", boolean, "false", "",
       "Fix every BatchNorm of the backbone to its stored statistics."},
      {"model.backbone.freeze_at", integer, "-1", ">= -1, <= 4",
       "Backbone parts without gradient: -1 none, 0 the stem, n the stem and the first n stages."},
      {"model.hidden", integer, "256", ">= 8", "Width of encoder and decoder."},
      {"model.heads", integer, "8", ">= 1", "Attention heads of encoder and decoder."},
      {"model.encoder.ffn", integer, "1024", ">= 1", "Hidden units of the encoder's transformer layer."},
      {"model.encoder.expansion", number, "0.5", "> 0, <= 4",
       "Inner width of the encoder's fusion blocks over hidden."},
      {"model.decoder.layers", integer, "3", ">= 1", "Decoder layers."},
      {"model.decoder.ffn", integer, "1024", ">= 1", "Hidden units of a decoder layer."},
      {"model.decoder.points", integer, "4", ">= 1", "Sampling points of a head on each level."},
      {"model.queries", integer, "300", ">= 1",
       "Object queries of a model with one decoder (experts.kind: none or ffn)."},
      {"model.prior", number, "0.01", "> 0, < 1", "Probability that every class score starts with."},
      {"model.max_detections", integer, "300", ">= 1",
       "Detections given per image, best first; with data.slice per view of it."},
      {"model.same_object", number, "0.6", "> 0, <= 1",
       "With data.slice: IoU from which detections of two views are one object; of a box that its view cuts the share "
       "inside the other."},
      {"model.denoising.queries", integer, "100", ">= 0",
       "Positive denoising queries an image gets, about; 0: no denoising."},
      {"model.denoising.label_noise", number, "0.5", ">= 0, <= 1",
       "Half of this share of denoised labels is drawn anew."},
      {"model.denoising.box_noise", number, "1.0", ">= 0, <= 2",
       "Half sides that the corners of denoised boxes move by at most; negatives move up to twice that."},
  };
}

static Schema expert_keys() {
  using enum KeyType;
  Schema keys = {
      {"model.experts.kind", text, "none", "none | ffn | class_partitioned | dense_twin",
       "none: one decoder; ffn: experts in the place of every decoder layer's feed-forward part, the multiply-adds of "
       "none and a router's; class_partitioned: a decoder for each group of classes behind a gate; dense_twin: one "
       "decoder with as many queries as make its layers cost what the experts of an image cost together."},
      {"model.experts.groups", text, "by_class", "by_class | by_complexity | by_size | custom",
       "Classes of each expert: one class (A), vehicles/people/two_wheelers (B), large/medium/small (C), or the "
       "table."},
      {"model.experts.table.*", texts, "[]", "", "Classes of the expert of this name, with groups: custom."},
      {"model.experts.count", integer, "0", ">= 0, <= 1024", "ffn: experts of a layer; 0: one for each group."},
      {"model.experts.shared", integer, "0", ">= 0, <= 64", "ffn: more experts of a layer, which every query takes."},
      {"model.experts.shared_layers", integer, "0", ">= 0",
       "First decoder layers, one stack for all classes before the experts; fewer than model.decoder.layers."},
      {"model.experts.queries", integer, "100", ">= 1, <= 100000",
       "Object queries of an image, which each of its experts decodes (class_partitioned, dense_twin)."},
      {"model.experts.threshold", number, "0.05", ">= 0, <= 1",
       "Gate probability below which an expert is left out; the most probable one is always computed."},
  };
  const Schema router = router_keys(
      "class_partitioned: most experts computed for an image at inference; ffn: experts of a query, each with "
      "model.decoder.ffn / (top_k + shared) hidden units.",
      "ffn: ");
  keys.insert(keys.end(), router.begin(), router.end());
  return keys;
}

static Schema loss_keys() {
  using enum KeyType;
  Schema keys = {
      {"loss.vfl", number, "1", ">= 0", "Weight of the varifocal classification loss."},
      {"loss.bbox", number, "5", ">= 0", "Weight of the L1 box loss."},
      {"loss.giou", number, "2", ">= 0", "Weight of the generalised IoU loss."},
      {"loss.gate", number, "1", ">= 0",
       "Weight of the gate's cross entropy (classes of an expert in the image or not)."},
      {"loss.normalize", text, "all", "all | expert",
       "Boxes of the window that an expert's losses are divided by: all, or those of its classes."},
      {"matcher.class", number, "2", ">= 0", "Weight of the focal class cost in the assignment."},
      {"matcher.bbox", number, "5", ">= 0", "Weight of the L1 distance in the assignment."},
      {"matcher.giou", number, "2", ">= 0", "Weight of the generalised IoU in the assignment."},
  };
  const Schema router = router_loss_keys("summed over the routers (ffn)", "0.01");
  keys.insert(keys.end(), router.begin(), router.end());
  return keys;
}

Schema schema() {
  Schema all = network_keys();
  for (const Schema& part : {expert_keys(), loss_keys()}) all.insert(all.end(), part.begin(), part.end());
  return all;
}

static std::vector<std::string> read_classes(const Config& config) {
  std::vector<std::string> classes = config.texts("data.classes");
  if (classes.empty()) config.fail_at("data.classes", "expected at least one class name, got none");
  return classes;
}

static std::vector<int64_t> read_categories(const Config& config, size_t classes) {
  std::vector<int64_t> ids = config.integers("data.category_ids");
  if (!ids.empty() && ids.size() != classes) {
    config.fail_at("data.category_ids", text("expected an id for each of the ", classes, " classes, got ", ids.size()));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (std::find(ids.begin(), ids.begin() + static_cast<int64_t>(i), ids[i]) == ids.begin() + static_cast<int64_t>(i))
      continue;
    config.fail_at("data.category_ids", text("expected every id once, got ", ids[i], " twice"));
  }
  return ids;
}

static void read_backbone(const Config& config, Options& out) {
  out.backbone.depth = config.integer("model.backbone.depth");
  out.backbone.width = config.number("model.backbone.width");
  out.backbone.stages = config.integers("model.backbone.stages");
  out.backbone.freeze_norm = config.boolean("model.backbone.frozen_norm");
  out.backbone.freeze_at = config.integer("model.backbone.freeze_at");
  if (out.backbone.stages.size() != 3) {
    config.fail_at("model.backbone.stages", text("expected three stages, got ", out.backbone.stages.size()));
  }
}

static void read_transformer(const Config& config, Options& out) {
  const int64_t hidden = config.integer("model.hidden"), heads = config.integer("model.heads");
  if (hidden % heads != 0 || hidden % 4 != 0) {
    config.fail_at("model.hidden", text("expected a multiple of 4 and of model.heads = ", heads, ", got ", hidden));
  }
  out.encoder.hidden = out.decoder.hidden = hidden;
  out.encoder.heads = out.decoder.heads = heads;
  out.encoder.ffn = config.integer("model.encoder.ffn");
  out.encoder.expansion = config.number("model.encoder.expansion");
  out.decoder.ffn = config.integer("model.decoder.ffn");
  out.decoder.layers = config.integer("model.decoder.layers");
  out.decoder.points = config.integer("model.decoder.points");
  out.decoder.prior = config.number("model.prior");
}

static void read_ffn_experts(const Config& config, Options& out) {
  out.class_groups = read_groups(config, out.classes);
  const int64_t given = config.integer("model.experts.count"), groups = out.class_groups.size();
  out.decoder.ffn_experts = given > 0 ? given : groups;
  out.decoder.ffn_router = read_router(config, out.decoder.ffn_experts);
  out.decoder.shared_experts = config.integer("model.experts.shared");
  if (out.decoder.shared_layers > 0) {
    config.fail_at("model.experts.shared_layers",
                   text("expected 0 with model.experts.kind = ffn, got ", out.decoder.shared_layers));
  }
  out.router_loss = read_router_losses(config, out.decoder.ffn_router);
  if (out.router_loss.class_guided > 0 && out.decoder.ffn_experts != groups) {
    config.fail_at("loss.class_guided", text("expected model.experts.count to be the ", groups,
                                             " groups of model.experts.groups, got ", given));
  }
  if (out.decoder.ffn % out.decoder.experts_of_a_query() != 0) {
    config.fail_at("model.decoder.ffn", text("expected a multiple of model.experts.top_k + shared = ",
                                             out.decoder.experts_of_a_query(), ", got ", out.decoder.ffn));
  }
}

static void read_experts(const Config& config, Options& out) {
  const std::string kind = config.text("model.experts.kind");
  out.gate.top_k = config.integer("model.experts.top_k");
  out.gate.threshold = config.number("model.experts.threshold");
  out.gate.noise = config.number("model.experts.noise");
  out.decoder.shared_layers = config.integer("model.experts.shared_layers");
  if (out.decoder.shared_layers >= out.decoder.layers) {
    config.fail_at("model.experts.shared_layers", text("expected fewer than the ", out.decoder.layers,
                                                       " decoder layers, got ", out.decoder.shared_layers));
  }
  out.gate.temperature = config.number("model.experts.temperature");
  out.mixture = kind == "class_partitioned";
  out.groups = out.mixture ? read_groups(config, out.classes) : one_group(out.classes);
  out.queries = config.integer("model.experts.queries");
  if (kind == "ffn") read_ffn_experts(config, out);
  if (kind == "dense_twin") out.queries = twin_queries(out);
  if (kind == "none" || kind == "ffn") out.queries = config.integer("model.queries");
  if (!out.mixture) out.decoder.shared_layers = 0;
  if (out.mixture && out.gate.top_k > out.groups.size()) {
    config.fail_at("model.experts.top_k",
                   text("expected at most the ", out.groups.size(), " experts that model.experts.groups: ",
                        config.text("model.experts.groups"), " makes of data.classes, got ", out.gate.top_k));
  }
}

static void read_losses(const Config& config, Options& out) {
  out.denoising.queries = config.integer("model.denoising.queries");
  out.denoising.label_noise = config.number("model.denoising.label_noise");
  out.denoising.box_noise = config.number("model.denoising.box_noise");
  out.loss.vfl = config.number("loss.vfl");
  out.loss.bbox = config.number("loss.bbox");
  out.loss.giou = config.number("loss.giou");
  out.loss.match_class = config.number("matcher.class");
  out.loss.match_bbox = config.number("matcher.bbox");
  out.loss.match_giou = config.number("matcher.giou");
  out.gate_loss = config.number("loss.gate");
  out.normalize_by_expert = config.text("loss.normalize") == "expert";
}

int64_t twin_queries(const Options& options) {
  const int64_t layers = options.decoder.layers, shared = options.decoder.shared_layers;
  const int64_t taken = options.queries * (shared + options.gate.top_k * (layers - shared));
  return (taken + layers - 1) / layers;
}

Options read_options(const Config& config) {
  Options out;
  out.classes = read_classes(config);
  out.categories = read_categories(config, out.classes.size());
  read_backbone(config, out);
  read_transformer(config, out);
  read_experts(config, out);
  read_losses(config, out);
  out.max_detections = config.integer("model.max_detections");
  out.same_object = config.number("model.same_object");
  out.backbone.checkpoint = out.encoder.checkpoint = out.decoder.checkpoint =
      config.boolean("train.checkpoint_activations");
  const std::vector<int64_t> size = config.integers("data.size");
  if (size.size() != 2) config.fail_at("data.size", text("expected [height, width], got ", size.size(), " numbers"));
  if (size[0] < 32 || size[1] < 32) {
    config.fail_at("data.size", text("expected sides of 32 pixels or more, got ", size[0], " x ", size[1]));
  }
  out.height = size[0];
  out.width = size[1];
  out.seed = static_cast<uint64_t>(config.integer("seed"));
  return out;
}

}  // namespace moe::rtdetr
