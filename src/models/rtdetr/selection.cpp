#include "models/rtdetr/selection.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace moe::rtdetr {

static double logit(double p) {
  return std::log(p / (1 - p));
}

Anchors make_anchors(const nn::LevelShapes& levels, at::ScalarType type) {
  // Infinity, as the official code has it, turns into NaN in the gradient.
  const double outside = type == at::kDouble ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
  const int64_t cells = nn::cells(levels);
  at::Tensor logits = at::empty({cells, 4}, at::kDouble), valid = at::empty({cells, 1}, at::kDouble);
  double* out = logits.mutable_data_ptr<double>();
  double* mask = valid.mutable_data_ptr<double>();
  for (size_t l = 0; l < levels.size(); ++l) {
    const double side = 0.05 * std::ldexp(1.0, static_cast<int>(l));
    for (int64_t y = 0; y < levels[l].height; ++y) {
      for (int64_t x = 0; x < levels[l].width; ++x, out += 4, ++mask) {
        const double box[4] = {(static_cast<double>(x) + 0.5) / static_cast<double>(levels[l].width),
                               (static_cast<double>(y) + 0.5) / static_cast<double>(levels[l].height), side, side};
        const bool inside = std::all_of(box, box + 4, [](double v) { return v > 0.01 && v < 0.99; });
        *mask = inside ? 1 : 0;
        for (int64_t k = 0; k < 4; ++k) out[k] = inside ? logit(box[k]) : outside;
      }
    }
  }
  return {logits.to(type), valid.to(type)};
}

Memory flatten_maps(const std::vector<at::Tensor>& maps) {
  Memory out;
  std::vector<at::Tensor> parts;
  for (const at::Tensor& map : maps) {
    out.levels.push_back({map.size(2), map.size(3)});
    parts.push_back(map.flatten(2).transpose(1, 2));
  }
  out.tokens = at::cat(parts, 1);
  const at::ScalarType type = out.tokens.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const Anchors anchors = make_anchors(out.levels, type);
  out.anchors = anchors.logits;
  out.valid = anchors.valid;
  return out;
}

at::Tensor top_tokens(const at::Tensor& scores, int64_t k) {
  const at::Tensor dense = scores.detach().to(at::kDouble).contiguous();
  const int64_t rows = dense.size(0), cells = dense.size(1), kept = std::min(k, cells);
  at::Tensor out = at::empty({rows, kept}, at::kLong);
  int64_t* best = out.mutable_data_ptr<int64_t>();
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> order(static_cast<size_t>(cells));
    for (int64_t row = begin; row < end; ++row) {
      const double* score = dense.const_data_ptr<double>() + row * cells;
      for (int64_t i = 0; i < cells; ++i) order[i] = i;
      std::partial_sort(order.begin(), order.begin() + kept, order.end(),
                        [score](int64_t i, int64_t j) { return score[i] != score[j] ? score[i] > score[j] : i < j; });
      std::copy_n(order.begin(), kept, best + row * kept);
    }
  });
  return out;
}

EncoderOutput::EncoderOutput(int64_t hidden)
    : proj_(register_module("proj", std::make_shared<nn::Linear>(hidden, hidden))),
      norm_(register_module("norm", std::make_shared<nn::LayerNorm>(hidden))) {}

at::Tensor EncoderOutput::forward(const at::Tensor& tokens) const {
  return norm_->forward(proj_->forward(tokens));
}

void EncoderOutput::init_own(const nn::ParameterInit& init) {
  init.xavier_uniform("proj.weight", proj_->weight);
}

}  // namespace moe::rtdetr
