// From encoder maps to predictions: shared projection and query selection, then one decoder for all classes, or a gate
// and one decoder for each group of classes. An (image, expert) pair that is not in Routing::computed costs nothing
// beyond the shared part: its expert is run on the other images only.
#pragma once

#include "models/rtdetr/decoder.h"
#include "models/rtdetr/denoising.h"
#include "models/rtdetr/experts.h"
#include "models/rtdetr/selection.h"

namespace moe::rtdetr {

struct Options;

// What one expert (or the only decoder) made of the images it was computed for.
struct ExpertOutput {
  int64_t expert = 0;
  std::vector<int64_t> images;       // [G] rows of the batch, rising
  std::vector<Prediction> layers;    // every layer in training, the last one at inference
  std::vector<Prediction> denoised;  // training with denoising: every layer
  Targets targets;                   // training: of these images and classes, own labels
  Denoising denoising;
};

struct NetworkOutput {
  Prediction encoder;                 // training: the best cells of each image over all classes
  std::vector<ExpertOutput> experts;  // those computed for at least one image
  Routing routing;                    // undefined tensors without a gate
};

class MixtureDecoder : public nn::Module {
 public:
  explicit MixtureDecoder(const Options& options);

  // maps L * [B, hidden, H, W]. Targets in training, nullptr at inference. rng: of this micro-batch.
  NetworkOutput forward(const std::vector<at::Tensor>& maps, const Targets* targets, const Rng& rng);

 private:
  struct Shared;  // what all experts read
  void add_dense();
  void add_experts();
  Shared prepare(const std::vector<at::Tensor>& maps);
  at::Tensor token_scores(const Memory& memory) const;
  ExpertOutput decode(int64_t expert, const Shared& shared, std::vector<int64_t> images, const Targets* targets,
                      const Rng& rng) const;
  void select(Shared& shared) const;
  void add_denoising(ExpertOutput& out, DecoderInput& input, const Rng& rng) const;

  DecoderOptions decoder_;
  DenoisingOptions denoising_;
  RouterOptions router_;
  ExpertGroups groups_;
  int64_t queries_;
  std::vector<std::shared_ptr<nn::ConvNorm>> input_proj_;
  std::shared_ptr<EncoderOutput> enc_output_;
  std::shared_ptr<ScoreHead> enc_score_head_;
  std::shared_ptr<BoxHead> enc_bbox_head_;
  std::vector<std::shared_ptr<nn::Linear>> value_proj_;  // mixture only: by layer
  std::shared_ptr<Gate> gate_;                           // mixture only
  std::vector<DecoderStack> stacks_;
};

}  // namespace moe::rtdetr
