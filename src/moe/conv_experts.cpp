#include "moe/conv_experts.h"

#include <torch/torch.h>

#include <algorithm>

#include "base/error.h"
#include "moe/merged_conv.h"
#include "moe/sample_groups.h"
#include "moe/weighted_rows.h"
#include "tensor/batch.h"
#include "tensor/scope.h"

namespace moe {

static at::Tensor per_channel(const at::Tensor& values) {  // [B, C] -> [B, C, 1, 1]
  return values.unsqueeze(2).unsqueeze(3);
}

static void check_tensor(const at::Tensor& tensor, const char* name, const std::vector<int64_t>& wanted) {
  if (!tensor.defined()) return;
  check(tensor.sizes() == at::IntArrayRef(wanted), MOE_ERR_SHAPE, "conv experts: expected ", name, " ",
        shape_text(wanted), ", got ", shape_text(tensor.sizes()));
}

static void check_odd(const at::Tensor& kernel) {
  const int64_t height = kernel.size(-2), width = kernel.size(-1);
  check(height % 2 == 1 && width % 2 == 1, MOE_ERR_SHAPE,
        "conv experts: expected kernels of odd size, which keep the size of the map, got ", height, " x ", width);
}

// channels: of the stage's input.
static void check_stage(const ConvStage& stage, int64_t experts, int64_t channels, int64_t batch) {
  const at::Tensor& weight = stage.weight;
  check(weight.dim() == 5 && weight.size(0) == experts && weight.size(2) == channels, MOE_ERR_SHAPE,
        "conv experts: expected weights [", experts, ", O, ", channels, ", k, k], got ", shape_text(weight.sizes()));
  check_odd(weight);
  const int64_t out = weight.size(1);
  if (stage.depthwise.defined()) {
    check(stage.depthwise.dim() == 5, MOE_ERR_SHAPE, "conv experts: expected depthwise weights [", experts, ", ",
          channels, ", 1, k, k], got ", shape_text(stage.depthwise.sizes()));
    check_odd(stage.depthwise);
    check_tensor(weight, "weights behind depthwise ones", {experts, out, channels, 1, 1});
    check_tensor(stage.depthwise, "depthwise weights",
                 {experts, channels, 1, stage.depthwise.size(3), stage.depthwise.size(4)});
  }
  check(stage.norm_weight.defined() == stage.norm_bias.defined() && stage.scale.defined() == stage.shift.defined(),
        MOE_ERR_SHAPE, "conv experts: expected norm weight with norm bias, and scale with shift, got one alone");
  check_tensor(stage.bias, "bias", {experts, out});
  check_tensor(stage.norm_weight, "norm weight", {experts, channels});
  check_tensor(stage.norm_bias, "norm bias", {experts, channels});
  check_tensor(stage.scale, "scale", {batch, channels});
  check_tensor(stage.shift, "shift", {batch, channels});
}

static void check_routing(const at::Tensor& x, const at::Tensor& experts, int64_t expert_count) {
  check(experts.dim() == 2 && experts.size(0) == x.size(0), MOE_ERR_SHAPE, "conv experts: expected experts [",
        x.size(0), ", k], got ", shape_text(experts.sizes()));
  check(experts.scalar_type() == at::kLong, MOE_ERR_DTYPE, "conv experts: expected experts in int64, got ",
        c10::toString(experts.scalar_type()));
  if (experts.numel() == 0) return;
  const int64_t low = experts.min().item<int64_t>(), high = experts.max().item<int64_t>();
  check(low >= -1 && high < expert_count, MOE_ERR_INVALID_ARGUMENT, "conv experts: expected experts in -1..",
        expert_count - 1, ", got ", low, "..", high);
}

static void check_inputs(const at::Tensor& x, const at::Tensor& experts, const std::vector<ConvStage>& stages,
                         const ConvExpertsOptions& options) {
  check(x.dim() == 4, MOE_ERR_SHAPE, "conv experts: expected samples [B, C, H, W], got ", shape_text(x.sizes()));
  check(!stages.empty() && stages[0].weight.dim() == 5, MOE_ERR_SHAPE,
        "conv experts: expected at least one stage with weights [E, O, C, k, k]");
  const int64_t count = stages[0].weight.size(0);
  int64_t channels = x.size(1);
  for (const ConvStage& stage : stages) {
    check_stage(stage, count, channels, x.size(0));
    channels = stage.weight.size(1);
  }
  check_routing(x, experts, count);
  const int64_t dilations = static_cast<int64_t>(options.dilation.size());
  check(dilations == 0 || dilations == count, MOE_ERR_CONFIG, "conv experts: expected a dilation for each of ", count,
        " experts, got ", dilations);
  for (const int64_t dilation : options.dilation) {
    check(dilation >= 1, MOE_ERR_CONFIG, "conv experts: expected dilations >= 1, got ", dilation);
  }
}

static std::vector<int64_t> dilations(const std::vector<ConvStage>& stages, const ConvExpertsOptions& options) {
  if (!options.dilation.empty()) return options.dilation;
  return std::vector<int64_t>(static_cast<size_t>(stages[0].weight.size(0)), 1);
}

// Mixing a kernel element, forward and backward, takes about as long as the multiplications of this many positions with
// it, so merging pays where it saves more of them.
static constexpr int64_t mixing_positions = 24;

static ConvRoute choose_route(const at::Tensor& x, const at::Tensor& experts, const std::vector<ConvStage>& stages,
                              const ConvExpertsOptions& options) {
  const bool mergeable = stages.size() == 1 && stages[0].is_linear();
  check(mergeable || options.route != ConvRoute::merged, MOE_ERR_CONFIG,
        "conv experts: expected experts of one stage without norm, modulation and activation for route merged, got ",
        stages.size() == 1 ? "one of them" : "several stages", "; use automatic or grouped");
  if (options.route != ConvRoute::automatic) return options.route;
  if (!mergeable || stages[0].depthwise.defined()) return ConvRoute::grouped;
  const int64_t convolutions = static_cast<int64_t>(plan_merge(experts, dilations(stages, options))->units.size());
  const int64_t pairs = experts.ge(0).sum().item<int64_t>(), positions = x.size(2) * x.size(3);
  return (pairs - convolutions) * positions > pairs * mixing_positions ? ConvRoute::merged : ConvRoute::grouped;
}

namespace {

// One stage with the parameters of each expert apart.
struct SplitStage {
  const ConvStage& stage;
  std::vector<at::Tensor> weight, depthwise, bias, norm_weight, norm_bias;

  explicit SplitStage(const ConvStage& s) : stage(s) {
    const auto split = [](const at::Tensor& t) { return t.defined() ? split_experts(t) : std::vector<at::Tensor>(); };
    weight = split(s.weight);
    depthwise = split(s.depthwise);
    bias = split(s.bias);
    norm_weight = split(s.norm_weight);
    norm_bias = split(s.norm_bias);
  }

  static at::Tensor pick(const std::vector<at::Tensor>& list, size_t expert, at::ScalarType type) {
    return list.empty() ? at::Tensor() : list[expert].to(type);
  }

  // x [n, C, H, W], samples int64 [n] of its rows -> [n, O, H, W]
  at::Tensor forward(at::Tensor x, size_t expert, const at::Tensor& samples, int64_t dilation) const {
    const at::ScalarType type = x.scalar_type();
    if (!norm_weight.empty()) {
      x = at::group_norm(x, norm_group_count(x.size(1)), norm_weight[expert], norm_bias[expert]);
    }
    if (stage.scale.defined()) {
      const at::Tensor scale = per_channel(stage.scale.index_select(0, samples).to(type));
      x = at::addcmul(per_channel(stage.shift.index_select(0, samples).to(type)), x, scale + 1);
    }
    x = activate(stage.activation, x);
    const ConvWeights weights = {pick(weight, expert, type), pick(depthwise, expert, type), pick(bias, expert, type)};
    return conv_same(x, weights, dilation);
  }
};

}  // namespace

// Every block of rows through its expert. Where no sample has an expert, expert 0 runs without rows, so that the graph
// reaches every parameter.
static std::vector<at::Tensor> run_experts(const SampleGroups& groups, std::vector<at::Tensor> rows,
                                           const std::vector<ConvStage>& stages, const std::vector<int64_t>& dilation) {
  const std::vector<SplitStage> split(stages.begin(), stages.end());
  const at::Tensor samples = at::floor_divide(groups.dispatch.row_of, std::max<int64_t>(1, groups.dispatch.slots()));
  for (size_t i = 0; i < rows.size(); ++i) {
    const SampleBlock& block = groups.blocks[i];
    const size_t expert = static_cast<size_t>(block.expert);
    const at::Tensor own = samples.narrow(0, block.first, block.count);
    for (const SplitStage& stage : split) rows[i] = stage.forward(rows[i], expert, own, dilation[expert]);
  }
  return rows;
}

// The sum over slots of gate * bias, [B, O].
static at::Tensor mixed_bias(const at::Tensor& bias, const at::Tensor& experts, const at::Tensor& gates) {
  const at::Tensor rows = bias.to(gates.scalar_type()).index_select(0, experts.clamp_min(0).flatten());
  const at::Tensor used = gates.masked_fill(experts.lt(0), 0).unsqueeze(2);
  return (rows.view({experts.size(0), experts.size(1), bias.size(1)}) * used).sum(1);
}

// A convolution without bias commutes with its gate: gates on the inputs need no kept outputs for their gradient.
static at::Tensor grouped_linear(const at::Tensor& x, const SampleGroupsPtr& groups, const at::Tensor& gates,
                                 ConvStage stage, const std::vector<int64_t>& dilation) {
  stage.bias = at::Tensor();
  return combine_samples(groups, run_experts(*groups, gather_samples(groups, x, gates), {stage}, dilation));
}

static at::Tensor grouped(const at::Tensor& x, const SampleGroupsPtr& groups, const at::Tensor& gates,
                          const std::vector<ConvStage>& stages, const std::vector<int64_t>& dilation) {
  return combine_samples(groups, run_experts(*groups, gather_samples(groups, x), stages, dilation), gates);
}

static at::Tensor merged(const at::Tensor& x, const at::Tensor& experts, const at::Tensor& gates,
                         const ConvStage& stage, const std::vector<int64_t>& dilation) {
  at::Tensor weight = stage.weight;  // [E, O, C, 1, 1] * [E, 1, C, k, k]: the dense kernel of a separable one
  if (stage.depthwise.defined()) weight = weight * stage.depthwise.transpose(1, 2);
  return merged_conv(plan_merge(experts, dilation), x, weight.to(gates.scalar_type()), gates);
}

static at::ScalarType compute_type(const at::Tensor& x) {
  if (x.scalar_type() == at::kDouble) return at::kDouble;
  if (at::autocast::is_autocast_enabled(at::kCPU)) return at::autocast::get_autocast_dtype(at::kCPU);
  return x.scalar_type();
}

ConvRoute conv_route(const at::Tensor& x, const at::Tensor& experts, const std::vector<ConvStage>& stages,
                     const ConvExpertsOptions& options) {
  check_inputs(x, experts, stages, options);
  return choose_route(x, experts, stages, options);
}

at::Tensor conv_experts(const at::Tensor& x, const at::Tensor& experts, const at::Tensor& gates,
                        const std::vector<ConvStage>& stages, const ConvExpertsOptions& options) {
  check_inputs(x, experts, stages, options);
  check_tensor(gates, "gates", experts.sizes().vec());
  const at::ScalarType type = compute_type(x);
  // fp16 has no kernel of its own: on the CPU it is a format for checking the loss scaler, not for speed.
  const at::ScalarType inner = type == at::kHalf ? at::kFloat : type;
  const AutocastScope off(std::nullopt);
  const at::Tensor from = x.to(inner), gate = gates.to(sum_type(inner));
  const std::vector<int64_t> dilation = dilations(stages, options);
  const bool linear = stages.size() == 1 && stages[0].is_linear();
  at::Tensor out;
  if (choose_route(x, experts, stages, options) == ConvRoute::merged) {
    out = merged(from, experts, gate, stages[0], dilation);
  } else {
    const SampleGroupsPtr groups = group_samples(experts, stages[0].weight.size(0));
    out = linear ? grouped_linear(from, groups, gate, stages[0], dilation)
                 : grouped(from, groups, gate, stages, dilation);
  }
  if (linear && stages[0].bias.defined()) {
    out.add_(per_channel(mixed_bias(stages[0].bias, experts, gate)).to(inner));
  }
  return out.to(type);
}

at::Tensor channels_last_kernels(const at::Tensor& weight) {
  return weight.permute({0, 1, 3, 4, 2}).contiguous().permute({0, 1, 4, 2, 3});
}

}  // namespace moe
