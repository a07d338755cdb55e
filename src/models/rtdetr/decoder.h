// The decoder of RT-DETRv2: self-attention among queries, deformable attention into the encoder's maps, boxes refined
// layer by layer. One DecoderStack is a run of layers with their heads: the dense model is one, a mixture has one an
// expert, after one that all experts share. Which images a stack works on is given by an index, so that experts share
// the projected values without copies.
#pragma once

#include "models/rtdetr/criterion.h"
#include "nn/attention.h"
#include "nn/deformable_attention.h"
#include "nn/layers.h"
#include "nn/moe_ffn.h"

namespace moe::rtdetr {

struct DecoderOptions {
  int64_t hidden = 256;
  int64_t heads = 8;
  int64_t ffn = 1024;
  int64_t layers = 3;
  int64_t shared_layers = 0;  // of a mixture: the first layers, one stack for all classes before the experts
  int64_t points = 4;         // a head takes on each level
  int64_t levels = 3;
  double prior = 0.01;  // probability that class scores start with
  // Experts in the place of each layer's feed-forward part, of ffn / (top_k + shared) hidden units, so that a query
  // costs what it costs without; 0: none.
  int64_t ffn_experts = 0;
  int64_t shared_experts = 0;  // more of them, which every query takes
  RouterSettings ffn_router;
  bool checkpoint = false;  // recompute layers in the backward pass

  int64_t experts_of_a_query() const { return ffn_router.top_k + shared_experts; }
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

// Queries on their way through the layers.
struct DecoderState {
  at::Tensor content;                  // [G, Q, hidden]
  at::Tensor box;                      // [G, Q, 4] cxcywh, cut from the graph
  at::Tensor uncut;                    // the same with its gradient; undefined before the first layer
  at::Tensor blocked;                  // [Q, Q] bool, true = row may not look at column; undefined: all see all
  at::Tensor image_index;              // [G] int64, the image of each row; undefined: row g is image g
  at::Tensor valid;                    // [G, Q] bool, false: a denoising query without target; undefined: all
  std::optional<Rng> noise = {};       // training: of the layers' routers
  std::vector<Routing> routings = {};  // of the layers passed, when they have feed-forward experts; tokens [G * Q]
};
// The rows [G'] alone, which become the image index.
DecoderState select_rows(const DecoderState& state, const at::Tensor& rows);

class DecoderLayer;

class DecoderStack {
 public:
  // `layers` of them. Registers the heads (dec_score_head, dec_bbox_head, query_pos_head) in `heads` and the layers as
  // `layers` in `trunk`; both may be the same module. Without own values, project_values() is not there.
  DecoderStack(const DecoderOptions& options, int64_t layers, int64_t classes, bool own_values, nn::Module& heads,
               nn::Module& trunk);

  int64_t layers() const { return static_cast<int64_t>(layers_.size()); }
  std::vector<const nn::Router*> routers() const;  // of feed-forward experts, by layer
  // memory [B, S, hidden] -> of every layer [B, S, heads, hidden / heads]
  std::vector<at::Tensor> project_values(const at::Tensor& memory) const;
  // Moves the state through all layers; predictions of layer `predict_from` and those after it. The first layer reads
  // values[first_value], as above.
  std::vector<Prediction> forward(DecoderState& state, const std::vector<at::Tensor>& values, int64_t first_value,
                                  const nn::LevelShapes& levels, int64_t predict_from) const;

 private:
  at::Tensor run_layer(size_t i, DecoderState& state, const at::Tensor& value, const nn::LevelShapes& levels) const;

  DecoderOptions options_;
  std::vector<std::shared_ptr<DecoderLayer>> layers_;
  std::vector<std::shared_ptr<ScoreHead>> dec_score_head_;
  std::vector<std::shared_ptr<BoxHead>> dec_bbox_head_;
  std::shared_ptr<QueryPosition> query_pos_head_;
};

// Registers the items by their index ("0", "1", ...) in a submodule `name`.
template <typename Item>
void register_list(nn::Module& owner, const std::string& name, const std::vector<std::shared_ptr<Item>>& items) {
  const auto list = owner.register_module(name, std::make_shared<nn::Module>());
  for (size_t i = 0; i < items.size(); ++i) list->register_module(std::to_string(i), items[i]);
}

}  // namespace moe::rtdetr
