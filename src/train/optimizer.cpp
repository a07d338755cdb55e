#include "train/optimizer.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "train/optimizer_kernels.h"

namespace moe {

Optimizer::Optimizer(const Config& config, std::vector<NamedParameter> parameters, std::vector<ParameterGroup> groups)
    : parameters_(std::move(parameters)), groups_(std::move(groups)) {
  const std::string kind = config.text("optimizer.kind");
  kind_ = kind == "adamw" ? Kind::adamw : kind == "adam" ? Kind::adam : Kind::sgd;
  const std::vector<double> betas = config.numbers("optimizer.betas");
  if (betas.size() != 2) config.fail_at("optimizer.betas", text("expected 2 numbers, got ", betas.size()));
  beta1_ = betas[0];
  beta2_ = betas[1];
  eps_ = config.number("optimizer.eps");
  momentum_ = config.number("optimizer.momentum");
  nesterov_ = config.boolean("optimizer.nesterov");
  if (kind_ == Kind::sgd && nesterov_ && momentum_ == 0) {
    config.fail_at("optimizer.nesterov", "expected optimizer.momentum > 0 with it, got 0");
  }
  check_parameters();
  group_of_.assign(parameters_.size(), groups_.size());
  for (size_t group = 0; group < groups_.size(); ++group) {
    for (size_t member : groups_[group].members) group_of_.at(member) = group;
  }
  for (const NamedParameter& parameter : parameters_) {
    first_.push_back(at::zeros_like(parameter.tensor.detach()));
    if (kind_ != Kind::sgd) second_.push_back(at::zeros_like(first_.back()));
  }
  updates_ = at::zeros({static_cast<int64_t>(parameters_.size())}, at::kLong);
}

// The updates walk over raw memory, so a parameter must fill its memory without gaps, in whatever order of dimensions.
void Optimizer::check_parameters() const {
  for (const NamedParameter& parameter : parameters_) {
    const at::Tensor& tensor = parameter.tensor;
    const bool usable = tensor.defined() && tensor.is_cpu() && tensor.scalar_type() == at::kFloat &&
                        tensor.is_non_overlapping_and_dense() && !tensor.is_inference();
    check(usable, MOE_ERR_INTERNAL, "optimizer: parameter ", quoted(parameter.name),
          ": expected dense fp32 on the CPU");
  }
}

// Elements in the parameter's memory order: channels_last convolution weights often get gradients of another layout.
static at::Tensor gradient_in_layout(const NamedParameter& parameter) {
  const at::Tensor& gradient = parameter.tensor.grad();
  const bool fits = gradient.scalar_type() == at::kFloat && gradient.layout() == at::kStrided &&
                    gradient.sizes() == parameter.tensor.sizes();
  check(fits, MOE_ERR_INTERNAL, "optimizer: gradient of ", quoted(parameter.name),
        ": expected dense fp32 of its shape");
  if (gradient.strides() == parameter.tensor.strides() && !gradient.is_neg()) return gradient.detach();
  at::Tensor same = at::empty_like(parameter.tensor.detach());
  return same.copy_(gradient.detach());
}

void Optimizer::prepare_slots() {
  gradients_.assign(parameters_.size(), at::Tensor());
  slots_.clear();
  chunks_.clear();
  slots_.reserve(parameters_.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& tensor = parameters_[i].tensor;
    if (!tensor.grad().defined() || group_of_[i] == groups_.size()) continue;
    gradients_[i] = gradient_in_layout(parameters_[i]);
    Slot slot{};
    slot.value = static_cast<float*>(tensor.mutable_data_ptr());
    slot.gradient = static_cast<const float*>(gradients_[i].const_data_ptr());
    slot.first = static_cast<float*>(first_[i].mutable_data_ptr());
    slot.second = kind_ == Kind::sgd ? nullptr : static_cast<float*>(second_[i].mutable_data_ptr());
    slot.parameter = i;
    slot.group = group_of_[i];
    append_chunks(chunks_, slots_.size(), tensor.numel());
    slots_.push_back(slot);
  }
  partials_.assign(chunks_.size(), 0);
}

// fp64 holds the sum of squares of any number of finite floats, so a sum that is not finite means a gradient that is
// not.
double Optimizer::squared_norm(bool* overflow) {
  for_each_chunk(chunks_, [this](size_t i, const Chunk& chunk) {
    partials_[i] = sum_of_squares(slots_[chunk.tensor].gradient + chunk.begin, chunk.end - chunk.begin);
  });
  double total = 0;
  for (size_t i = 0; i < chunks_.size(); ++i) {
    total += partials_[i];
    if (std::isfinite(partials_[i])) continue;
    check(overflow != nullptr, MOE_ERR_NUMERIC, "gradient of ",
          quoted(parameters_[slots_[chunks_[i].tensor].parameter].name),
          ": expected finite values, got NaN or infinity");
    *overflow = true;
    break;
  }
  return total;
}

double Optimizer::plan(double gradient_scale, bool* overflow) {
  if (overflow != nullptr) *overflow = false;
  gradient_scale_ = gradient_scale;
  try {
    prepare_slots();
    return std::sqrt(squared_norm(overflow)) * std::abs(gradient_scale);
  } catch (...) {
    slots_.clear();
    chunks_.clear();
    throw;
  }
}

// Bias corrections in fp64 with each parameter's own count, as in torch.optim.
void Optimizer::prepare_numbers(double lr_factor) noexcept {
  int64_t* updates = static_cast<int64_t*>(updates_.mutable_data_ptr());
  for (Slot& slot : slots_) {
    const double lr = groups_[slot.group].lr * lr_factor;
    const double weight_decay = groups_[slot.group].weight_decay;
    const double t = static_cast<double>(++updates[slot.parameter]);
    slot.decay = static_cast<float>(kind_ == Kind::adamw ? 1 - lr * weight_decay : weight_decay);
    slot.step = static_cast<float>(kind_ == Kind::sgd ? lr : lr / (1 - std::pow(beta1_, t)));
    slot.inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2_, t)));
  }
}

void Optimizer::apply(double lr_factor, double clip_factor) noexcept {
  prepare_numbers(lr_factor);
  const float scale = static_cast<float>(gradient_scale_ * clip_factor);
  const bool decoupled = kind_ == Kind::adamw;
  for_each_chunk(chunks_, [&](size_t, const Chunk& chunk) {
    const Slot& slot = slots_[chunk.tensor];
    const int64_t at = chunk.begin, count = chunk.end - chunk.begin;
    if (kind_ == Kind::sgd) {
      const SgdNumbers numbers{scale, slot.decay, static_cast<float>(momentum_), slot.step, nesterov_};
      return sgd_update(count, slot.value + at, slot.gradient + at, slot.first + at, numbers);
    }
    AdamNumbers numbers{scale, decoupled ? 0 : slot.decay, decoupled ? slot.decay : 1};
    numbers.beta2 = static_cast<float>(beta2_);
    numbers.rest1 = static_cast<float>(1 - beta1_);
    numbers.rest2 = static_cast<float>(1 - beta2_);
    numbers.step = slot.step;
    numbers.inverse_root = slot.inverse_root;
    numbers.eps = static_cast<float>(eps_);
    adam_update(count, slot.value + at, slot.gradient + at, slot.first + at, slot.second + at, numbers);
  });
  // Writes behind autograd's back: a graph that still holds the old values must notice.
  for (const Slot& slot : slots_) parameters_[slot.parameter].tensor.unsafeGetTensorImpl()->bump_version();
  slots_.clear();
  chunks_.clear();
  ++steps_;
}

void Optimizer::zero_grad() noexcept {
  slots_.clear();
  chunks_.clear();
  for (at::Tensor& gradient : gradients_) gradient = at::Tensor();
  for (NamedParameter& parameter : parameters_) {
    if (parameter.tensor.grad().defined()) parameter.tensor.mutable_grad() = at::Tensor();
  }
}

std::vector<std::pair<std::string, at::Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, at::Tensor>> out;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i].name;
    if (kind_ == Kind::sgd) {
      out.emplace_back("momentum." + name, first_[i]);
      continue;
    }
    out.emplace_back("exp_avg." + name, first_[i]);
    out.emplace_back("exp_avg_sq." + name, second_[i]);
    out.emplace_back("updates." + name, updates_.select(0, static_cast<int64_t>(i)));
  }
  return out;
}

}  // namespace moe
