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
  RecomputeScope() { is_recomputing = true; }
  ~RecomputeScope() { is_recomputing = false; }
};

struct SavedMode {
  bool autocast;
  at::ScalarType dtype;
};

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const std::shared_ptr<TensorFunction>& fn,
                                                torch::autograd::variable_list inputs) {
    context->saved_data["fn"] = c10::make_intrusive<Holder>(fn, current_mode());
    context->save_for_backward(inputs);
    at::NoGradGuard no_grad;
    return (*fn)(inputs);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto holder = context->saved_data["fn"].toCapsule();
    const auto& saved = static_cast<const Holder&>(*holder);
    torch::autograd::variable_list inputs;
    for (const at::Tensor& input : context->get_saved_variables()) {
      inputs.push_back(input.defined() ? input.detach().requires_grad_(input.requires_grad()) : input);
    }
    run_again(saved, inputs, gradients);
    torch::autograd::variable_list out = {at::Tensor()};  // for `fn`
    for (const at::Tensor& input : inputs) out.push_back(input.defined() ? input.grad() : at::Tensor());
    return out;
  }

 private:
  struct Holder : torch::CustomClassHolder {
    Holder(std::shared_ptr<TensorFunction> function, SavedMode at_forward)
        : fn(std::move(function)), mode(at_forward) {}
    std::shared_ptr<TensorFunction> fn;
    SavedMode mode;
  };

  static SavedMode current_mode() {
    return {at::autocast::is_autocast_enabled(at::kCPU), at::autocast::get_autocast_dtype(at::kCPU)};
  }

  static void run_again(const Holder& saved, const torch::autograd::variable_list& inputs,
                        const torch::autograd::variable_list& gradients) {
    at::AutoGradMode with_grad(true);
    RecomputeScope recompute;
    std::optional<at::ScalarType> dtype;
    if (saved.mode.autocast) dtype = saved.mode.dtype;
    torch::autograd::variable_list outputs, wanted;
    {
      AutocastScope scope(dtype);
      const torch::autograd::variable_list again = (*saved.fn)(inputs);
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
  return CheckpointFunction::apply(std::make_shared<TensorFunction>(fn), inputs);
}

}  // namespace moe
