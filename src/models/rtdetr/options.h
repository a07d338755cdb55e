// The settings of MoE RT-DETR as plain structs, read once from a Config. Nothing below the task reads a Config.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "models/rtdetr/backbone.h"
#include "models/rtdetr/criterion.h"
#include "models/rtdetr/decoder.h"
#include "models/rtdetr/denoising.h"
#include "models/rtdetr/encoder.h"
#include "models/rtdetr/experts.h"
#include "moe/router_losses.h"

namespace moe::rtdetr {

struct Options {
  std::vector<std::string> classes;
  std::vector<int64_t> categories;  // COCO category ids by class; empty: not known
  BackboneOptions backbone;
  EncoderOptions encoder;  // in_channels are filled in by the network
  DecoderOptions decoder;
  int64_t queries = 300;  // selected in an image; every expert decodes all of them
  bool mixture = false;   // false: one decoder for all classes and no gate
  ExpertGroups groups;    // a mixture's experts, or one group of all classes
  GateOptions gate;
  DenoisingOptions denoising;
  LossOptions loss;
  RouterLossWeights router_loss;  // of feed-forward experts, sums over layers
  // ffn: groups of classes; how many experts a layer has without model.experts.count, and what class_guided teaches
  // them
  ExpertGroups class_groups;
  double gate_loss = 1;               // weight of the gate's cross entropy
  bool normalize_by_expert = false;   // divide an expert's loss by its own boxes, not by all of the window
  int64_t max_detections = 300;       // per image or view of one
  double same_object = 0.6;           // agreement from which detections of two views are one object
  int64_t height = 640, width = 640;  // of the input in summaries; any size is taken
  uint64_t seed = 0;
};

// Of the dense twin of a mixture: its layers take as many queries each as a layer of the mixture takes on average, the
// shared ones once an image, the others top_k times.
int64_t twin_queries(const Options& options);
Options read_options(const Config& config);  // MOE_ERR_CONFIG, placed at the key

}  // namespace moe::rtdetr
