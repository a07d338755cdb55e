// Multi-scale deformable attention (Zhu et al., Deformable DETR, 2021): every query reads a few bilinear samples of
// every level of a feature pyramid. A CPU kernel with backward over [B, S, M, D] values (no reshape per level), the
// grid-sample form as its reference, and the module around them. Levels are flattened row by row and concatenated: S =
// sum of height * width.
#pragma once

#include "nn/layers.h"

namespace moe::nn {

struct LevelShape {
  int64_t height = 0;
  int64_t width = 0;
};
using LevelShapes = std::vector<LevelShape>;

int64_t cells(const LevelShapes& levels);  // S

struct SamplingPlan {
  LevelShapes levels;
  std::vector<int64_t> points;  // sample points a head takes on each level; P = their sum
};

// value [Bv, S, M, D] float32, float64, bfloat16, or float16 (converted: it has no kernel); locations [G, Q, M, P, 2]
// as (x, y) in 0..1 of a level, points of level 0 first; weights [G, Q, M, P]; both are computed in value's type, in
// float32 for the halves. image_index int64 [G]: the value row that a group of queries reads, so that several decoders
// share one value tensor; undefined means group g reads row g.
// -> [G, Q, M * D] in value's type. Bilinear, zeros outside, align_corners = false, sums in at least float32. Results
// and gradients are the same bits for any number of threads. Inputs of another shape or an index out of range:
// MOE_ERR_SHAPE; another type: MOE_ERR_DTYPE.
at::Tensor deformable_attention(const at::Tensor& value, const SamplingPlan& plan, const at::Tensor& locations,
                                const at::Tensor& weights, const at::Tensor& image_index = {});

// The same through at::grid_sampler: slow, differentiable by torch; for tests.
at::Tensor deformable_attention_reference(const at::Tensor& value, const SamplingPlan& plan,
                                          const at::Tensor& locations, const at::Tensor& weights,
                                          const at::Tensor& image_index = {});

// Parameters sampling_offsets, attention_weights, value_proj, output_proj. Decoders that read the same memory through
// the same projection call project_value once and share the result.
class MsDeformAttn : public Module {
 public:
  // points: per level. Without a value projection, forward expects a value projected elsewhere.
  MsDeformAttn(int64_t dim, int64_t heads, std::vector<int64_t> points, bool with_value_proj = true);

  // memory [B, S, dim] -> [B, S, M, D]
  at::Tensor project_value(const at::Tensor& memory) const;
  // query [G, Q, dim] (with position added); reference [G, Q, 4] cxcywh, [G, Q, 2] points, or [G, Q, L, 2 or 4] per
  // level, all in 0..1; value from project_value -> [G, Q, dim]
  at::Tensor forward(const at::Tensor& query, const at::Tensor& reference, const at::Tensor& value,
                     const LevelShapes& levels, const at::Tensor& image_index = {}) const;
  void init_own(const ParameterInit& init) override;

 private:
  at::Tensor locations(const at::Tensor& offsets, const at::Tensor& reference, const LevelShapes& levels) const;

  int64_t heads_;
  std::vector<int64_t> points_;
  std::shared_ptr<Linear> sampling_offsets_, attention_weights_, value_proj_, output_proj_;
};

}  // namespace moe::nn
