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

struct MixtureDecoder::Shared {
  Memory memory;
  at::Tensor content, reference;   // [B, Q, hidden], [B, Q, 4]: the selected cells, without gradient
  Prediction encoder;              // training: of the selected cells, with gradient
  std::vector<at::Tensor> values;  // by layer, [B, S, heads, hidden / heads]
};

MixtureDecoder::MixtureDecoder(const Options& options)
    : decoder_(options.decoder),
      denoising_(options.denoising),
      router_(options.router),
      groups_(options.groups),
      queries_(options.queries),
      enc_output_(register_module("enc_output", std::make_shared<EncoderOutput>(decoder_.hidden))),
      enc_score_head_(register_module(
          "enc_score_head",
          std::make_shared<ScoreHead>(decoder_.hidden, static_cast<int64_t>(options.classes.size()), decoder_.prior))),
      enc_bbox_head_(register_module("enc_bbox_head", std::make_shared<BoxHead>(decoder_.hidden))) {
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
  stacks_.emplace_back(decoder_, static_cast<int64_t>(groups_.classes[0].size()), true, *this, *trunk);
}

void MixtureDecoder::add_experts() {
  SharedLayers shared;
  if (decoder_.shared_layers > 0) {
    const auto owner = register_module("shared", std::make_shared<nn::Module>());
    shared = make_shared_layers(decoder_, decoder_.shared_layers, *owner);
  }
  std::vector<std::shared_ptr<nn::Module>> experts;
  for (const auto& classes : groups_.classes) {
    experts.push_back(std::make_shared<nn::Module>());
    nn::Module& own = *experts.back();
    stacks_.emplace_back(decoder_, static_cast<int64_t>(classes.size()), false, own, own, shared);
  }
  register_list(*this, "experts", experts);
  for (int64_t i = 0; i < decoder_.layers; ++i) {
    value_proj_.push_back(std::make_shared<ValueProjection>(decoder_.hidden));
  }
  register_list(*this, "value_proj", value_proj_);
  gate_ = register_module("gate", std::make_shared<Gate>(decoder_.hidden, decoder_.levels, groups_.size()));
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

MixtureDecoder::Shared MixtureDecoder::prepare(const std::vector<at::Tensor>& maps) {
  std::vector<at::Tensor> projected;
  for (size_t l = 0; l < maps.size(); ++l) projected.push_back(input_proj_[l]->forward(maps[l]));
  Shared out;
  out.memory = flatten_maps(projected);
  select(out);
  if (value_proj_.empty()) {
    out.values = stacks_[0].project_values(out.memory.tokens);
    return out;
  }
  for (const auto& projection : value_proj_) {
    out.values.push_back(projection->forward(out.memory.tokens).unflatten(2, {decoder_.heads, -1}));
  }
  return out;
}

NetworkOutput MixtureDecoder::forward(const std::vector<at::Tensor>& maps, const Targets* targets, const Rng& rng) {
  NetworkOutput out;
  const int64_t images = maps[0].size(0);
  if (gate_) {
    const at::Tensor present = targets ? presence(*targets, groups_) : at::Tensor();
    out.routing = route(router_, gate_->logits(maps), present, rng.child("gate"));
  }
  const Shared shared = prepare(maps);
  out.encoder = shared.encoder;
  for (int64_t e = 0; e < groups_.size(); ++e) {
    std::vector<int64_t> rows(static_cast<size_t>(images));
    std::iota(rows.begin(), rows.end(), 0);
    if (gate_) rows = rows_of(out.routing.computed, e);
    if (!rows.empty()) out.experts.push_back(decode(e, shared, std::move(rows), targets, rng));
  }
  return out;
}

// The best cells over all classes become the queries of every expert: their features are the first content, their boxes
// the first references, both cut from the graph; the uncut ones go into the encoder's own loss. Cells chosen by each
// expert's own class scores would lie where those scores happen to be high before they are taught, and miss most
// objects.
void MixtureDecoder::select(Shared& shared) const {
  const Memory& memory = shared.memory;
  const at::Tensor cells = top_tokens(token_scores(memory).amax(2), queries_);  // [B, Q]
  const at::Tensor rows = at::arange(cells.size(0), at::kLong).unsqueeze(1);
  const at::Tensor tokens = memory.tokens.index({rows, cells});  // [B, Q, hidden]
  const at::Tensor features = enc_output_->forward(tokens * memory.valid.index({cells}).to(tokens.scalar_type()));
  const at::Tensor reference = at_least_float(enc_bbox_head_->forward(features)) + memory.anchors.index({cells});
  shared.content = features.detach();
  shared.reference = reference.detach();
  if (!is_training()) return;
  const Float32Scope precise;
  shared.encoder = {enc_score_head_->forward(at_least_float(features)), at::sigmoid(reference)};
}

void MixtureDecoder::add_denoising(ExpertOutput& out, DecoderInput& input, const Rng& rng) const {
  const auto classes = static_cast<int64_t>(groups_.classes[out.expert].size());
  out.denoising = make_denoising(denoising_, out.targets, classes, input.content.size(1),
                                 rng.child("denoising", static_cast<uint64_t>(out.expert)));
  if (out.denoising.queries == 0) return;
  const at::Tensor content = stacks_[out.expert].class_embedding().forward(out.denoising.labels);
  input.content = at::cat({content.to(input.content.scalar_type()), input.content}, 1);
  input.reference = at::cat({out.denoising.reference.to(input.reference.scalar_type()), input.reference}, 1);
  input.blocked = out.denoising.blocked;
}

ExpertOutput MixtureDecoder::decode(int64_t expert, const Shared& shared, std::vector<int64_t> images,
                                    const Targets* targets, const Rng& rng) const {
  ExpertOutput out;
  out.expert = expert;
  out.images = std::move(images);
  const at::Tensor rows = at::tensor(out.images);
  DecoderInput input = {
      shared.content.index_select(0, rows), shared.reference.index_select(0, rows), {}, gate_ ? rows : at::Tensor()};
  if (targets) {
    out.targets = targets_of(*targets, groups_.classes[expert], out.images);
    add_denoising(out, input, rng);
  }
  out.layers = stacks_[expert].forward(input, shared.values, shared.memory.levels, is_training());
  const int64_t denoised = out.denoising.queries;
  if (denoised == 0) return out;
  for (Prediction& all : out.layers) {
    out.denoised.push_back({all.logits.slice(1, 0, denoised), all.boxes.slice(1, 0, denoised)});
    all = {all.logits.slice(1, denoised), all.boxes.slice(1, denoised)};
  }
  return out;
}

}  // namespace moe::rtdetr
