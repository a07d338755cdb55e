#include "models/diffusion/conv_expert_stack.h"

#include <torch/torch.h>

#include "moe/sample_groups.h"

namespace moe::diffusion {

ConvExpertStack::ConvExpertStack(const ExpertShape& shape)
    : shape_(shape),
      first_(add_stage("1", shape.channels, shape.inner)),
      second_(add_stage("2", shape.inner, shape.channels)) {}

// Names begin with "bias" where weight decay must pass them by.
ConvExpertStack::Stage ConvExpertStack::add_stage(const std::string& name, int64_t in, int64_t out) {
  const int64_t experts = shape_.experts, kernel = shape_.separable ? 1 : 3;
  Stage stage;
  stage.norm_weight = register_parameter("norm" + name, nn::unset({experts, in}));
  stage.norm_bias = register_parameter("bias_norm" + name, nn::unset({experts, in}));
  if (shape_.separable) stage.depthwise = register_parameter("depthwise" + name, nn::unset({experts, in, 1, 3, 3}));
  stage.weight =
      register_parameter("weight" + name, channels_last_kernels(nn::unset({experts, out, in, kernel, kernel})));
  return stage;
}

static ConvStage conv_stage(const ConvExpertStack::Stage& from) {
  ConvStage out;
  out.weight = from.weight;
  out.depthwise = from.depthwise;
  out.norm_weight = from.norm_weight;
  out.norm_bias = from.norm_bias;
  out.activation = ConvActivation::gelu;
  return out;
}

at::Tensor ConvExpertStack::routed(const at::Tensor& h, const at::Tensor& experts, const at::Tensor& gates,
                                   const at::Tensor& scale, const at::Tensor& shift) const {
  ConvStage first = conv_stage(first_), second = conv_stage(second_);
  second.scale = scale;
  second.shift = shift;
  return conv_experts(h, experts, gates, {first, second}, {shape_.dilation});
}

static at::Tensor through(at::Tensor x, const ConvExpertStack::Stage& stage, int64_t dilation, const at::Tensor& scale,
                          const at::Tensor& shift) {
  x = at::group_norm(x, norm_group_count(x.size(1)), stage.norm_weight[0], stage.norm_bias[0]);
  if (scale.defined()) {
    const at::ScalarType type = x.scalar_type();
    x = at::addcmul(shift.to(type).unsqueeze(2).unsqueeze(3), x, (scale.to(type) + 1).unsqueeze(2).unsqueeze(3));
  }
  const at::Tensor depthwise = stage.depthwise.defined() ? stage.depthwise[0] : at::Tensor();
  return conv_same(at::gelu(x), {stage.weight[0], depthwise, {}}, dilation);
}

at::Tensor ConvExpertStack::all(const at::Tensor& h, const at::Tensor& scale, const at::Tensor& shift) const {
  return through(through(h, first_, shape_.dilation[0], {}, {}), second_, shape_.dilation[0], scale, shift);
}

void ConvExpertStack::init_own(const nn::ParameterInit& init) {
  int64_t number = 0;
  for (const Stage& stage : {first_, second_}) {
    const std::string name = std::to_string(++number);
    nn::ParameterInit::constant(stage.norm_weight, 1);
    nn::ParameterInit::constant(stage.norm_bias, 0);
    if (stage.depthwise.defined()) init.fan_in_uniform("depthwise" + name, stage.depthwise, 9);
    init.fan_in_uniform("weight" + name, stage.weight, stage.weight[0][0].numel());
  }
}

}  // namespace moe::diffusion
