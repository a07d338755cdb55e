#include "nn/deformable_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "base/error.h"
#include "nn/deformable_kernel.h"
#include "tensor/batch.h"

namespace moe::nn {

int64_t cells(const LevelShapes& levels) {
  int64_t count = 0;
  for (const LevelShape& level : levels) count += level.height * level.width;
  return count;
}

static int64_t total(const std::vector<int64_t>& points) {
  return std::accumulate(points.begin(), points.end(), int64_t{0});
}

static at::ScalarType accumulation_type(const at::Tensor& value) {
  return value.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

static void check_index(const at::Tensor& image_index, int64_t groups, int64_t rows) {
  check(image_index.scalar_type() == at::kLong && image_index.dim() == 1 && image_index.size(0) == groups,
        MOE_ERR_SHAPE, "deformable attention: expected an int64 image index [", groups, "], got ",
        shape_text(image_index.sizes()));
  if (groups == 0) return;
  const int64_t low = image_index.min().item<int64_t>(), high = image_index.max().item<int64_t>();
  check(low >= 0 && high < rows, MOE_ERR_SHAPE, "deformable attention: expected image indices in 0..", rows - 1,
        ", got ", low, "..", high);
}

static void check_inputs(const at::Tensor& value, const SamplingPlan& plan, const at::Tensor& locations,
                         const at::Tensor& weights, const at::Tensor& image_index) {
  check(plan.levels.size() == plan.points.size(), MOE_ERR_SHAPE,
        "deformable attention: expected a point count for each of ", plan.levels.size(), " levels, got ",
        plan.points.size());
  check(value.dim() == 4 && value.size(1) == cells(plan.levels), MOE_ERR_SHAPE,
        "deformable attention: expected values [B, ", cells(plan.levels), ", M, D], got ", shape_text(value.sizes()));
  check(weights.dim() == 4 && weights.size(2) == value.size(2) && weights.size(3) == total(plan.points), MOE_ERR_SHAPE,
        "deformable attention: expected weights [G, Q, ", value.size(2), ", ", total(plan.points), "], got ",
        shape_text(weights.sizes()));
  std::vector<int64_t> wanted = weights.sizes().vec();
  wanted.push_back(2);
  check(locations.sizes() == at::IntArrayRef(wanted), MOE_ERR_SHAPE, "deformable attention: expected locations ",
        shape_text(wanted), ", got ", shape_text(locations.sizes()));
  if (image_index.defined()) return check_index(image_index, weights.size(0), value.size(0));
  check(weights.size(0) == value.size(0), MOE_ERR_SHAPE,
        "deformable attention: expected one query group per value row (", value.size(0), ") or an image index, got ",
        weights.size(0), " groups");
}

static DeformableSizes kernel_sizes(const at::Tensor& value, const SamplingPlan& plan, const at::Tensor& weights) {
  DeformableSizes sizes{weights.size(1), value.size(2), value.size(3), value.size(1), {}};
  int64_t start = 0;
  for (size_t level = 0; level < plan.levels.size(); ++level) {
    const auto [height, width] = plan.levels[level];
    sizes.points.insert(sizes.points.end(), static_cast<size_t>(plan.points[level]), {height, width, start});
    start += height * width;
  }
  return sizes;
}

namespace {

// Calls body with a value of the storage type and one of the accumulation type.
template <typename Body>
void dispatch(at::ScalarType type, Body body) {
  switch (type) {
    case at::kFloat:
      return body(float{}, float{});
    case at::kDouble:
      return body(double{}, double{});
    case at::kBFloat16:
      return body(c10::BFloat16{}, float{});
    default:
      fail(MOE_ERR_DTYPE, "deformable attention: expected values in float32, float64, float16 or bfloat16, got ",
           c10::toString(type));
  }
}

template <typename T, typename A>
DeformableInputs<T, A> inputs_of(const at::Tensor& value, const at::Tensor& locations, const at::Tensor& weights,
                                 const at::Tensor& rows) {
  return {value.const_data_ptr<T>(), locations.const_data_ptr<A>(), weights.const_data_ptr<A>(),
          rows.const_data_ptr<int64_t>()};
}

at::Tensor run_forward(const at::Tensor& value, const SamplingPlan& plan, const at::Tensor& locations,
                       const at::Tensor& weights, const at::Tensor& rows) {
  const DeformableSizes sizes = kernel_sizes(value, plan, weights);
  at::Tensor out = at::empty({weights.size(0), sizes.queries, sizes.heads * sizes.dim}, value.options());
  dispatch(value.scalar_type(), [&](auto storage, auto accumulation) {
    using T = decltype(storage);
    const auto in = inputs_of<T, decltype(accumulation)>(value, locations, weights, rows);
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, weights.size(0) * sizes.queries, 8,
                     [&](int64_t begin, int64_t end) { deformable_forward(sizes, in, to, begin, end); });
  });
  return out;
}

// Groups of queries by the value row they read.
std::vector<std::vector<int64_t>> groups_by_row(const at::Tensor& rows, int64_t row_count) {
  std::vector<std::vector<int64_t>> groups(static_cast<size_t>(row_count));
  const int64_t* row = rows.const_data_ptr<int64_t>();
  for (int64_t group = 0; group < rows.numel(); ++group) groups[static_cast<size_t>(row[group])].push_back(group);
  return groups;
}

struct Gradients {
  at::Tensor value, locations, weights;
};

// One task is a (value row, head) pair: it alone writes that slice of the value gradient, in a fixed order.
Gradients run_backward(const at::Tensor& value, const SamplingPlan& plan, const at::Tensor& locations,
                       const at::Tensor& weights, const at::Tensor& rows, const at::Tensor& grad_out) {
  const DeformableSizes sizes = kernel_sizes(value, plan, weights);
  Gradients out{at::zeros(value.sizes(), weights.options()), at::empty_like(locations), at::empty_like(weights)};
  const auto groups = groups_by_row(rows, value.size(0));
  const int64_t row_count = value.size(0);
  dispatch(value.scalar_type(), [&](auto storage, auto accumulation) {
    using T = decltype(storage);
    using A = decltype(accumulation);
    const auto in = inputs_of<T, A>(value, locations, weights, rows);
    const DeformableGradients<A> grad{out.value.mutable_data_ptr<A>(), out.locations.mutable_data_ptr<A>(),
                                      out.weights.mutable_data_ptr<A>()};
    const T* from = grad_out.const_data_ptr<T>();
    at::parallel_for(0, sizes.heads * row_count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        deformable_backward(sizes, in, from, grad, task / row_count, groups[static_cast<size_t>(task % row_count)]);
      }
    });
  });
  out.value = out.value.to(value.scalar_type());
  return out;
}

struct DeformableFunction : torch::autograd::Function<DeformableFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& value,
                            const at::Tensor& locations, const at::Tensor& weights, const at::Tensor& rows,
                            const SamplingPlan& plan) {
    context->save_for_backward({value, locations, weights, rows});
    std::vector<int64_t> heights, widths;
    for (const LevelShape& level : plan.levels) {
      heights.push_back(level.height);
      widths.push_back(level.width);
    }
    context->saved_data["heights"] = heights;
    context->saved_data["widths"] = widths;
    context->saved_data["points"] = plan.points;
    return run_forward(value, plan, locations, weights, rows);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad) {
    const std::vector<int64_t> heights = context->saved_data["heights"].toIntVector();
    const std::vector<int64_t> widths = context->saved_data["widths"].toIntVector();
    SamplingPlan plan{{}, context->saved_data["points"].toIntVector()};
    for (size_t i = 0; i < heights.size(); ++i) plan.levels.push_back({heights[i], widths[i]});
    const auto saved = context->get_saved_variables();
    const at::Tensor grad_out = grad[0].to(saved[0].scalar_type()).contiguous();
    const Gradients out = run_backward(saved[0], plan, saved[1], saved[2], saved[3], grad_out);
    return {out.value, out.locations, out.weights, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor deformable_attention(const at::Tensor& value, const SamplingPlan& plan, const at::Tensor& locations,
                                const at::Tensor& weights, const at::Tensor& image_index) {
  check_inputs(value, plan, locations, weights, image_index);
  // fp16 has no kernel of its own: on the CPU it is a format for checking the loss scaler, not for speed.
  if (value.scalar_type() == at::kHalf) {
    return deformable_attention(value.to(at::kFloat), plan, locations, weights, image_index).to(at::kHalf);
  }
  const at::ScalarType type = accumulation_type(value);
  const at::Tensor rows = image_index.defined() ? image_index.contiguous() : at::arange(weights.size(0), at::kLong);
  return DeformableFunction::apply(value.contiguous(), locations.to(type).contiguous(), weights.to(type).contiguous(),
                                   rows, plan);
}

at::Tensor deformable_attention_reference(const at::Tensor& value, const SamplingPlan& plan,
                                          const at::Tensor& locations, const at::Tensor& weights,
                                          const at::Tensor& image_index) {
  check_inputs(value, plan, locations, weights, image_index);
  const int64_t groups = weights.size(0), queries = weights.size(1), heads = value.size(2), dim = value.size(3);
  const at::Tensor rows = image_index.defined() ? value.index_select(0, image_index) : value;
  at::Tensor out = at::zeros({groups * heads, dim, queries}, value.options());
  int64_t start = 0, point = 0;
  for (size_t level = 0; level < plan.levels.size(); ++level) {
    const auto [height, width] = plan.levels[level];
    const int64_t points = plan.points[level];
    const at::Tensor map =
        rows.narrow(1, start, height * width).permute({0, 2, 3, 1}).reshape({-1, dim, height, width});
    const at::Tensor grid =
        (locations.narrow(3, point, points) * 2 - 1).transpose(1, 2).flatten(0, 1);  // [G M, Q, P_l, 2]
    const at::Tensor share = weights.narrow(3, point, points).transpose(1, 2).flatten(0, 1).unsqueeze(1);
    const at::Tensor samples = at::grid_sampler(map, grid, /*bilinear*/ 0, /*zeros*/ 0, /*align_corners=*/false);
    out = out + (samples * share).sum(-1);
    start += height * width;
    point += points;
  }
  return out.view({groups, heads, dim, queries}).permute({0, 3, 1, 2}).flatten(2);
}

MsDeformAttn::MsDeformAttn(int64_t dim, int64_t heads, std::vector<int64_t> points, bool with_value_proj)
    : heads_(heads), points_(std::move(points)) {
  check(heads > 0 && dim % heads == 0, MOE_ERR_CONFIG, "deformable attention: expected heads to divide the width ", dim,
        ", got ", heads);
  const int64_t samples = heads * total(points_);
  sampling_offsets_ = register_module("sampling_offsets", std::make_shared<Linear>(dim, 2 * samples));
  attention_weights_ = register_module("attention_weights", std::make_shared<Linear>(dim, samples));
  if (with_value_proj) value_proj_ = register_module("value_proj", std::make_shared<Linear>(dim, dim));
  output_proj_ = register_module("output_proj", std::make_shared<Linear>(dim, dim));
}

at::Tensor MsDeformAttn::project_value(const at::Tensor& memory) const {
  check(value_proj_ != nullptr, MOE_ERR_INTERNAL, "deformable attention: this module has no value projection");
  return value_proj_->forward(memory).unflatten(2, {heads_, -1});
}

// offsets [G, Q, M, P, 2] -> sampling locations of the same shape. Boxes: offsets are in halves of the box, divided by
// the number of points on the level. Points: offsets are in cells of the level.
at::Tensor MsDeformAttn::locations(const at::Tensor& offsets, const at::Tensor& reference,
                                   const LevelShapes& levels) const {
  std::vector<int64_t> level_of;    // [P]
  std::vector<double> scale, cell;  // [P], [P * 2]
  for (size_t level = 0; level < points_.size(); ++level) {
    for (int64_t p = 0; p < points_[level]; ++p) {
      level_of.push_back(static_cast<int64_t>(level));
      scale.push_back(0.5 / static_cast<double>(points_[level]));
      cell.insert(cell.end(),
                  {1.0 / static_cast<double>(levels[level].width), 1.0 / static_cast<double>(levels[level].height)});
    }
  }
  at::Tensor ref = reference.to(offsets.scalar_type());
  ref = ref.dim() == 3 ? ref.unsqueeze(2) : ref.index_select(2, at::tensor(level_of));  // [G, Q, 1 or P, 2 or 4]
  ref = ref.unsqueeze(2);                                                               // broadcast over heads
  const at::Tensor xy = ref.narrow(-1, 0, 2);
  if (ref.size(-1) == 2) return at::addcmul(xy, offsets, at::tensor(cell, offsets.options()).view({-1, 2}));
  return at::addcmul(xy, offsets, ref.narrow(-1, 2, 2) * at::tensor(scale, offsets.options()).unsqueeze(1));
}

at::Tensor MsDeformAttn::forward(const at::Tensor& query, const at::Tensor& reference, const at::Tensor& value,
                                 const LevelShapes& levels, const at::Tensor& image_index) const {
  check(levels.size() == points_.size(), MOE_ERR_SHAPE, "deformable attention: expected ", points_.size(),
        " levels, got ", levels.size());
  const at::ScalarType type = accumulation_type(value);
  const at::Tensor offsets = sampling_offsets_->forward(query).to(type).unflatten(2, {heads_, -1, 2});
  const at::Tensor weights = attention_weights_->forward(query).to(type).unflatten(2, {heads_, -1}).softmax(-1);
  const at::Tensor sampled =
      deformable_attention(value, {levels, points_}, locations(offsets, reference, levels), weights, image_index);
  return output_proj_->forward(sampled);
}

void MsDeformAttn::init_own(const ParameterInit& init) {
  at::Tensor ring =
      at::empty({heads_, total(points_), 2}, at::kFloat);  // head m looks along angle 2 pi m / M, point p at p + 1
  auto entry = ring.accessor<float, 3>();
  for (int64_t head = 0; head < heads_; ++head) {
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(head) / static_cast<double>(heads_);
    const double x = std::cos(angle), y = std::sin(angle), norm = std::max(std::abs(x), std::abs(y));
    int64_t index = 0;
    for (const int64_t count : points_) {
      for (int64_t p = 1; p <= count; ++p, ++index) {
        entry[head][index][0] = static_cast<float>(x / norm * static_cast<double>(p));
        entry[head][index][1] = static_cast<float>(y / norm * static_cast<double>(p));
      }
    }
  }
  at::NoGradGuard no_grad;
  sampling_offsets_->bias.copy_(ring.flatten());
  for (const at::Tensor& zero :
       {sampling_offsets_->weight, attention_weights_->weight, attention_weights_->bias, output_proj_->bias}) {
    ParameterInit::constant(zero, 0.0);
  }
  init.xavier_uniform("output_proj.weight", output_proj_->weight);
  if (!value_proj_) return;
  init.xavier_uniform("value_proj.weight", value_proj_->weight);
  ParameterInit::constant(value_proj_->bias, 0.0);
}

}  // namespace moe::nn
