#include "tensor/linear.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/util/accumulate.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "tensor/gemm.h"

namespace moe {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [..., n] -> [T, n]; a copy only where the strides leave no other way.
at::Tensor rows_of(const at::Tensor& x) {
  if (x.dim() == 2) return x;
  return x.reshape({c10::multiply_integers(x.sizes().slice(0, static_cast<size_t>(x.dim() - 1))), x.size(-1)});
}

// Both products of the backward pass read it: copied once where neither could use it as it lies (an expanded gradient).
at::Tensor usable(const at::Tensor& grad) {
  return grad.is_contiguous() || grad.t().is_contiguous() ? grad : grad.contiguous();
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  // x [..., in], weight [out, in], bias [out] -> [..., out]
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    const at::Tensor y = x.new_empty(shape);
    at::Tensor y_rows = rows_of(y);
    if (bias) y_rows.copy_(bias->expand_as(y_rows));
    gemm(rows_of(x), weight.t(), y_rows, bias.has_value());
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor grad = usable(rows_of(grads[0]));  // [T, out]
    at::Tensor dx, dw, db;
    if (context->needs_input_grad(0)) {
      dx = x.new_empty(x.sizes());
      at::Tensor dx_rows = rows_of(dx);
      gemm(grad, weight, dx_rows);
    }
    if (context->needs_input_grad(1)) {
      dw = weight.new_empty(weight.sizes());
      gemm(grad.t(), rows_of(x), dw);
    }
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) db = grad.sum(0);
    return {dx, dw, db};
  }
};

void check_shapes(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  check(weight.dim() == 2, MOE_ERR_SHAPE, "linear: expected weight [out, in], got ", weight.sizes());
  check(x.dim() >= 1 && x.size(-1) == weight.size(1), MOE_ERR_SHAPE, "linear: expected x [..., ", weight.size(1),
        "] for weight ", weight.sizes(), ", got ", x.sizes());
  check(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)), MOE_ERR_SHAPE,
        "linear: expected bias [", weight.size(0), "] for weight ", weight.sizes(), ", got ", bias.sizes());
}

void check_types(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const at::ScalarType type = x.scalar_type(), bias_type = bias ? bias->scalar_type() : type;
  check(weight.scalar_type() == type && bias_type == type, MOE_ERR_DTYPE,
        "linear: expected x, weight and bias of one type, got ", c10::toString(type), ", ",
        c10::toString(weight.scalar_type()), " and ", c10::toString(bias_type));
}

// As the operators on autocast's list do it.
at::Tensor autocast(const at::Tensor& x) {
  if (!at::autocast::is_autocast_enabled(at::kCPU)) return x;
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(at::kCPU), x, at::kCPU);
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!x.is_cpu()) return at::linear(x, weight, bias);
  check_shapes(x, weight, bias);
  const at::Tensor x_cast = autocast(x), weight_cast = autocast(weight);
  std::optional<at::Tensor> bias_cast;
  if (bias.defined()) bias_cast = autocast(bias);
  check_types(x_cast, weight_cast, bias_cast);
  return LinearFunction::apply(x_cast, weight_cast, bias_cast);
}

}  // namespace moe
