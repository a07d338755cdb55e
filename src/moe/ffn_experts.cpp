#include "moe/ffn_experts.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "moe/expert_schedule.h"
#include "tensor/gemm.h"
#include "tensor/scope.h"

namespace moe {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t task_elements = 8192;  // of one thread's turn in the loops over rows

// What a pass computes with; products in the type of x, everything else in the type of the gates.
struct Pass {
  FfnActivation activation;
  Dispatch dispatch;
  at::Tensor x;       // [T, D]
  at::Tensor gates;   // [T, k]
  at::Tensor w1, w2;  // [E, F1, D], [E, D, F]; F1 = F, gated 2F
  at::Tensor b1, b2;  // [E, F1], [E, D]; or undefined
  at::Tensor hidden;  // [R, F1] before bias and activation; undefined: not kept

  int64_t dim() const { return w2.size(1); }
  int64_t width() const { return w2.size(2); }
  int64_t hidden_width() const { return w1.size(1); }
  at::ScalarType type() const { return x.scalar_type(); }
};

at::Tensor rows_of(const at::Tensor& x, const ExpertRows& rows) {
  return x.narrow(0, rows.begin, rows.count);
}

template <typename A>
const A* bias_of(const at::Tensor& bias, int64_t expert) {
  return bias.defined() ? bias.const_data_ptr<A>() + expert * bias.size(1) : nullptr;
}

template <typename T>
ActivationRows<T, at::opmath_type<T>> activation_rows(const Pass& pass, int64_t expert, const at::Tensor& hidden) {
  using A = at::opmath_type<T>;
  return {pass.activation, pass.width(), hidden.const_data_ptr<T>(), bias_of<A>(pass.b1, expert)};
}

template <typename Body>
void parallel_rows(const at::Tensor& rows, Body body) {
  at::parallel_for(0, rows.size(0), std::max<int64_t>(1, task_elements / rows.size(1)), body);
}

void activate(const Pass& pass, int64_t expert, const at::Tensor& hidden, at::Tensor& act) {
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, hidden.scalar_type(), "activation", [&] {
    const auto in = activation_rows<scalar_t>(pass, expert, hidden);
    scalar_t* out = act.mutable_data_ptr<scalar_t>();
    parallel_rows(hidden, [&](int64_t begin, int64_t end) { activate_rows(in, out, begin, end); });
  });
}

void forward_expert(const Pass& pass, const ExpertRows& rows, at::Tensor& out, ExpertScratch& scratch) {
  using Scratch = ExpertScratch;
  at::Tensor x = scratch.take(Scratch::tokens, rows.count, pass.dim(), pass.type());
  gather_rows(pass.dispatch, pass.x, rows.begin, x);
  at::Tensor hidden = pass.hidden.defined()
                          ? rows_of(pass.hidden, rows)
                          : scratch.take(Scratch::hidden, rows.count, pass.hidden_width(), pass.type());
  gemm(x, pass.w1.select(0, rows.expert).t(), hidden);
  at::Tensor act = scratch.take(Scratch::act, rows.count, pass.width(), pass.type());
  activate(pass, rows.expert, hidden, act);
  at::Tensor y = rows_of(out, rows);
  gemm(act, pass.w2.select(0, rows.expert).t(), y);
}

at::Tensor run_forward(const Pass& pass) {
  at::Tensor rows = at::empty({pass.dispatch.rows(), pass.dim()}, pass.x.options());
  for_each_expert(pass.dispatch, [&](const ExpertRows& expert, ExpertScratch& scratch) {
    forward_expert(pass, expert, rows, scratch);
  });
  return combine_rows(pass.dispatch, rows, pass.gates, pass.b2);
}

// Undefined: not wanted.
struct Gradients {
  at::Tensor x_rows;     // [R, D] of the gathered tokens
  at::Tensor gate_rows;  // [R]
  at::Tensor w1, w2;     // as the weights, in their own type
  at::Tensor b1, b2;     // as the biases
};

struct BackwardInputs {
  at::Tensor grad;   // [T, D]
  at::Tensor gates;  // [R]
};

// u = dY W2^T in `act` becomes g * act; `hidden` becomes the gradient of the rows before the activation. With u the
// gate's gradient needs no Y: <u, act> + <dY, b2>.
void activate_backward(const Pass& pass, const BackwardInputs& in, const ExpertRows& rows, const at::Tensor& grad_rows,
                       Gradients& out, at::Tensor& act, at::Tensor& hidden) {
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, act.scalar_type(), "activation", [&] {
    using A = at::opmath_type<scalar_t>;
    const auto from = activation_rows<scalar_t>(pass, rows.expert, rows_of(pass.hidden, rows));
    const ActivationGradient<scalar_t, A> to{act.mutable_data_ptr<scalar_t>(),
                                             hidden.mutable_data_ptr<scalar_t>(),
                                             grad_rows.const_data_ptr<scalar_t>(),
                                             bias_of<A>(pass.b2, rows.expert),
                                             pass.dim(),
                                             in.gates.const_data_ptr<A>() + rows.begin,
                                             out.gate_rows.mutable_data_ptr<A>() + rows.begin};
    parallel_rows(hidden, [&](int64_t begin, int64_t end) { activate_rows_backward(from, to, begin, end); });
  });
}

// sums[expert] = sum of the rows, each times its weight where weights are given
void bias_gradient(const at::Tensor& rows, const at::Tensor& weights, int64_t expert, at::Tensor& sums) {
  if (!sums.defined()) return;
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, rows.scalar_type(), "bias", [&] {
    using A = at::opmath_type<scalar_t>;
    const int64_t columns = rows.size(1);
    const ColumnSums<scalar_t, A> in{rows.const_data_ptr<scalar_t>(),
                                     weights.defined() ? weights.const_data_ptr<A>() : nullptr, rows.size(0), columns};
    A* out = sums.mutable_data_ptr<A>() + expert * columns;
    at::parallel_for(0, columns, std::max<int64_t>(64, task_elements / rows.size(0)),
                     [&](int64_t begin, int64_t end) { sum_columns(in, out, begin, end); });
  });
}

// weights[expert] = a b, in the type of the weights
void weight_gradient(const at::Tensor& a, const at::Tensor& b, int64_t expert, at::Tensor& weights,
                     ExpertScratch& scratch) {
  if (!weights.defined()) return;
  at::Tensor out = weights.select(0, expert);
  if (out.scalar_type() == a.scalar_type()) return gemm(a, b, out);
  at::Tensor product = scratch.take(ExpertScratch::weight, a.size(0), b.size(1), a.scalar_type());
  gemm(a, b, product);
  out.copy_(product);
}

void backward_expert(const Pass& pass, const BackwardInputs& in, const ExpertRows& rows, Gradients& out,
                     ExpertScratch& scratch) {
  using Scratch = ExpertScratch;
  at::Tensor tokens = scratch.take(Scratch::tokens, rows.count, pass.dim(), pass.type());
  gather_rows(pass.dispatch, in.grad, rows.begin, tokens);
  at::Tensor act = scratch.take(Scratch::act, rows.count, pass.width(), pass.type());
  gemm(tokens, pass.w2.select(0, rows.expert), act);
  at::Tensor hidden = scratch.take(Scratch::hidden, rows.count, pass.hidden_width(), pass.type());
  activate_backward(pass, in, rows, tokens, out, act, hidden);
  bias_gradient(hidden, {}, rows.expert, out.b1);
  bias_gradient(tokens, rows_of(in.gates, rows), rows.expert, out.b2);
  weight_gradient(tokens.t(), act, rows.expert, out.w2, scratch);
  if (out.x_rows.defined()) {
    at::Tensor x_rows = rows_of(out.x_rows, rows);
    gemm(hidden, pass.w1.select(0, rows.expert), x_rows);
  }
  if (!out.w1.defined()) return;
  gather_rows(pass.dispatch, pass.x, rows.begin, tokens);
  weight_gradient(hidden.t(), tokens, rows.expert, out.w1, scratch);
}

void zero_unused(const Dispatch& dispatch, const Gradients& out) {
  const int64_t* counts = dispatch.counts.const_data_ptr<int64_t>();
  for (int64_t expert = 0; expert < dispatch.expert_count(); ++expert) {
    if (counts[expert] > 0) continue;
    for (const at::Tensor& grad : {out.w1, out.w2, out.b1, out.b2}) {
      if (grad.defined()) grad.select(0, expert).zero_();
    }
  }
}

void run_backward(const Pass& pass, const BackwardInputs& in, Gradients& out) {
  zero_unused(pass.dispatch, out);
  for_each_expert(pass.dispatch, [&](const ExpertRows& expert, ExpertScratch& scratch) {
    backward_expert(pass, in, expert, out, scratch);
  });
}

variable_list saved_tensors(const Pass& pass) {
  const Dispatch& d = pass.dispatch;
  return {pass.x,      pass.gates, pass.w1,  pass.w2,   pass.b1,  pass.b2,
          pass.hidden, d.experts,  d.counts, d.offsets, d.row_of, d.pos_of};
}

Pass from_saved(const variable_list& s, FfnActivation activation) {
  return {activation, {s[7], s[8], s[9], s[10], s[11]}, s[0], s[1], s[2], s[3], s[4], s[5], s[6]};
}

struct FfnFunction : torch::autograd::Function<FfnFunction> {
  // The tensors tell autograd whose gradients come back; `given` is what is computed with.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gates,
                            const at::Tensor& w1, const at::Tensor&, const std::optional<at::Tensor>&,
                            const std::optional<at::Tensor>&, const Pass& given, bool keep) {
    Pass pass = given;
    pass.x = x;
    pass.gates = gates;
    if (keep) pass.hidden = at::empty({pass.dispatch.rows(), pass.hidden_width()}, x.options());
    context->save_for_backward(saved_tensors(pass));
    context->saved_data["activation"] = static_cast<int64_t>(pass.activation);
    context->saved_data["weight_type"] = w1.scalar_type();
    return run_forward(pass);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    check(!at::GradMode::is_enabled(), MOE_ERR_UNSUPPORTED,
          "FFN experts: expected one backward pass, got a gradient of a gradient (create_graph)");
    const Float32Scope no_autocast;
    const auto activation = static_cast<FfnActivation>(context->saved_data["activation"].toInt());
    const Pass pass = from_saved(context->get_saved_variables(), activation);
    Gradients out = wanted(*context, pass);
    const BackwardInputs in{grads[0].contiguous(), gather_gates(pass.dispatch, pass.gates)};
    run_backward(pass, in, out);
    const at::Tensor dx = out.x_rows.defined() ? combine_rows(pass.dispatch, out.x_rows, {}) : at::Tensor();
    return {dx, scatter_gates(pass.dispatch, out.gate_rows), out.w1, out.w2, out.b1, out.b2, {}, {}};
  }

  // Inputs are numbered without the biases that are not there.
  static Gradients wanted(AutogradContext& context, const Pass& pass) {
    const at::ScalarType type = context.saved_data["weight_type"].toScalarType();
    size_t input = 4;
    const auto like = [&](bool want, const at::Tensor& tensor, at::ScalarType as) {
      return want ? at::empty_like(tensor, tensor.options().dtype(as)) : at::Tensor();
    };
    const auto like_bias = [&](const at::Tensor& bias) {
      return bias.defined() ? like(context.needs_input_grad(input++), bias, bias.scalar_type()) : at::Tensor();
    };
    Gradients out;
    if (context.needs_input_grad(0)) out.x_rows = at::empty({pass.dispatch.rows(), pass.dim()}, pass.x.options());
    out.gate_rows = at::empty({pass.dispatch.rows()}, pass.gates.options());
    out.w1 = like(context.needs_input_grad(2), pass.w1, type);
    out.w2 = like(context.needs_input_grad(3), pass.w2, type);
    out.b1 = like_bias(pass.b1);
    out.b2 = like_bias(pass.b2);
    return out;
  }
};

void check_weights(const FfnWeights& w, FfnActivation activation, int64_t experts, int64_t dim) {
  check(w.w2.dim() == 3 && w.w2.size(0) == experts && w.w2.size(1) == dim, MOE_ERR_SHAPE, "FFN experts: expected w2 [",
        experts, ", ", dim, ", F], got ", w.w2.sizes());
  const int64_t width = w.w2.size(2), hidden = is_gated(activation) ? 2 * width : width;
  const auto check_shape = [](const char* name, const at::Tensor& tensor, at::IntArrayRef shape) {
    check(tensor.sizes() == shape, MOE_ERR_SHAPE, "FFN experts: expected ", name, " ", shape, ", got ", tensor.sizes());
  };
  check(width > 0, MOE_ERR_SHAPE, "FFN experts: expected a hidden width of at least 1, got w2 ", w.w2.sizes());
  check_shape("w1", w.w1, {experts, hidden, dim});
  if (w.b1.defined()) check_shape("b1", w.b1, {experts, hidden});
  if (w.b2.defined()) check_shape("b2", w.b2, {experts, dim});
  check(w.w1.scalar_type() == w.w2.scalar_type(), MOE_ERR_DTYPE, "FFN experts: expected w1 and w2 of one type, got ",
        c10::toString(w.w1.scalar_type()), " and ", c10::toString(w.w2.scalar_type()));
}

void check_inputs(const at::Tensor& x, const at::Tensor& gates, const Dispatch& dispatch) {
  check(x.dim() == 2 && x.size(0) == dispatch.tokens() && x.size(1) > 0, MOE_ERR_SHAPE, "FFN experts: expected x [",
        dispatch.tokens(), ", D], got ", x.sizes());
  check(gates.sizes() == dispatch.pos_of.sizes(), MOE_ERR_SHAPE, "FFN experts: expected gates ",
        dispatch.pos_of.sizes(), ", got ", gates.sizes());
  check(at::isFloatingType(x.scalar_type()) && at::isFloatingType(gates.scalar_type()), MOE_ERR_DTYPE,
        "FFN experts: expected x and gates in float32, float64, bfloat16 or float16, got ",
        c10::toString(x.scalar_type()), " and ", c10::toString(gates.scalar_type()));
}

at::ScalarType result_type(const at::Tensor& x) {
  const bool autocast = at::autocast::is_autocast_enabled(at::kCPU) && x.scalar_type() != at::kDouble;
  return autocast ? at::autocast::get_autocast_dtype(at::kCPU) : x.scalar_type();
}

// Values alone, without history: the function returns gradients to the weights themselves.
at::Tensor cast(const at::Tensor& weight, at::ScalarType type) {
  const bool autocast = at::autocast::is_autocast_enabled(at::kCPU) && type != weight.scalar_type();
  if (autocast && type == at::autocast::get_autocast_dtype(at::kCPU)) {
    return at::autocast::cached_cast(type, weight, at::kCPU).detach();
  }
  return weight.detach().to(type);
}

// gemm() wants one dimension with stride 1.
at::Tensor dense(const at::Tensor& stack) {
  return stack.stride(1) == 1 || stack.stride(2) == 1 ? stack : stack.contiguous();
}

std::optional<at::Tensor> maybe(const at::Tensor& bias) {
  return bias.defined() ? std::optional(bias) : std::nullopt;
}

bool wants_gradient(const at::Tensor& x, const at::Tensor& gates, const FfnWeights& w) {
  if (!at::GradMode::is_enabled()) return false;
  const auto any = {x, gates, w.w1, w.b1, w.w2, w.b2};
  return std::any_of(any.begin(), any.end(), [](const at::Tensor& t) { return t.defined() && t.requires_grad(); });
}

}  // namespace

at::Tensor ffn_experts(const at::Tensor& x, const at::Tensor& gates, const Dispatch& dispatch,
                       const FfnWeights& weights, FfnActivation activation) {
  check_inputs(x, gates, dispatch);
  check_weights(weights, activation, dispatch.expert_count(), x.size(1));
  const at::ScalarType result = result_type(x), type = result == at::kHalf ? at::kFloat : result;
  const at::ScalarType sums = type == at::kDouble ? at::kDouble : at::kFloat;
  Pass pass{activation, dispatch, {}, {}, dense(cast(weights.w1, type)), dense(cast(weights.w2, type)), {}, {}, {}};
  if (weights.b1.defined()) pass.b1 = weights.b1.detach().to(sums).contiguous();
  if (weights.b2.defined()) pass.b2 = weights.b2.detach().to(sums).contiguous();
  const bool keep = wants_gradient(x, gates, weights);
  const Float32Scope no_autocast;  // gemm() may be at::mm
  const at::Tensor y = FfnFunction::apply(x.to(type).contiguous(), gates.to(sums).contiguous(), weights.w1, weights.w2,
                                          maybe(weights.b1), maybe(weights.b2), pass, keep);
  return y.to(result);
}

}  // namespace moe
