#include "tensor/checkpoint_fn.h"

#include <torch/torch.h>

#include "tensor/scope.h"

namespace moe {

static thread_local bool is_recomputing = false;

bool recomputing() {
  return is_recomputing;
}

namespace {

struct RecomputeScope {
  RecomputeScope() : before_(is_recomputing) { is_recomputing = true; }
  ~RecomputeScope() { is_recomputing = before_; }

 private:
  bool before_;
};

// The second run starts and ends with an empty cache: it must not join the graph of the first.
struct FreshCastCache {
  FreshCastCache() { at::autocast::clear_cache(); }
  ~FreshCastCache() { at::autocast::clear_cache(); }
};

std::optional<at::ScalarType> autocast_now() {
  if (!at::autocast::is_autocast_enabled(at::kCPU)) return std::nullopt;
  return at::autocast::get_autocast_dtype(at::kCPU);
}

struct Holder : torch::CustomClassHolder {
  TensorFunction fn;
  std::optional<at::ScalarType> autocast;
};

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  // anchor: an input that wants a gradient, so that the parameters of fn get theirs even when no other input wants one.
  static variable_list forward(AutogradContext* context, const c10::intrusive_ptr<Holder>& holder,
                               const at::Tensor& anchor, at::TensorList inputs) {
    (void)anchor;
    context->saved_data["block"] = at::IValue::make_capsule(holder);
    context->save_for_backward(inputs.vec());
    context->set_materialize_grads(false);
    const NoCastCache no_cache;
    return holder->fn(inputs.vec());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto capsule = context->saved_data["block"].toCapsule();
    variable_list inputs;
    for (const at::Tensor& input : context->get_saved_variables()) {
      inputs.push_back(input.defined() ? input.detach().requires_grad_(input.requires_grad()) : input);
    }
    run_again(static_cast<const Holder&>(*capsule), inputs, gradients);
    variable_list out = {at::Tensor(), at::Tensor()};  // holder, anchor
    for (const at::Tensor& input : inputs) out.push_back(input.defined() ? input.grad() : at::Tensor());
    return out;
  }

 private:
  static void run_again(const Holder& holder, const variable_list& inputs, const variable_list& gradients) {
    const at::AutoGradMode with_grad(true);
    const RecomputeScope recompute;
    variable_list outputs, wanted;
    {
      const FreshCastCache fresh;
      const AutocastScope scope(holder.autocast);
      const variable_list again = holder.fn(inputs);
      for (size_t i = 0; i < again.size(); ++i) {
        if (!again[i].requires_grad() || !gradients[i].defined()) continue;
        outputs.push_back(again[i]);
        wanted.push_back(gradients[i]);
      }
    }
    if (!outputs.empty()) torch::autograd::backward(outputs, wanted);
  }
};

}  // namespace

std::vector<at::Tensor> checkpointed(const TensorFunction& fn, const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return fn(inputs);
  const auto holder = c10::make_intrusive<Holder>();
  holder->fn = fn;
  holder->autocast = autocast_now();
  const at::Tensor anchor = at::empty({0}).requires_grad_();
  return CheckpointFunction::apply(holder, anchor, at::TensorList(inputs));
}

}  // namespace moe
