// Query selection: which cells of the encoder's maps become object queries, and their first boxes. Every cell has an
// anchor; the cells with the best class scores are taken.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/rtdetr/criterion.h"
#include "nn/attention.h"
#include "nn/deformable_attention.h"

namespace moe::rtdetr {

// All cells of all levels, flattened row by row, finest level first; S in all.
struct Memory {
  at::Tensor tokens;  // [B, S, hidden]
  nn::LevelShapes levels;
  at::Tensor anchors;  // [S, 4] logits of cxcywh; the type's largest value where not valid
  at::Tensor valid;    // [S, 1] 1 or 0: anchors whose four numbers lie in (0.01, 0.99)
};

struct Anchors {
  at::Tensor logits, valid;
};
// Centre of the cell, sides 0.05 * 2^level of the picture. type: float32 or float64.
Anchors make_anchors(const nn::LevelShapes& levels, at::ScalarType type);

Memory flatten_maps(const std::vector<at::Tensor>& maps);  // L * [B, hidden, H, W]

// The k best of each row, best first, of equal ones the lower index. [G, S] -> [G, k] int64
at::Tensor top_tokens(const at::Tensor& scores, int64_t k);

// Linear and layer norm before the encoder's heads; xavier weight.
class EncoderOutput : public nn::Module {
 public:
  explicit EncoderOutput(int64_t hidden);
  at::Tensor forward(const at::Tensor& tokens) const;
  void init_own(const nn::ParameterInit& init) override;

 private:
  std::shared_ptr<nn::Linear> proj_;
  std::shared_ptr<nn::LayerNorm> norm_;
};

}  // namespace moe::rtdetr
