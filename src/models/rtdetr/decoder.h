// The decoder of RT-DETRv2: self-attention among queries, deformable attention into the encoder's maps, boxes refined
// layer by layer. One DecoderStack is a whole decoder with its heads; the dense model has one, a mixture has one an
// expert. Which images it works on is given by an index, so that experts share the projected values without copies.
#pragma once

#include "models/rtdetr/criterion.h"
#include "nn/attention.h"
#include "nn/deformable_attention.h"
#include "nn/layers.h"

namespace moe::rtdetr {

struct DecoderOptions {
  int64_t hidden = 256;
  int64_t heads = 8;
  int64_t ffn = 1024;
  int64_t layers = 3;
  int64_t shared_layers = 0;  // of a mixture: the first layers, one set for all experts
  int64_t points = 4;         // a head takes on each level
  int64_t levels = 3;
  double prior = 0.01;      // probability that class scores start with
  bool checkpoint = false;  // recompute layers in the backward pass
};

// Class scores that start at `prior` everywhere (Lin et al., focal loss, 2017).
class ScoreHead : public nn::Linear {
 public:
  ScoreHead(int64_t hidden, int64_t classes, double prior);
  void init_own(const nn::ParameterInit& init) override;

 private:
  double prior_;
};

// Three linear layers to a box offset that starts at 0.
class BoxHead : public nn::Mlp {
 public:
  explicit BoxHead(int64_t hidden);
  void init_own(const nn::ParameterInit& init) override;
};

// Embeds a box as the position of its query; xavier weights.
class QueryPosition : public nn::Mlp {
 public:
  explicit QueryPosition(int64_t hidden);
  void init_own(const nn::ParameterInit& init) override;
};

// One vector a class; the last row, for padding, stays 0.
class ClassEmbedding : public nn::Module {
 public:
  ClassEmbedding(int64_t classes, int64_t hidden);
  at::Tensor forward(const at::Tensor& labels) const;  // int64 [...] -> [..., hidden]
  void init_own(const nn::ParameterInit& init) override;

  at::Tensor weight;  // [classes + 1, hidden]
};

struct DecoderInput {
  at::Tensor content;      // [G, Q, hidden]
  at::Tensor reference;    // [G, Q, 4] logits of cxcywh
  at::Tensor blocked;      // [Q, Q] bool, true = row may not look at column; undefined: all see all
  at::Tensor image_index;  // [G] int64, the image of each row; undefined: row g is image g
};

class DecoderLayer;

// The first layers of every expert's decoder, with their box heads and the query position: what they learn (where
// objects are) does not depend on the class, so all experts teach them. Scores stay with the experts.
struct SharedLayers {
  std::vector<std::shared_ptr<DecoderLayer>> layers;
  std::vector<std::shared_ptr<BoxHead>> boxes;
  std::shared_ptr<QueryPosition> position;
};
// `count` layers, registered in `owner` as layers, dec_bbox_head and query_pos_head.
SharedLayers make_shared_layers(const DecoderOptions& options, int64_t count, nn::Module& owner);

class DecoderStack {
 public:
  // Registers the heads (dec_score_head, dec_bbox_head, query_pos_head, denoising_class_embed) in `heads` and the
  // layers as `layers` in `trunk`; both may be the same module. Without own values, project_values() is not there.
  // What `shared` holds is used and not registered again.
  DecoderStack(const DecoderOptions& options, int64_t classes, bool own_values, nn::Module& heads, nn::Module& trunk,
               const SharedLayers& shared = {});

  // memory [B, S, hidden] -> of every layer [B, S, heads, hidden / heads]
  std::vector<at::Tensor> project_values(const at::Tensor& memory) const;
  // Predictions of every layer (training), or of the last one alone. values: of every layer, as above.
  std::vector<Prediction> forward(const DecoderInput& input, const std::vector<at::Tensor>& values,
                                  const nn::LevelShapes& levels, bool every_layer) const;
  const ClassEmbedding& class_embedding() const { return *denoising_class_embed_; }

 private:
  at::Tensor run_layer(size_t i, const at::Tensor& x, const at::Tensor& box, const DecoderInput& input,
                       const at::Tensor& value, const nn::LevelShapes& levels) const;

  DecoderOptions options_;
  std::vector<std::shared_ptr<DecoderLayer>> layers_;
  std::vector<std::shared_ptr<ScoreHead>> dec_score_head_;
  std::vector<std::shared_ptr<BoxHead>> dec_bbox_head_;
  std::shared_ptr<QueryPosition> query_pos_head_;
  std::shared_ptr<ClassEmbedding> denoising_class_embed_;
};

// Registers the items from `first` on by their index ("0", "1", ...) in a submodule `name`.
template <typename Item>
void register_list(nn::Module& owner, const std::string& name, const std::vector<std::shared_ptr<Item>>& items,
                   size_t first = 0) {
  if (first >= items.size()) return;
  const auto list = owner.register_module(name, std::make_shared<nn::Module>());
  for (size_t i = first; i < items.size(); ++i) list->register_module(std::to_string(i), items[i]);
}

}  // namespace moe::rtdetr
