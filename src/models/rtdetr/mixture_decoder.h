// From encoder maps to predictions: shared projection and query selection, then one decoder for all classes, or a gate,
// decoder layers that all experts share, and an expert stack for each group of classes. An (image, expert) pair that is
// not in GateDecision::computed costs nothing beyond the shared part: its expert is run on the other images only.
#pragma once

#include "models/rtdetr/decoder.h"
#include "models/rtdetr/denoising.h"
#include "models/rtdetr/experts.h"
#include "models/rtdetr/selection.h"

namespace moe::rtdetr {

struct Options;

// Predictions of a run of layers, first_layer and those after it: in training of every layer, with those for the
// denoising queries; else of the last.
struct StackOutput {
  int64_t first_layer = 0;  // of the model's decoder layers
  std::vector<Prediction> layers, denoised;
  std::vector<Routing> routings;  // of feed-forward experts, by layer; an image's denoising queries come first
};

// What one expert (or the only decoder) made of the images it was computed for.
struct ExpertOutput : StackOutput {
  int64_t expert = 0;
  std::vector<int64_t> images;  // [G] rows of the batch, rising
};

struct NetworkOutput {
  Prediction encoder;                 // training: the selected cells, all classes
  StackOutput shared;                 // of the layers before the experts, all classes
  Denoising denoising;                // of the batch; the stacks predict for all of its queries
  std::vector<ExpertOutput> experts;  // those computed for at least one image
  GateDecision gate;                  // undefined tensors without a gate
};

class MixtureDecoder : public nn::Module {
 public:
  explicit MixtureDecoder(const Options& options);

  // maps L * [B, hidden, H, W]. Targets in training, nullptr at inference. rng: of this micro-batch.
  NetworkOutput forward(const std::vector<at::Tensor>& maps, const Targets* targets, const Rng& rng);
  std::vector<const nn::Router*> routers() const { return stacks_.front().routers(); }

 private:
  void add_dense();
  void add_experts();
  Memory make_memory(const std::vector<at::Tensor>& maps) const;
  std::vector<at::Tensor> values(const at::Tensor& tokens) const;  // by layer, [B, S, heads, hidden / heads]
  at::Tensor token_scores(const Memory& memory) const;
  DecoderState select(const Memory& memory, const at::Tensor& scores, NetworkOutput& out) const;
  void add_denoising(DecoderState& state, NetworkOutput& out, const Targets& targets, const Rng& rng) const;
  StackOutput run(const DecoderStack& stack, DecoderState& state, const std::vector<at::Tensor>& values,
                  const nn::LevelShapes& levels, int64_t denoised) const;
  GateDecision choose(const std::vector<at::Tensor>& maps, const at::Tensor& scores, const Targets* targets,
                      const Rng& rng) const;

  DecoderOptions decoder_;
  DenoisingOptions denoising_;
  GateOptions gate_options_;
  ExpertGroups groups_;
  int64_t queries_;
  std::vector<std::shared_ptr<nn::ConvNorm>> input_proj_;
  std::shared_ptr<EncoderOutput> enc_output_;
  std::shared_ptr<ScoreHead> enc_score_head_;
  std::shared_ptr<BoxHead> enc_bbox_head_;
  std::shared_ptr<ClassEmbedding> denoising_class_embed_;
  std::vector<std::shared_ptr<nn::Linear>> value_proj_;  // mixture only: by layer
  std::shared_ptr<Gate> gate_;                           // mixture only
  std::unique_ptr<DecoderStack> shared_;                 // mixture only, with shared_layers
  std::vector<DecoderStack> stacks_;
};

}  // namespace moe::rtdetr
