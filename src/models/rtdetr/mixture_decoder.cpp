#include "models/rtdetr/mixture_decoder.h"

#include <ATen/ATen.h>

#include <numeric>

#include "models/rtdetr/options.h"
#include "tensor/scope.h"

namespace moe::rtdetr {

// Starts like the value projection inside an official layer.
class ValueProjection : public nn::Linear {
 public:
  explicit ValueProjection(int64_t hidden) : Linear(hidden, hidden) {}
  void init_own(const nn::ParameterInit& init) override {
    init.xavier_uniform("weight", weight);
    nn::ParameterInit::constant(bias, 0);
  }
};

MixtureDecoder::MixtureDecoder(const Options& options)
    : decoder_(options.decoder),
      denoising_(options.denoising),
      gate_options_(options.gate),
      groups_(options.groups),
      queries_(options.queries),
      enc_output_(register_module("enc_output", std::make_shared<EncoderOutput>(decoder_.hidden))),
      enc_score_head_(register_module(
          "enc_score_head",
          std::make_shared<ScoreHead>(decoder_.hidden, static_cast<int64_t>(options.classes.size()), decoder_.prior))),
      enc_bbox_head_(register_module("enc_bbox_head", std::make_shared<BoxHead>(decoder_.hidden))),
      denoising_class_embed_(register_module(
          "denoising_class_embed",
          std::make_shared<ClassEmbedding>(static_cast<int64_t>(options.classes.size()), decoder_.hidden))) {
  for (int64_t l = 0; l < decoder_.levels; ++l) {
    input_proj_.push_back(std::make_shared<nn::ConvNorm>(decoder_.hidden, decoder_.hidden, nn::ConvOptions{}));
  }
  register_list(*this, "input_proj", input_proj_);
  if (options.mixture) {
    add_experts();
  } else {
    add_dense();
  }
}

// Names of the official project: decoder.layers beside the heads.
void MixtureDecoder::add_dense() {
  const auto trunk = register_module("decoder", std::make_shared<nn::Module>());
  stacks_.emplace_back(decoder_, decoder_.layers, static_cast<int64_t>(groups_.classes[0].size()), true, *this, *trunk);
}

void MixtureDecoder::add_experts() {
  if (decoder_.shared_layers > 0) {
    const auto own = register_module("shared", std::make_shared<nn::Module>());
    const int64_t classes = enc_score_head_->weight.size(0);
    shared_ = std::make_unique<DecoderStack>(decoder_, decoder_.shared_layers, classes, false, *own, *own);
  }
  std::vector<std::shared_ptr<nn::Module>> experts;
  for (const auto& classes : groups_.classes) {
    experts.push_back(std::make_shared<nn::Module>());
    nn::Module& own = *experts.back();
    stacks_.emplace_back(decoder_, decoder_.layers - decoder_.shared_layers, static_cast<int64_t>(classes.size()),
                         false, own, own);
  }
  register_list(*this, "experts", experts);
  for (int64_t i = 0; i < decoder_.layers; ++i) {
    value_proj_.push_back(std::make_shared<ValueProjection>(decoder_.hidden));
  }
  register_list(*this, "value_proj", value_proj_);
  gate_ =
      register_module("gate", std::make_shared<Gate>(decoder_.hidden, decoder_.levels, groups_.size(), decoder_.prior));
}

Memory MixtureDecoder::make_memory(const std::vector<at::Tensor>& maps) const {
  std::vector<at::Tensor> projected;
  for (size_t l = 0; l < maps.size(); ++l) projected.push_back(input_proj_[l]->forward(maps[l]));
  return flatten_maps(projected);
}

std::vector<at::Tensor> MixtureDecoder::values(const at::Tensor& tokens) const {
  if (value_proj_.empty()) return stacks_[0].project_values(tokens);
  std::vector<at::Tensor> out;
  for (const auto& projection : value_proj_) {
    out.push_back(projection->forward(tokens).unflatten(2, {decoder_.heads, -1}));
  }
  return out;
}

// Selection needs the scores of all cells but their gradient only where selected, so the few selected cells are
// computed a second time with gradient.
at::Tensor MixtureDecoder::token_scores(const Memory& memory) const {
  const at::NoGradGuard no_grad;
  const NoCastCache no_cache;
  const at::Tensor features = enc_output_->forward(memory.tokens * memory.valid.to(memory.tokens.scalar_type()));
  const Float32Scope precise;
  return enc_score_head_->forward(at_least_float(features));
}

static std::vector<int64_t> all_rows(int64_t images) {
  std::vector<int64_t> rows(static_cast<size_t>(images));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// The best cells over all classes become the queries: their features are the first content, their boxes the first
// references, both cut from the graph; the uncut ones go into the encoder's own loss. Cells chosen by each expert's own
// class scores would lie where those scores happen to be high before they are taught, and miss most objects.
DecoderState MixtureDecoder::select(const Memory& memory, const at::Tensor& scores, NetworkOutput& out) const {
  const at::Tensor cells = top_tokens(scores.amax(2), queries_);  // [B, Q]
  const at::Tensor rows = at::arange(cells.size(0), at::kLong).unsqueeze(1);
  const at::Tensor tokens = memory.tokens.index({rows, cells});  // [B, Q, hidden]
  const at::Tensor features = enc_output_->forward(tokens * memory.valid.index({cells}).to(tokens.scalar_type()));
  const at::Tensor reference = at_least_float(enc_bbox_head_->forward(features)) + memory.anchors.index({cells});
  const at::Tensor boxes = at::sigmoid(reference);
  if (is_training()) {
    const Float32Scope precise;
    out.encoder = {enc_score_head_->forward(at_least_float(features)), boxes};
  }
  return {features.detach(), boxes.detach(), {}, {}, {}};
}

// Denoising queries stand before the selected ones.
void MixtureDecoder::add_denoising(DecoderState& state, NetworkOutput& out, const Targets& targets,
                                   const Rng& rng) const {
  out.denoising = make_denoising(denoising_, targets, enc_score_head_->weight.size(0), state.content.size(1), rng);
  if (out.denoising.queries == 0) return;
  const at::Tensor content = denoising_class_embed_->forward(out.denoising.labels);
  state.content = at::cat({content.to(state.content.scalar_type()), state.content}, 1);
  state.box = at::cat({at::sigmoid(out.denoising.reference).to(state.box.scalar_type()), state.box}, 1);
  state.blocked = out.denoising.blocked;
  if (decoder_.ffn_experts == 0) return;
  const at::Tensor real = out.denoising.labels != enc_score_head_->weight.size(0);
  state.valid = at::cat({real, at::ones({real.size(0), state.content.size(1) - real.size(1)}, at::kBool)}, 1);
}

// All layers predict in training, the last one at inference. Experts take the values of the last layers.
StackOutput MixtureDecoder::run(const DecoderStack& stack, DecoderState& state, const std::vector<at::Tensor>& values,
                                const nn::LevelShapes& levels, int64_t denoised) const {
  const int64_t first = &stack == shared_.get() ? 0 : decoder_.layers - stack.layers();
  const int64_t predicting = is_training() ? 0 : stack.layers() - 1;
  StackOutput out;
  out.first_layer = first + predicting;
  out.layers = stack.forward(state, values, first, levels, predicting);
  out.routings = std::move(state.routings);
  if (denoised == 0) return out;
  for (Prediction& all : out.layers) {
    out.denoised.push_back({all.logits.slice(1, 0, denoised), all.boxes.slice(1, 0, denoised)});
    all = {all.logits.slice(1, denoised), all.boxes.slice(1, denoised)};
  }
  return out;
}

GateDecision MixtureDecoder::choose(const std::vector<at::Tensor>& maps, const at::Tensor& scores,
                                    const Targets* targets, const Rng& rng) const {
  const at::Tensor present = targets ? presence(*targets, groups_) : at::Tensor();
  return decide(gate_options_, gate_->logits(maps, best_scores(scores.detach(), groups_)), present, rng);
}

NetworkOutput MixtureDecoder::forward(const std::vector<at::Tensor>& maps, const Targets* targets, const Rng& rng) {
  NetworkOutput out;
  const Memory memory = make_memory(maps);
  const std::vector<at::Tensor> value = values(memory.tokens);
  at::Tensor scores = token_scores(memory);  // [B, cells or queries, C] logits of all classes
  DecoderState state = select(memory, scores, out);
  if (targets) add_denoising(state, out, *targets, rng.child("denoising"));
  if (targets && decoder_.ffn_experts > 0) state.noise = rng.child("experts");
  if (shared_) {
    out.shared = run(*shared_, state, value, memory.levels, out.denoising.queries);
    scores = out.shared.layers.back().logits;
  }
  if (gate_) out.gate = choose(maps, scores, targets, rng.child("gate"));
  for (int64_t e = 0; e < groups_.size(); ++e) {
    const std::vector<int64_t> images = gate_ ? rows_of(out.gate.computed, e) : all_rows(maps[0].size(0));
    if (images.empty()) continue;
    DecoderState own = gate_ ? select_rows(state, at::tensor(images)) : state;
    out.experts.push_back({run(stacks_[e], own, value, memory.levels, out.denoising.queries), e, images});
  }
  return out;
}

}  // namespace moe::rtdetr
