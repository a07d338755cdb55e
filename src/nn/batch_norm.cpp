#include "nn/batch_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cmath>

#include "base/error.h"
#include "nn/norm_kernel.h"
#include "tensor/batch.h"
#include "tensor/checkpoint_fn.h"

namespace moe::nn {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

static constexpr double momentum = 0.1;

BatchNorm2d::BatchNorm2d(int64_t channels, bool frozen, double eps) : frozen_(frozen), eps_(eps) {
  const auto add = [&](const char* name) {
    return frozen ? register_buffer(name, unset({channels})) : register_parameter(name, unset({channels}));
  };
  weight = add("weight");
  bias = add("bias");
  running_mean = register_buffer("running_mean", unset({channels}));
  running_var = register_buffer("running_var", unset({channels}));
}

void BatchNorm2d::init_own(const ParameterInit&) {
  ParameterInit::constant(weight, 1.0);
  ParameterInit::constant(bias, 0.0);
  ParameterInit::constant(running_mean, 0.0);
  ParameterInit::constant(running_var, 1.0);
}

at::Tensor BatchNorm2d::forward(const at::Tensor& x) {
  return norm_sum({{x, this}}, {}, Activation::none);
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
      fail(MOE_ERR_DTYPE, "batch norm: expected float32, float64 or bfloat16, got ", c10::toString(type));
  }
}

// Rows [B * H * W, C] cut into chunks, and sums over the chunks in their order.
struct Chunks {
  int64_t rows, channels, each, count;

  explicit Chunks(const at::Tensor& x)
      : rows(x.numel() / x.size(1)),
        channels(x.size(1)),
        each(norm_chunk_rows(channels)),
        count((rows + each - 1) / each) {}

  int64_t size(int64_t chunk) const { return std::min(rows, (chunk + 1) * each) - chunk * each; }

  // work(chunk, first row, end)
  template <typename Work>
  void run(const Work& work) const {
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) work(i, i * each, i * each + size(i));
    });
  }
};

// Mean and variance over all rows.
struct Moments {
  std::vector<double> mean, var;  // [channels]
};

// Chan et al.: chunks joined one after the other.
template <typename A>
Moments joined(const Chunks& chunks, const std::vector<A>& partial) {
  const auto channels = static_cast<size_t>(chunks.channels);
  Moments out{std::vector<double>(channels), std::vector<double>(channels)};
  for (int64_t i = 0; i < chunks.count; ++i) {
    const A* mean = partial.data() + 2 * i * chunks.channels;
    const A* squares = mean + chunks.channels;
    const auto before = static_cast<double>(i * chunks.each), added = static_cast<double>(chunks.size(i));
    const double share = added / (before + added);
    for (size_t c = 0; c < channels; ++c) {
      const double shift = static_cast<double>(mean[c]) - out.mean[c];
      out.mean[c] += shift * share;
      out.var[c] += static_cast<double>(squares[c]) + shift * shift * before * share;
    }
  }
  for (double& var : out.var) var /= static_cast<double>(chunks.rows);
  return out;
}

template <typename T, typename A>
Moments batch_moments(const at::Tensor& x) {
  const Chunks chunks(x);
  std::vector<A> partial(static_cast<size_t>(2 * chunks.count * chunks.channels));
  const T* from = x.const_data_ptr<T>();
  chunks.run([&](int64_t i, int64_t begin, int64_t end) {
    A* mean = partial.data() + 2 * i * chunks.channels;
    norm_moments(from, chunks.channels, begin, end, mean, mean + chunks.channels);
  });
  return joined(chunks, partial);
}

template <typename A>
Moments running_moments(const BatchNorm2d& norm) {
  const A *mean = norm.running_mean.const_data_ptr<A>(), *var = norm.running_var.const_data_ptr<A>();
  const int64_t channels = norm.running_mean.numel();
  return {{mean, mean + channels}, {var, var + channels}};
}

template <typename A>
void update_running(BatchNorm2d& norm, const Moments& moments, int64_t rows) {
  const double unbiased = static_cast<double>(rows) / static_cast<double>(rows - 1);
  A *mean = norm.running_mean.mutable_data_ptr<A>(), *var = norm.running_var.mutable_data_ptr<A>();
  for (size_t c = 0; c < moments.mean.size(); ++c) {
    mean[c] = static_cast<A>((1 - momentum) * static_cast<double>(mean[c]) + momentum * moments.mean[c]);
    var[c] = static_cast<A>((1 - momentum) * static_cast<double>(var[c]) + momentum * unbiased * moments.var[c]);
  }
}

// What the passes over rows need of a term, [3, channels] of the accumulation type: mean, 1 / deviation, scale.
// Adds to the shift of all terms.
template <typename T, typename A>
at::Tensor statistics(const NormTerm& term, A* shift) {
  BatchNorm2d& norm = *term.norm;
  const bool batch = norm.uses_batch();
  const Moments moments = batch ? batch_moments<T, A>(term.x) : running_moments<A>(norm);
  const int64_t channels = term.x.size(1);
  if (batch && !recomputing()) update_running<A>(norm, moments, term.x.numel() / channels);
  at::Tensor out = at::empty({3, channels}, norm.weight.options().requires_grad(false));
  A* mean = out.mutable_data_ptr<A>();
  const A *weight = norm.weight.const_data_ptr<A>(), *bias = norm.bias.const_data_ptr<A>();
  for (int64_t c = 0; c < channels; ++c) {
    const double inverse = 1 / std::sqrt(moments.var[c] + norm.eps()), scale = weight[c] * inverse;
    mean[c] = static_cast<A>(moments.mean[c]);
    mean[c + channels] = static_cast<A>(inverse);
    mean[c + 2 * channels] = static_cast<A>(scale);
    shift[c] += static_cast<A>(bias[c] - moments.mean[c] * scale);
  }
  return out;
}

// Everything that both passes read: tensors of one term leave the second place undefined.
struct Saved {
  Activation activation;
  std::array<at::Tensor, 2> x, statistics;
  at::Tensor shift, residual;

  int terms() const { return x[1].defined() ? 2 : 1; }

  template <typename T, typename A>
  NormRows<T, A> rows() const {
    NormRows<T, A> out{x[0].size(1), activation, {nullptr, nullptr}, {nullptr, nullptr}, shift.const_data_ptr<A>(),
                       residual.defined() ? residual.const_data_ptr<T>() : nullptr};
    for (int t = 0; t < terms(); ++t) {
      out.x[t] = x[t].const_data_ptr<T>();
      out.scale[t] = statistics[t].const_data_ptr<A>() + 2 * out.channels;
    }
    return out;
  }
};

at::Tensor empty_maps(const at::Tensor& like) {
  return at::empty(like.sizes(), like.options().requires_grad(false).memory_format(at::MemoryFormat::ChannelsLast));
}

// Sums over all rows, [1 + terms, channels].
template <typename T, typename A>
std::vector<double> gradient_sums(const Saved& in, const at::Tensor& dy) {
  const Chunks chunks(dy);
  const int64_t width = (1 + in.terms()) * chunks.channels;
  std::vector<A> partial(static_cast<size_t>(chunks.count * width));
  const NormRows<T, A> rows = in.rows<T, A>();
  const A* const mean[2] = {in.statistics[0].const_data_ptr<A>(),
                            in.terms() == 2 ? in.statistics[1].const_data_ptr<A>() : nullptr};
  const T* from = dy.const_data_ptr<T>();
  chunks.run([&](int64_t i, int64_t begin, int64_t end) {
    norm_sums(rows, mean, from, begin, end, partial.data() + i * width);
  });
  std::vector<double> out(static_cast<size_t>(width));
  for (int64_t i = 0; i < chunks.count; ++i) {
    for (int64_t c = 0; c < width; ++c) out[c] += static_cast<double>(partial[i * width + c]);
  }
  return out;
}

struct TermGradient {
  at::Tensor x, weight, bias;
};

// Gradients of weight and bias, and what the pass over the rows needs: slope and offset [2, channels]. Running
// statistics do not depend on x.
template <typename A>
at::Tensor term_factors(const at::Tensor& statistics, const double* plain, const double* product, double rows,
                        bool batch, TermGradient& out) {
  const int64_t channels = statistics.size(1);
  const A* mean = statistics.const_data_ptr<A>();
  const A *inverse = mean + channels, *scale = inverse + channels;
  at::Tensor factors = at::zeros({2, channels}, statistics.options());
  out.weight = at::empty({channels}, statistics.options());
  out.bias = at::empty({channels}, statistics.options());
  A *slope = factors.mutable_data_ptr<A>(), *offset = slope + channels;
  for (int64_t c = 0; c < channels; ++c) {
    out.weight.mutable_data_ptr<A>()[c] = static_cast<A>(product[c] * inverse[c]);
    out.bias.mutable_data_ptr<A>()[c] = static_cast<A>(plain[c]);
    if (!batch) continue;
    const double p = -static_cast<double>(scale[c]) * inverse[c] * inverse[c] * product[c] / rows;
    slope[c] = static_cast<A>(p);
    offset[c] = static_cast<A>(-static_cast<double>(scale[c]) * plain[c] / rows - p * mean[c]);
  }
  return factors;
}

struct NormSumFunction : torch::autograd::Function<NormSumFunction> {
  // The weights and biases are arguments for their gradients; their values are read through the terms.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const std::optional<at::Tensor>& other_x,
                            const std::optional<at::Tensor>& other_weight, const std::optional<at::Tensor>& other_bias,
                            const std::optional<at::Tensor>& residual, const std::vector<NormTerm>& terms,
                            Activation activation) {
    (void)weight, (void)bias, (void)other_weight, (void)other_bias;
    Saved saved{activation, {x, other_x.value_or(at::Tensor())}, {}, {}, residual.value_or(at::Tensor())};
    at::Tensor y = empty_maps(x);
    saved.shift = at::zeros({x.size(1)}, terms[0].norm->weight.options().requires_grad(false));
    dispatch(x.scalar_type(), [&](auto storage, auto accumulation) {
      using T = decltype(storage);
      using A = decltype(accumulation);
      for (size_t t = 0; t < terms.size(); ++t) {
        saved.statistics[t] = statistics<T, A>({saved.x[t], terms[t].norm}, saved.shift.mutable_data_ptr<A>());
      }
      const NormRows<T, A> rows = saved.rows<T, A>();
      T* to = y.mutable_data_ptr<T>();
      Chunks(x).run([&](int64_t, int64_t begin, int64_t end) { norm_apply(rows, begin, end, to); });
    });
    context->save_for_backward(
        {saved.x[0], saved.x[1], saved.statistics[0], saved.statistics[1], saved.shift, saved.residual});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    context->saved_data["batch"] = terms[0].norm->uses_batch();
    context->saved_data["other_batch"] = terms.size() > 1 && terms[1].norm->uses_batch();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto kept = context->get_saved_variables();
    const Saved saved{static_cast<Activation>(context->saved_data["activation"].toInt()),
                      {kept[0], kept[1]},
                      {kept[2], kept[3]},
                      kept[4],
                      kept[5]};
    const bool batch[2] = {context->saved_data["batch"].toBool(), context->saved_data["other_batch"].toBool()};
    const at::Tensor dy = grads[0].to(kept[0].scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    std::array<TermGradient, 2> out;
    at::Tensor residual;
    if (saved.residual.defined()) residual = empty_maps(dy);
    dispatch(dy.scalar_type(), [&](auto storage, auto accumulation) {
      gradients<decltype(storage), decltype(accumulation)>(saved, batch, dy, out, residual);
    });
    return {out[0].x,    out[0].weight, out[0].bias,  out[1].x,    out[1].weight,
            out[1].bias, residual,      at::Tensor(), at::Tensor()};
  }

 private:
  template <typename T, typename A>
  static void gradients(const Saved& saved, const bool (&batch)[2], const at::Tensor& dy,
                        std::array<TermGradient, 2>& out, const at::Tensor& residual) {
    const Chunks chunks(dy);
    const std::vector<double> sums = gradient_sums<T, A>(saved, dy);
    NormGradient<T, A> to{};
    std::array<at::Tensor, 2> factors;
    for (int t = 0; t < saved.terms(); ++t) {
      factors[t] = term_factors<A>(saved.statistics[t], sums.data(), sums.data() + (1 + t) * chunks.channels,
                                   static_cast<double>(chunks.rows), batch[t], out[t]);
      out[t].x = empty_maps(dy);
      to.slope[t] = factors[t].template const_data_ptr<A>();
      to.offset[t] = to.slope[t] + chunks.channels;
      to.dx[t] = out[t].x.template mutable_data_ptr<T>();
    }
    to.residual = residual.defined() ? residual.mutable_data_ptr<T>() : nullptr;
    const NormRows<T, A> rows = saved.rows<T, A>();
    const T* from = dy.const_data_ptr<T>();
    chunks.run([&](int64_t, int64_t begin, int64_t end) { norm_gradient(rows, from, begin, end, to); });
  }
};

void check_term(const NormTerm& term, const at::Tensor& first) {
  check(term.x.dim() == 4 && term.x.sizes() == first.sizes() && term.x.scalar_type() == first.scalar_type() &&
            term.x.size(1) == term.norm->weight.numel(),
        MOE_ERR_SHAPE, "batch norm: expected maps [B, ", term.norm->weight.numel(), ", H, W] like ",
        shape_text(first.sizes()), ", got ", shape_text(term.x.sizes()));
  check(!term.norm->uses_batch() || term.x.numel() > term.x.size(1), MOE_ERR_SHAPE,
        "batch norm: expected more than one value per channel in training, got a batch of one 1x1 map");
}

void check_residual(const at::Tensor& residual, const at::Tensor& x) {
  check(residual.sizes() == x.sizes(), MOE_ERR_SHAPE, "batch norm: expected a residual ", shape_text(x.sizes()),
        ", got ", shape_text(residual.sizes()));
  check(residual.scalar_type() == x.scalar_type(), MOE_ERR_DTYPE,
        "batch norm: expected float32, float64 or bfloat16 with a residual like it, got ",
        c10::toString(x.scalar_type()), " and ", c10::toString(residual.scalar_type()));
}

// LibTorch's operators one after the other, for types without a kernel of our own (float16).
at::Tensor plain_sum(const std::vector<NormTerm>& terms, const at::Tensor& residual, Activation activation) {
  at::Tensor sum = residual;
  for (const auto& [x, norm] : terms) {
    const bool keep = norm->uses_batch() && recomputing();
    const at::Tensor y =
        at::batch_norm(x, norm->weight, norm->bias, keep ? at::Tensor() : norm->running_mean,
                       keep ? at::Tensor() : norm->running_var, norm->uses_batch(), momentum, norm->eps(), false);
    sum = sum.defined() ? sum + y : y;
  }
  return activate(activation, sum);
}

bool has_kernel(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return x.is_cpu() && (type == at::kFloat || type == at::kDouble || type == at::kBFloat16);
}

std::optional<at::Tensor> dense(const at::Tensor& x) {
  if (!x.defined()) return std::nullopt;
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

at::Tensor norm_sum(const std::vector<NormTerm>& terms, const at::Tensor& residual, Activation activation) {
  for (const NormTerm& term : terms) check_term(term, terms[0].x);
  if (residual.defined()) check_residual(residual, terms[0].x);
  if (!has_kernel(terms[0].x)) return plain_sum(terms, residual, activation);
  const bool apart = activation == Activation::gelu;
  std::optional<at::Tensor> other_x, other_weight, other_bias;
  if (terms.size() > 1) {
    other_x = dense(terms[1].x);
    other_weight = terms[1].norm->weight;
    other_bias = terms[1].norm->bias;
  }
  const at::Tensor y = NormSumFunction::apply(*dense(terms[0].x), terms[0].norm->weight, terms[0].norm->bias, other_x,
                                              other_weight, other_bias, dense(residual), terms,
                                              apart ? Activation::none : activation);
  return apart ? activate(activation, y) : y;
}

}  // namespace moe::nn
