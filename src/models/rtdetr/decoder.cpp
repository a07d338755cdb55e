#include "models/rtdetr/decoder.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/text.h"
#include "nn/boxes.h"
#include "tensor/checkpoint_fn.h"
#include "tensor/scope.h"

namespace moe::rtdetr {

ScoreHead::ScoreHead(int64_t hidden, int64_t classes, double prior) : Linear(hidden, classes), prior_(prior) {}

void ScoreHead::init_own(const nn::ParameterInit& init) {
  Linear::init_own(init);
  nn::ParameterInit::constant(bias, -std::log((1 - prior_) / prior_));
}

BoxHead::BoxHead(int64_t hidden) : Mlp(hidden, hidden, 4, 3) {}

void BoxHead::init_own(const nn::ParameterInit&) {
  nn::ParameterInit::constant(last().weight, 0);
  nn::ParameterInit::constant(last().bias, 0);
}

QueryPosition::QueryPosition(int64_t hidden) : Mlp(4, 2 * hidden, hidden, 2) {}

void QueryPosition::init_own(const nn::ParameterInit& init) {
  init.xavier_uniform("layers.0.weight", layer(0).weight);
  init.xavier_uniform("layers.1.weight", layer(1).weight);
}

ClassEmbedding::ClassEmbedding(int64_t classes, int64_t hidden)
    : weight(register_parameter("weight", nn::unset({classes + 1, hidden}))) {}

at::Tensor ClassEmbedding::forward(const at::Tensor& labels) const {
  return at::embedding(weight, labels, weight.size(0) - 1);
}

void ClassEmbedding::init_own(const nn::ParameterInit& init) {
  init.normal("weight", weight, 1.0);
  nn::ParameterInit::constant(weight.select(0, weight.size(0) - 1), 0);
}

// Post-norm, in the order self-attention, deformable attention, feed-forward.
class DecoderLayer : public nn::Module {
 public:
  DecoderLayer(const DecoderOptions& o, int64_t index, bool own_values)
      : self_attn_(register_module("self_attn", std::make_shared<nn::MultiheadSelfAttention>(o.hidden, o.heads))),
        norm1_(register_module("norm1", std::make_shared<nn::LayerNorm>(o.hidden))),
        cross_attn_(register_module(
            "cross_attn",
            std::make_shared<nn::MsDeformAttn>(
                o.hidden, o.heads, std::vector<int64_t>(static_cast<size_t>(o.levels), o.points), own_values))),
        norm2_(register_module("norm2", std::make_shared<nn::LayerNorm>(o.hidden))),
        norm3_(register_module("norm3", std::make_shared<nn::LayerNorm>(o.hidden))) {
    if (o.ffn_experts > 0) {
      experts_ = register_module("experts", std::make_shared<nn::MoeFfn>(ffn_options(o, index)));
      return;
    }
    linear1_ = register_module("linear1", std::make_shared<nn::Linear>(o.hidden, o.ffn));
    linear2_ = register_module("linear2", std::make_shared<nn::Linear>(o.ffn, o.hidden));
  }

  bool has_experts() const { return experts_ != nullptr; }
  const nn::Router* router() const { return experts_ ? &experts_->router() : nullptr; }

  // x, position [G, Q, hidden]; box [G, Q, 4] cxcywh; value [B, S, heads, hidden / heads] -> [G, Q, hidden]
  at::Tensor attend(const at::Tensor& x, const at::Tensor& position, const at::Tensor& box, const at::Tensor& value,
                    const at::Tensor& blocked, const at::Tensor& image_index, const nn::LevelShapes& levels) const {
    const at::Tensor y = norm1_->forward(x + self_attn_->forward(x + position, x, blocked));
    return norm2_->forward(y + cross_attn_->forward(y + position, box, value, levels, image_index));
  }

  at::Tensor feed_forward(const at::Tensor& y) const {
    return add(y, linear2_->forward(at::relu(linear1_->forward(y))));
  }

  // valid [G, Q] bool or undefined; appends what the router did.
  at::Tensor feed_experts(const at::Tensor& y, const at::Tensor& valid, const std::optional<Rng>& noise,
                          std::vector<Routing>& routings) const {
    const at::Tensor tokens = y.flatten(0, 1), kept = valid.defined() ? valid.flatten() : valid;
    nn::MoeFfn::Output out = experts_->forward(tokens, {kept, noise, {}});
    routings.push_back(std::move(out.routing));
    return add(y, out.y.view(y.sizes()));
  }

  const nn::MsDeformAttn& cross_attn() const { return *cross_attn_; }

  void init_own(const nn::ParameterInit& init) override {
    if (experts_) return;
    init.xavier_uniform("linear1.weight", linear1_->weight);
    init.xavier_uniform("linear2.weight", linear2_->weight);
  }

 private:
  static nn::MoeFfnOptions ffn_options(const DecoderOptions& o, int64_t index) {
    nn::MoeFfnOptions out;
    out.dim = o.hidden;
    out.ffn = o.ffn / o.experts_of_a_query();
    out.experts = o.ffn_experts;
    out.shared = o.shared_experts;
    out.router = o.ffn_router;
    out.router.layer = text("decoder layer ", index);
    return out;
  }

  at::Tensor add(const at::Tensor& y, const at::Tensor& change) const {
    at::Tensor sum = y + change;
    // fp16 can overflow here (lyuwenyu/RT-DETR, pull request 464).
    if (sum.scalar_type() == at::kHalf) sum = sum.clamp(-65504, 65504);
    return norm3_->forward(sum);
  }

  std::shared_ptr<nn::MultiheadSelfAttention> self_attn_;
  std::shared_ptr<nn::LayerNorm> norm1_;
  std::shared_ptr<nn::MsDeformAttn> cross_attn_;
  std::shared_ptr<nn::LayerNorm> norm2_;
  std::shared_ptr<nn::LayerNorm> norm3_;
  std::shared_ptr<nn::Linear> linear1_, linear2_;  // without experts_
  std::shared_ptr<nn::MoeFfn> experts_;
};

DecoderState select_rows(const DecoderState& state, const at::Tensor& rows) {
  const auto pick = [&](const at::Tensor& x) { return x.defined() ? x.index_select(0, rows) : x; };
  return {pick(state.content), pick(state.box), pick(state.uncut), state.blocked, rows, pick(state.valid), state.noise};
}

DecoderStack::DecoderStack(const DecoderOptions& options, int64_t layers, int64_t classes, bool own_values,
                           nn::Module& heads, nn::Module& trunk)
    : options_(options),
      query_pos_head_(heads.register_module("query_pos_head", std::make_shared<QueryPosition>(options.hidden))) {
  for (int64_t i = 0; i < layers; ++i) {
    layers_.push_back(std::make_shared<DecoderLayer>(options, i, own_values));
    dec_score_head_.push_back(std::make_shared<ScoreHead>(options.hidden, classes, options.prior));
    dec_bbox_head_.push_back(std::make_shared<BoxHead>(options.hidden));
  }
  register_list(trunk, "layers", layers_);
  register_list(heads, "dec_score_head", dec_score_head_);
  register_list(heads, "dec_bbox_head", dec_bbox_head_);
}

std::vector<const nn::Router*> DecoderStack::routers() const {
  std::vector<const nn::Router*> out;
  for (const auto& layer : layers_) {
    if (layer->has_experts()) out.push_back(layer->router());
  }
  return out;
}

std::vector<at::Tensor> DecoderStack::project_values(const at::Tensor& memory) const {
  std::vector<at::Tensor> values;
  for (const auto& layer : layers_) values.push_back(layer->cross_attn().project_value(memory));
  return values;
}

// Feed-forward experts stand outside the checkpoint: their routing is decided once, and they keep little themselves.
at::Tensor DecoderStack::run_layer(size_t i, DecoderState& state, const at::Tensor& value,
                                   const nn::LevelShapes& levels) const {
  const at::Tensor position = query_pos_head_->forward(state.box);
  const auto layer = layers_[i];
  const auto run = [layer, blocked = state.blocked, index = state.image_index,
                    levels](const std::vector<at::Tensor>& in) {
    const at::Tensor y = layer->attend(in[0], in[1], in[2], in[3], blocked, index, levels);
    return std::vector<at::Tensor>{layer->has_experts() ? y : layer->feed_forward(y)};
  };
  const std::vector<at::Tensor> inputs = {state.content, position, state.box, value};
  const at::Tensor y = (options_.checkpoint ? checkpointed(run, inputs) : run(inputs))[0];
  if (!layer->has_experts()) return y;
  const auto noise = state.noise ? std::optional(state.noise->child("layer", i)) : std::nullopt;
  return layer->feed_experts(y, state.valid, noise, state.routings);
}

// A layer's box is its offset added to the box before, in logits. The box handed on is cut from the graph; the one that
// the loss sees is taken from the uncut box of the layer before, which so learns from it too ("look forward twice",
// DINO).
std::vector<Prediction> DecoderStack::forward(DecoderState& state, const std::vector<at::Tensor>& values,
                                              int64_t first_value, const nn::LevelShapes& levels,
                                              int64_t predict_from) const {
  std::vector<Prediction> out;
  for (int64_t i = 0; i < layers(); ++i) {
    state.content = run_layer(static_cast<size_t>(i), state, values[static_cast<size_t>(first_value + i)], levels);
    const at::Tensor offset = at_least_float(dec_bbox_head_[i]->forward(state.content));
    const Float32Scope precise;
    const at::Tensor refined = at::sigmoid(offset + nn::inverse_sigmoid(state.box));
    if (i >= predict_from) {
      const at::Tensor seen = state.uncut.defined() ? at::sigmoid(offset + nn::inverse_sigmoid(state.uncut)) : refined;
      out.push_back({dec_score_head_[i]->forward(at_least_float(state.content)), seen});
    }
    state.uncut = refined;
    state.box = refined.detach();
  }
  return out;
}

}  // namespace moe::rtdetr
