// The settings of the diffusion UNet as plain structs, read once from a Config. Nothing below the task reads a Config.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "eval/generation_evaluator.h"
#include "models/diffusion/objective.h"
#include "models/diffusion/sampler.h"
#include "moe/router_losses.h"
#include "moe/router_schema.h"

namespace moe::diffusion {

// standard: encoder and decoder meet at the same sizes, blocks with residuals, AdaGN and zero-initialised gates. paper
// and paper_standard: the published blocks (MoEFSDiC) with GroupNorm for BatchNorm, in its own topology made whole
// (skip connections leave the encoder after each halving) and in the standard one.
enum class Topology { standard, paper, paper_standard };

// What stands in a block: conv: experts by image; token: 1 x 1 experts by pixel; dense: one expert as wide as the
// shared and the chosen ones together; fusion: parallel dilations, the published block without a mixture.
enum class ExpertKind { conv, token, dense, fusion };

struct ExpertOptions {
  ExpertKind kind = ExpertKind::conv;
  int64_t count = 8;
  double width = 1, shared_width = 1;  // hidden channels of an expert and of the shared one (0: none) over the block's
  std::vector<int64_t> dilation = {1, 2, 4};  // of the experts in turn, at most a quarter of the map's side
  RouterSettings router;
};

enum class FrequencyMode { none, channel_gate, bands, filter };

struct FrequencyOptions {
  FrequencyMode mode = FrequencyMode::bands;
  int64_t bands = 2;
};

struct NetworkOptions {
  Topology topology = Topology::standard;
  int64_t image_channels = 3, height = 32, width = 32;
  int64_t channels = 64;                         // of the stem
  std::vector<int64_t> multipliers = {1, 2, 4};  // of the levels, the last one without skip connection
  int64_t embedding = 256;                       // width of the embeddings of time and class
  int64_t classes = 10;                          // 0: unconditional
  bool separable = true;                         // depthwise-separable convolutions for dense ones
  ExpertOptions experts;
  FrequencyOptions frequency;
  bool checkpoint = false;  // recompute blocks in the backward pass

  int64_t levels() const { return static_cast<int64_t>(multipliers.size()); }
  int64_t width_of(int64_t level) const { return channels * multipliers[static_cast<size_t>(level)]; }
  // Those of one block, whose router's errors name it.
  NetworkOptions for_layer(const std::string& name) const {
    NetworkOptions out = *this;
    out.experts.router.layer = name;
    return out;
  }
};

// Classifier-free guidance at sampling.
struct GuidanceOptions {
  double scale = 1;
  double from = 0, to = 1;  // share of the sampler's levels, from noise to picture, where it acts
};

struct Options {
  std::vector<std::string> classes;
  NetworkOptions network;
  ObjectiveOptions objective;
  SamplerOptions sampler;
  GuidanceOptions guidance;
  double label_dropout = 0.1;     // share of training samples whose class is hidden
  RouterLossWeights router_loss;  // means over the routers
  GenerationOptions evaluation;
  int64_t grid_columns = 0;  // of a run's pictures; 0: none
  uint64_t seed = 0;
};

Options read_options(const Config& config);  // MOE_ERR_CONFIG, placed at the key

}  // namespace moe::diffusion
