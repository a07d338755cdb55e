#include "moe/merged_conv.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <numeric>

#include "moe/weighted_rows.h"

namespace moe {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

MergePlanPtr plan_merge(const at::Tensor& experts, const std::vector<int64_t>& dilation) {
  auto plan = c10::make_intrusive<MergePlan>();
  const at::Tensor dense = experts.contiguous();
  const int64_t* expert = dense.const_data_ptr<int64_t>();
  const int64_t slots = dense.size(1);
  plan->begin = {0};
  for (int64_t sample = 0; sample < dense.size(0); ++sample) {
    for (int64_t pair = sample * slots; pair < (sample + 1) * slots; ++pair) {
      if (expert[pair] < 0) continue;
      const int64_t wanted = dilation[static_cast<size_t>(expert[pair])];
      const auto first = plan->units.begin() + static_cast<std::ptrdiff_t>(plan->begin.back());
      auto unit = std::find_if(first, plan->units.end(), [&](const MergeUnit& u) { return u.dilation == wanted; });
      if (unit == plan->units.end()) unit = plan->units.insert(unit, MergeUnit{sample, wanted, {}});
      unit->parts.push_back({pair, expert[pair]});
    }
    plan->begin.push_back(plan->units.size());
  }
  return plan;
}

namespace {

constexpr int64_t piece = 4096;    // kernel elements a task
constexpr int64_t max_chunk = 16;  // samples whose kernel gradients are held at a time

// oneDNN plans a convolution for omp_get_max_threads() threads; inside a parallel region it has one.
class OneThread {
 public:
  OneThread() : before_(at::get_num_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

// body(sample), each on one thread: a call of one sample is too small to be worth dividing, and what a call costs
// besides its arithmetic would not be divided. Only a batch of fewer samples than threads leaves the threads to
// LibTorch.
template <typename Body>
void for_samples(int64_t first, int64_t last, int64_t batch, Body body) {
  if (batch < at::get_num_threads()) {
    for (int64_t sample = first; sample < last; ++sample) body(sample);
    return;
  }
  at::parallel_for(first, last, 1, [&](int64_t begin, int64_t end) {
    const at::NoGradGuard no_grad;
    const OneThread scope;
    for (int64_t sample = begin; sample < end; ++sample) body(sample);
  });
}

// Kernels are dense [O, kh, kw, C], the memory of a channels-last [O, C, kh, kw].
struct KernelShape {
  int64_t out, height, width, in;

  explicit KernelShape(const at::Tensor& stacked)  // [E, O, kh, kw, C]
      : out(stacked.size(1)), height(stacked.size(2)), width(stacked.size(3)), in(stacked.size(4)) {}
  int64_t size() const { return out * height * width * in; }
  int64_t pieces() const { return (size() + piece - 1) / piece; }
};

// body(first element, count, piece) over one kernel, in parallel.
template <typename Body>
void for_pieces(const KernelShape& shape, Body body) {
  at::parallel_for(0, shape.pieces(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i * piece, std::min(piece, shape.size() - i * piece), i);
  });
}

// The inputs of every unit; stacked [E, O, kh, kw, C] and gates [B, k] are dense, x is channels-last.
struct Mixture {
  at::Tensor x, stacked, gates;
  KernelShape shape;

  Mixture(const at::Tensor& x_, const at::Tensor& stacked_, const at::Tensor& gates_)
      : x(x_.detach()), stacked(stacked_.detach()), gates(gates_.detach()), shape(stacked) {}

  at::Tensor sample(int64_t i) const { return x.narrow(0, i, 1); }

  template <typename A>
  const A* kernel(int64_t expert) const {
    return stacked.const_data_ptr<A>() + expert * shape.size();
  }

  // -> [O, C, kh, kw] in x's type
  at::Tensor mix(const MergeUnit& unit) const {
    const at::Tensor out = at::empty({shape.out, shape.height, shape.width, shape.in}, x.options());
    dispatch_rows(x.scalar_type(), [&](auto storage, auto sum) {
      using T = decltype(storage);
      using A = decltype(sum);
      std::vector<A> weights;
      for (const auto& part : unit.parts) weights.push_back(gates.const_data_ptr<A>()[part.pair]);
      T* to = out.mutable_data_ptr<T>();
      for_pieces(shape, [&](int64_t first, int64_t count, int64_t) {
        std::vector<const A*> sources;
        for (const auto& part : unit.parts) sources.push_back(kernel<A>(part.expert) + first);
        weighted_sum(sources.data(), weights.data(), static_cast<int64_t>(sources.size()), count, to + first);
      });
    });
    return out.permute({0, 3, 1, 2});
  }

  std::vector<int64_t> padding(int64_t dilation) const {
    return {dilation * (shape.height / 2), dilation * (shape.width / 2)};
  }
};

struct Gradients {
  at::Tensor x, stacked, gates;  // x undefined: not wanted
};

// One part of one unit, and the gradient of the unit's mixed kernel.
struct GradientTerm {
  const at::Tensor* grad;  // [O, kh, kw, C]
  MergeUnit::Part part;
};

// stacked[e] += gate * grad of a mixed kernel, gates = <grad, kernel>, for every part of the units. Pieces of kernels
// are independent and their dot products are added in order, so that the number of threads does not matter.
void unmix(const Mixture& mixture, const std::vector<GradientTerm>& terms, Gradients& out) {
  const KernelShape& shape = mixture.shape;
  const size_t pieces = static_cast<size_t>(shape.pieces());
  std::vector<double> dots(terms.size() * pieces);
  dispatch_rows(mixture.x.scalar_type(), [&](auto storage, auto sum) {
    using T = decltype(storage);
    using A = decltype(sum);
    const A* gate = mixture.gates.const_data_ptr<A>();
    A* into = out.stacked.mutable_data_ptr<A>();
    for_pieces(shape, [&](int64_t first, int64_t count, int64_t at) {
      for (size_t j = 0; j < terms.size(); ++j) {
        const auto [pair, expert] = terms[j].part;
        const T* from = terms[j].grad->const_data_ptr<T>() + first;
        dots[j * pieces + static_cast<size_t>(at)] = add_and_dot(gate[pair], from, mixture.kernel<A>(expert) + first,
                                                                 into + expert * shape.size() + first, count);
      }
    });
    A* gate_grad = out.gates.mutable_data_ptr<A>();
    for (size_t j = 0; j < terms.size(); ++j) {
      const auto begin = dots.begin() + static_cast<std::ptrdiff_t>(j * pieces);
      gate_grad[terms[j].part.pair] = static_cast<A>(std::accumulate(begin, begin + shape.pieces(), 0.0));
    }
  });
}

// A sample's slice of a result that starts undefined in memory: its first unit writes, others add.
void put(const at::Tensor& slice, const at::Tensor& value, bool first) {
  if (first) {
    slice.copy_(value);
  } else {
    slice.add_(value);
  }
}

at::Tensor fresh(const at::Tensor& like, int64_t channels) {
  return at::empty({like.size(0), channels, like.size(2), like.size(3)}, like.options(),
                   at::MemoryFormat::ChannelsLast);
}

// One sample: out.x, and the gradients of its units' mixed kernels, [O, kh, kw, C] each, into `kernels`.
void backward_sample(const Mixture& mixture, std::span<const MergeUnit> units, const at::Tensor& grad,
                     const at::Tensor& slice, at::Tensor* kernels) {
  if (units.empty() && slice.defined()) slice.zero_();
  for (size_t i = 0; i < units.size(); ++i) {
    const MergeUnit& unit = units[i];
    const auto [grad_x, grad_kernel, unused] = at::convolution_backward(
        grad, mixture.sample(unit.sample), mixture.mix(unit), std::nullopt, {1, 1}, mixture.padding(unit.dilation),
        {unit.dilation, unit.dilation}, false, {0, 0}, 1, {slice.defined(), true, false});
    if (slice.defined()) put(slice, grad_x, i == 0);
    kernels[i] = grad_kernel.permute({0, 2, 3, 1}).contiguous();
  }
}

// Samples first .. last - 1.
void backward_samples(const Mixture& mixture, const MergePlan& plan, const at::Tensor& grad, int64_t first,
                      int64_t last, Gradients& out) {
  const auto units = plan.of_samples(first, last);
  std::vector<at::Tensor> kernels(units.size());
  for_samples(first, last, mixture.x.size(0), [&](int64_t sample) {
    const auto own = plan.of_samples(sample, sample + 1);
    const at::Tensor slice = out.x.defined() ? out.x.narrow(0, sample, 1) : at::Tensor();
    backward_sample(mixture, own, grad.narrow(0, sample, 1), slice, kernels.data() + (own.data() - units.data()));
  });
  std::vector<GradientTerm> terms;
  for (size_t i = 0; i < units.size(); ++i) {
    for (const MergeUnit::Part& part : units[i].parts) terms.push_back({&kernels[i], part});
  }
  unmix(mixture, terms, out);
}

struct MergedConvFunction : torch::autograd::Function<MergedConvFunction> {
  static at::Tensor forward(AutogradContext* context, const MergePlanPtr& plan, const at::Tensor& x,
                            const at::Tensor& stacked, const at::Tensor& gates) {
    context->saved_data["plan"] = at::IValue::make_capsule(plan);
    context->save_for_backward({x, stacked, gates});
    const Mixture mixture(x, stacked, gates);
    const at::Tensor out = fresh(x, stacked.size(1));
    for_samples(0, x.size(0), x.size(0), [&](int64_t sample) {
      const auto units = plan->of_samples(sample, sample + 1);
      const at::Tensor slice = out.narrow(0, sample, 1);
      if (units.empty()) slice.zero_();
      for (const MergeUnit& unit : units) {
        const at::Tensor y =
            at::conv2d(mixture.sample(sample), mixture.mix(unit), {}, 1, mixture.padding(unit.dilation), unit.dilation);
        put(slice, y, &unit == units.data());
      }
    });
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto plan = c10::static_intrusive_pointer_cast<MergePlan>(context->saved_data["plan"].toCapsule());
    const auto saved = context->get_saved_variables();
    const Mixture mixture(saved[0], saved[1], saved[2]);
    const at::Tensor grad = grads[0].contiguous(at::MemoryFormat::ChannelsLast);
    const int64_t batch = mixture.x.size(0);
    Gradients out{at::Tensor(), at::zeros_like(mixture.stacked), at::zeros_like(mixture.gates)};
    if (context->needs_input_grad(0)) out.x = fresh(mixture.x, mixture.x.size(1));
    const int64_t chunks = (batch + max_chunk - 1) / max_chunk;
    for (int64_t i = 0; i < chunks; ++i) {
      backward_samples(mixture, *plan, grad, i * batch / chunks, (i + 1) * batch / chunks, out);
    }
    return {at::Tensor(), out.x, out.stacked, out.gates};
  }
};

}  // namespace

at::Tensor merged_conv(const MergePlanPtr& plan, const at::Tensor& x, const at::Tensor& weight,
                       const at::Tensor& gates) {
  const at::Tensor stacked = weight.permute({0, 1, 3, 4, 2}).contiguous();
  return MergedConvFunction::apply(plan, x.contiguous(at::MemoryFormat::ChannelsLast), stacked, gates.contiguous());
}

}  // namespace moe
