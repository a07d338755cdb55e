// Deformable attention and the selective scan over tensors, on either executor: allocation, the sort of the taps, and
// the sums over tiles and images that follow the kernels.
#pragma once

#include <ATen/ops/sort.h>

#include <tuple>

#include "cuda/moe_kernels.h"
#include "cuda/scan_bodies.h"

namespace moe::cuda {

template <typename Executor>
class NnKernels : public MoeKernels<Executor> {
 public:
  at::Tensor deformable(const LevelTable& levels, const DeformableTensors& in) const override {
    const Executor run(in.value);
    at::Tensor out =
        at::empty({in.weights.size(0), in.weights.size(1), in.value.size(2) * in.value.size(3)}, in.value.options());
    MOE_CUDA_STORAGE_TYPES(in.value.scalar_type(), "deformable attention", [&] {
      using T = scalar_t;
      run.for_each(out.numel(),
                   DeformableForward<T>{deformable_inputs<T>(levels, in), out.template mutable_data_ptr<T>()});
    });
    return out;
  }

  DeformableTensors deformable_backward(const LevelTable& levels, const DeformableTensors& in,
                                        const at::Tensor& grad_out) const override {
    const Executor run(in.value);
    DeformableTensors grad{at::zeros_like(in.value), at::empty_like(in.locations), at::empty_like(in.weights), {}};
    MOE_CUDA_STORAGE_TYPES(in.value.scalar_type(), "deformable attention", [&] {
      using T = scalar_t;
      const auto inputs = deformable_inputs<T>(levels, in);
      const T* from = grad_out.const_data_ptr<T>();
      run.for_each(inputs.sizes.samples(),
                   DeformablePointGradient<T>{inputs, from, grad.locations.template mutable_data_ptr<Sum<T>>(),
                                              grad.weights.template mutable_data_ptr<Sum<T>>()});
      value_gradient(run, inputs, grad_out, grad.value);
    });
    return grad;
  }

  Scan scan(const ScanTensors& in) const override {
    const Executor run(in.u);
    const ScanSizes sizes = scan_sizes(in);
    Scan out{at::empty_like(in.u),
             at::empty({sizes.images, sizes.chunks(), sizes.states, sizes.channels}, in.u.options())};
    AT_DISPATCH_FLOATING_TYPES(in.u.scalar_type(), "selective scan", [&] {
      run.for_each(sizes.images * sizes.channels,
                   ScanForward<scalar_t>{scan_inputs<scalar_t>(in), out.y.template mutable_data_ptr<scalar_t>(),
                                         out.states.template mutable_data_ptr<scalar_t>()});
    });
    return out;
  }

  ScanTensors scan_backward(const ScanTensors& in, const at::Tensor& states, const at::Tensor& grad_y) const override {
    const Executor run(in.u);
    const ScanSizes sizes = scan_sizes(in);
    const auto make = [&](at::IntArrayRef shape) { return at::empty(shape, in.u.options()); };
    const at::Tensor scratch = make({sizes.images, scan_chunk, sizes.states, sizes.channels});
    const at::Tensor parts = make({2, sizes.tiles(), sizes.images, sizes.steps, sizes.states});
    const at::Tensor a = make({sizes.images, sizes.states, sizes.channels}),
                     skip = make({sizes.images, sizes.channels});
    ScanTensors grad{at::empty_like(in.u), at::empty_like(in.u), {}, {}, {}, {}};
    AT_DISPATCH_FLOATING_TYPES(in.u.scalar_type(), "selective scan", [&] {
      using A = scalar_t;
      const auto to = [](const at::Tensor& tensor) { return tensor.mutable_data_ptr<A>(); };
      run.for_blocks(
          sizes.images * sizes.tiles(),
          ScanBackward<A>{scan_inputs<A>(in), states.const_data_ptr<A>(), grad_y.const_data_ptr<A>(), to(scratch),
                          to(grad.u), to(grad.delta), to(a), to(parts.select(0, 0)), to(parts.select(0, 1)), to(skip)});
    });
    grad.a = a.sum(0).t().contiguous();
    grad.b = parts.select(0, 0).sum(0);
    grad.c = parts.select(0, 1).sum(0);
    grad.skip = skip.sum(0);
    return grad;
  }

 private:
  static DeformableSizes deformable_sizes(const LevelTable& levels, const DeformableTensors& in) {
    return {in.weights.size(0), in.weights.size(1), in.weights.size(2), in.weights.size(3),
            in.value.size(3),   in.value.size(0),   in.value.size(1),   levels};
  }

  template <typename T>
  static DeformableInputs<T> deformable_inputs(const LevelTable& levels, const DeformableTensors& in) {
    return {deformable_sizes(levels, in), in.value.const_data_ptr<T>(), in.locations.const_data_ptr<Sum<T>>(),
            in.weights.const_data_ptr<Sum<T>>(), in.rows.const_data_ptr<int64_t>()};
  }

  template <typename T>
  static void value_gradient(const Executor& run, const DeformableInputs<T>& inputs, const at::Tensor& grad_out,
                             at::Tensor& grad_value) {
    const int64_t samples = inputs.sizes.samples();
    const auto options = grad_out.options();
    const at::Tensor keys = at::empty({4 * samples}, options.dtype(at::kLong));
    const at::Tensor factors = at::empty({4 * samples}, options.dtype(sum_type_of(grad_out)));
    run.for_each(samples,
                 DeformableTaps<T>{inputs, keys.mutable_data_ptr<int64_t>(), factors.mutable_data_ptr<Sum<T>>()});
    const auto [sorted, order] = at::sort(keys, /*stable=*/true, 0, /*descending=*/false);
    run.for_each(4 * samples * inputs.sizes.dim,
                 DeformableValueGradient<T>{inputs.sizes, sorted.template const_data_ptr<int64_t>(),
                                            order.template const_data_ptr<int64_t>(), factors.const_data_ptr<Sum<T>>(),
                                            grad_out.const_data_ptr<T>(), grad_value.mutable_data_ptr<T>()});
  }

  static ScanSizes scan_sizes(const ScanTensors& in) {
    return {in.u.size(0), in.u.size(1), in.u.size(2), in.a.size(1)};
  }

  template <typename A>
  static ScanInputs<A> scan_inputs(const ScanTensors& in) {
    return {scan_sizes(in),           in.u.const_data_ptr<A>(), in.delta.const_data_ptr<A>(), in.a.const_data_ptr<A>(),
            in.b.const_data_ptr<A>(), in.c.const_data_ptr<A>(), in.skip.const_data_ptr<A>()};
  }
};

}  // namespace moe::cuda
