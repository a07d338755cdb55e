#include "cuda/functions.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "base/error.h"
#include "cuda/scan_bodies.h"
#include "tensor/batch.h"

namespace moe::cuda {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Maybe = std::optional<at::Tensor>;

Maybe maybe(const at::Tensor& tensor) {
  return tensor.defined() ? Maybe(tensor.contiguous()) : std::nullopt;
}

at::Tensor or_undefined(const Maybe& tensor) {
  return tensor ? *tensor : at::Tensor();
}

// Kernels live as long as the process.
void remember(AutogradContext& context, const Kernels& kernels) {
  context.saved_data["kernels"] = reinterpret_cast<int64_t>(&kernels);
}

const Kernels& remembered(const AutogradContext& context) {
  return *reinterpret_cast<const Kernels*>(context.saved_data.at("kernels").toInt());
}

variable_list with_dispatch(const Dispatch& d, variable_list tensors) {
  tensors.insert(tensors.begin(), {d.experts, d.counts, d.offsets, d.row_of, d.pos_of});
  return tensors;
}

constexpr size_t dispatch_tensors = 5;

Dispatch dispatch_of(const variable_list& saved) {
  return {saved[0], saved[1], saved[2], saved[3], saved[4]};
}

struct GateFunction : torch::autograd::Function<GateFunction> {
  static variable_list forward(AutogradContext* context, const at::Tensor& logits, const Maybe& valid,
                               const Kernels* kernels, const GateOptions& options) {
    const Gate out = kernels->gate(logits, or_undefined(valid), options);
    remember(*context, *kernels);
    context->save_for_backward({out.probabilities, out.chosen, out.weights});
    context->saved_data["kind"] = static_cast<int64_t>(options.kind);
    context->saved_data["scale"] = options.scale;
    context->mark_non_differentiable({out.chosen});
    context->set_materialize_grads(false);
    return {out.probabilities, out.chosen, out.weights};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad) {
    const auto saved = context->get_saved_variables();
    const Gate gate{saved[0], saved[1], saved[2]};
    const GateOptions options{gate.chosen.size(1), static_cast<GateKind>(context->saved_data["kind"].toInt()),
                              context->saved_data["scale"].toDouble()};
    const auto dense = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.contiguous() : tensor; };
    return {remembered(*context).gate_backward(gate, {dense(grad[0]), dense(grad[2])}, options), {}, {}, {}};
  }
};

struct GatherFunction : torch::autograd::Function<GatherFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Kernels* kernels,
                            const Dispatch& dispatch) {
    remember(*context, *kernels);
    context->save_for_backward(with_dispatch(dispatch, {}));
    return kernels->gather_rows(dispatch, x);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad) {
    const Dispatch dispatch = dispatch_of(context->get_saved_variables());
    return {remembered(*context).combine_rows(dispatch, grad[0].contiguous(), {}, {}), {}, {}};
  }
};

struct CombineFunction : torch::autograd::Function<CombineFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const Maybe& gates, const Maybe& bias,
                            const Kernels* kernels, const Dispatch& dispatch) {
    remember(*context, *kernels);
    const at::Tensor gate = or_undefined(gates), added = or_undefined(bias);
    context->save_for_backward(with_dispatch(dispatch, {rows, gate, added}));
    return kernels->combine_rows(dispatch, rows, gate, added);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad) {
    const Kernels& kernels = remembered(*context);
    const auto saved = context->get_saved_variables();
    const Dispatch dispatch = dispatch_of(saved);
    const at::Tensor &rows = saved[dispatch_tensors], &gates = saved[dispatch_tensors + 1],
                     &bias = saved[dispatch_tensors + 2];
    const CombineGradients out =
        kernels.combine_backward(dispatch, gates.defined() ? rows : at::Tensor(), gates, bias, grad[0].contiguous());
    // gate * gradient of the token is both the gradient of a row and that of its expert's bias
    const at::Tensor added = bias.defined() ? kernels.sum_by_expert(dispatch, out.rows) : at::Tensor();
    return {out.rows, out.gates, added, {}, {}};
  }
};

struct GroupedLinearFunction : torch::autograd::Function<GroupedLinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const at::Tensor& weight,
                            const Maybe& bias, const Kernels* kernels, const Dispatch& dispatch,
                            const RowGroups& groups) {
    remember(*context, *kernels);
    context->save_for_backward(with_dispatch(dispatch, {rows, weight, groups.host_offsets}));
    context->saved_data["bias"] = bias.has_value();
    const at::Tensor out = kernels->grouped_mm(dispatch, groups, rows, weight.transpose(1, 2));
    return bias ? kernels->add_expert_bias(dispatch, out, *bias) : out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const Kernels& kernels = remembered(*context);
    const auto saved = context->get_saved_variables();
    const Dispatch dispatch = dispatch_of(saved);
    const at::Tensor &rows = saved[dispatch_tensors], &weight = saved[dispatch_tensors + 1];
    const RowGroups groups{dispatch.offsets, saved[dispatch_tensors + 2]};
    const at::Tensor grad = grads[0].contiguous();
    variable_list out(6);
    if (context->needs_input_grad(0)) out[0] = kernels.grouped_mm(dispatch, groups, grad, weight);
    if (context->needs_input_grad(1)) out[1] = kernels.grouped_outer(groups, grad, rows);
    if (context->saved_data["bias"].toBool()) out[2] = kernels.sum_by_expert(dispatch, grad);
    return out;
  }
};

LevelTable level_table(const std::vector<int64_t>& numbers) {
  LevelTable table{};
  int64_t start = 0;
  for (size_t i = 0; i + 2 < numbers.size(); i += 3) {
    table.level[table.count++] = {static_cast<int32_t>(numbers[i]), static_cast<int32_t>(numbers[i + 1]),
                                  static_cast<int32_t>(start), static_cast<int32_t>(numbers[i + 2])};
    start += numbers[i] * numbers[i + 1];
  }
  return table;
}

// Height, width and points of every level.
std::vector<int64_t> level_numbers(const nn::SamplingPlan& plan) {
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < plan.levels.size(); ++i) {
    numbers.insert(numbers.end(), {plan.levels[i].height, plan.levels[i].width, plan.points[i]});
  }
  return numbers;
}

struct DeformableFunction : torch::autograd::Function<DeformableFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& value, const at::Tensor& locations,
                            const at::Tensor& weights, const at::Tensor& rows, const Kernels* kernels,
                            const std::vector<int64_t>& levels) {
    remember(*context, *kernels);
    context->save_for_backward({value, locations, weights, rows});
    context->saved_data["levels"] = levels;
    return kernels->deformable(level_table(levels), {value, locations, weights, rows});
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad) {
    const auto saved = context->get_saved_variables();
    const LevelTable levels = level_table(context->saved_data["levels"].toIntVector());
    const DeformableTensors out = remembered(*context).deformable_backward(
        levels, {saved[0], saved[1], saved[2], saved[3]}, grad[0].contiguous());
    return {out.value, out.locations, out.weights, {}, {}, {}};
  }
};

struct ScanFunction : torch::autograd::Function<ScanFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& u, const at::Tensor& delta, const at::Tensor& a,
                            const at::Tensor& b, const at::Tensor& c, const at::Tensor& skip, const Kernels* kernels) {
    remember(*context, *kernels);
    const Scan out = kernels->scan({u, delta, a, b, c, skip});
    context->save_for_backward({u, delta, a, b, c, skip, out.states});
    return out.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad) {
    const auto s = context->get_saved_variables();
    const ScanTensors out =
        remembered(*context).scan_backward({s[0], s[1], s[2], s[3], s[4], s[5]}, s[6], grad[0].contiguous());
    return {out.u, out.delta, out.a, out.b, out.c, out.skip, {}};
  }
};

void check_real(const char* what, const at::Tensor& tensor) {
  check(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble, MOE_ERR_DTYPE, what,
        ": expected float32 or float64, got ", c10::toString(tensor.scalar_type()));
}

void check_shape(const char* what, const char* name, const at::Tensor& tensor, at::IntArrayRef wanted) {
  check(tensor.sizes() == wanted, MOE_ERR_SHAPE, what, ": expected ", name, " ", shape_text(wanted), ", got ",
        shape_text(tensor.sizes()));
}

at::Tensor activated(const at::Tensor& hidden, FfnActivation activation) {
  switch (activation) {
    case FfnActivation::relu:
      return at::relu(hidden);
    case FfnActivation::gelu:
      return at::gelu(hidden);
    case FfnActivation::silu:
      return at::silu(hidden);
    default: {
      const std::vector<at::Tensor> half = hidden.chunk(2, 1);
      return (activation == FfnActivation::geglu ? at::gelu(half[0]) : at::silu(half[0])) * half[1];
    }
  }
}

at::Tensor grouped_linear(const Kernels& kernels, const Dispatch& dispatch, const RowGroups& groups,
                          const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& bias) {
  check(weight.dim() == 3 && weight.size(0) == dispatch.expert_count() && weight.size(2) == rows.size(1), MOE_ERR_SHAPE,
        "grouped linear: expected weights [", dispatch.expert_count(), ", N, ", rows.size(1), "], got ",
        shape_text(weight.sizes()));
  if (bias.defined()) check_shape("grouped linear", "bias", bias, {weight.size(0), weight.size(1)});
  return GroupedLinearFunction::apply(rows.contiguous(), weight.contiguous(), maybe(bias), &kernels, dispatch, groups);
}

void check_deformable(const at::Tensor& value, const nn::SamplingPlan& plan, const at::Tensor& locations,
                      const at::Tensor& weights) {
  constexpr const char* what = "deformable attention";
  check(plan.levels.size() <= most_levels && plan.levels.size() == plan.points.size(), MOE_ERR_SHAPE, what,
        ": expected at most ", most_levels, " levels with their points, got ", plan.levels.size(), " and ",
        plan.points.size());
  check(value.dim() == 4 && weights.dim() == 4, MOE_ERR_SHAPE, what, ": expected values [B, S, M, D] and weights",
        " [G, Q, M, P], got ", shape_text(value.sizes()), " and ", shape_text(weights.sizes()));
  int64_t points = 0;
  for (const int64_t count : plan.points) points += count;
  check_shape(what, "values", value, {value.size(0), nn::cells(plan.levels), value.size(2), value.size(3)});
  check_shape(what, "weights", weights, {weights.size(0), weights.size(1), value.size(2), points});
  check_shape(what, "locations", locations, {weights.size(0), weights.size(1), value.size(2), points, 2});
}

}  // namespace

Gate gate(const Kernels& kernels, const at::Tensor& logits, const at::Tensor& valid, const GateOptions& options) {
  check_real("gate", logits);
  check(logits.dim() == 2, MOE_ERR_SHAPE, "gate: expected logits [T, E], got ", shape_text(logits.sizes()));
  const int64_t experts = logits.size(1), most = kernels.most_experts(logits.scalar_type(), options.top_k);
  check(options.top_k >= 1 && options.top_k <= experts, MOE_ERR_INVALID_ARGUMENT, "gate: expected top_k of 1 to ",
        experts, " (the experts), got ", options.top_k);
  check(experts <= most, MOE_ERR_UNSUPPORTED, "gate: expected at most ", most, " experts, got ", experts);
  if (valid.defined()) check_shape("gate", "valid", valid, {logits.size(0)});
  const variable_list out = GateFunction::apply(logits.contiguous(), maybe(valid), &kernels, options);
  return {out[0], out[1], out[2]};
}

at::Tensor gather_rows(const Kernels& kernels, const Dispatch& dispatch, const at::Tensor& x) {
  check(x.dim() == 2 && x.size(0) == dispatch.tokens(), MOE_ERR_SHAPE, "gather: expected x [", dispatch.tokens(),
        ", D], got ", shape_text(x.sizes()));
  return GatherFunction::apply(x.contiguous(), &kernels, dispatch);
}

at::Tensor combine_rows(const Kernels& kernels, const Dispatch& dispatch, const at::Tensor& rows,
                        const at::Tensor& gates, const at::Tensor& bias) {
  check(rows.dim() == 2 && rows.size(0) == dispatch.rows(), MOE_ERR_SHAPE, "combine: expected rows [", dispatch.rows(),
        ", D], got ", shape_text(rows.sizes()));
  if (gates.defined()) check_shape("combine", "gates", gates, dispatch.pos_of.sizes());
  if (bias.defined()) check_shape("combine", "bias", bias, {dispatch.expert_count(), rows.size(1)});
  return CombineFunction::apply(rows.contiguous(), maybe(gates), maybe(bias), &kernels, dispatch);
}

at::Tensor grouped_linear(const Kernels& kernels, const Dispatch& dispatch, const at::Tensor& rows,
                          const at::Tensor& weight, const at::Tensor& bias) {
  return grouped_linear(kernels, dispatch, kernels.row_groups(dispatch, rows.scalar_type()), rows, weight, bias);
}

at::Tensor ffn_experts(const Kernels& kernels, const at::Tensor& x, const at::Tensor& gates, const Dispatch& dispatch,
                       const FfnWeights& weights, FfnActivation activation) {
  check(x.scalar_type() == weights.w1.scalar_type() && x.scalar_type() == weights.w2.scalar_type(), MOE_ERR_DTYPE,
        "FFN experts: expected x and weights of one type, got ", c10::toString(x.scalar_type()), " and ",
        c10::toString(weights.w1.scalar_type()));
  const RowGroups groups = kernels.row_groups(dispatch, x.scalar_type());
  const auto in_sum_type = [&](const at::Tensor& bias) { return bias.defined() ? bias.to(sum_type_of(x)) : bias; };
  const at::Tensor hidden =
      grouped_linear(kernels, dispatch, groups, gather_rows(kernels, dispatch, x), weights.w1, in_sum_type(weights.b1));
  const at::Tensor rows = grouped_linear(kernels, dispatch, groups, activated(hidden, activation), weights.w2, {});
  return combine_rows(kernels, dispatch, rows, gates.to(sum_type_of(x)), in_sum_type(weights.b2));
}

at::Tensor deformable_attention(const Kernels& kernels, const at::Tensor& value, const nn::SamplingPlan& plan,
                                const at::Tensor& locations, const at::Tensor& weights, const at::Tensor& image_index) {
  check_deformable(value, plan, locations, weights);
  const at::Tensor rows =
      image_index.defined() ? image_index : at::arange(weights.size(0), value.options().dtype(at::kLong));
  check_shape("deformable attention", "an image index", rows, {weights.size(0)});
  const at::ScalarType type = sum_type_of(value);
  return DeformableFunction::apply(value.contiguous(), locations.to(type).contiguous(), weights.to(type).contiguous(),
                                   rows.contiguous(), &kernels, level_numbers(plan));
}

at::Tensor selective_scan(const Kernels& kernels, const nn::SelectiveScanInputs& in) {
  constexpr const char* what = "selective scan";
  check_real(what, in.u);
  check(in.u.dim() == 3 && in.a.dim() == 2, MOE_ERR_SHAPE, what, ": expected u [B, L, d] and a [d, N], got ",
        shape_text(in.u.sizes()), " and ", shape_text(in.a.sizes()));
  const int64_t images = in.u.size(0), steps = in.u.size(1), channels = in.u.size(2), states = in.a.size(1);
  check(states >= 1 && states <= most_states, MOE_ERR_UNSUPPORTED, what, ": expected 1 to ", most_states,
        " states, got ", states);
  check_shape(what, "delta", in.delta, in.u.sizes());
  check_shape(what, "a", in.a, {channels, states});
  check_shape(what, "b", in.b, {images, steps, states});
  check_shape(what, "c", in.c, {images, steps, states});
  check_shape(what, "skip", in.skip, {channels});
  return ScanFunction::apply(in.u.contiguous(), in.delta.contiguous(), in.a.contiguous(), in.b.contiguous(),
                             in.c.contiguous(), in.skip.contiguous(), &kernels);
}

}  // namespace moe::cuda
