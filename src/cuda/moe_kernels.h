// The kernels of a mixture layer over tensors, on either executor: allocation, sizes, and which bodies run in which
// order. Grouped products differ by device and are left to the classes below this one.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "cuda/kernels.h"
#include "cuda/row_bodies.h"
#include "cuda/sort_bodies.h"

namespace moe::cuda {

template <typename T>
const T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

#define MOE_CUDA_STORAGE_TYPES(type, name, ...) \
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, type, name, __VA_ARGS__)

template <typename Executor>
class MoeKernels : public Kernels {
 public:
  Gate gate(const at::Tensor& logits, const at::Tensor& valid, const GateOptions& options) const override {
    const Executor run(logits);
    const int64_t tokens = logits.size(0);
    Gate out{at::empty_like(logits), at::empty({tokens, options.top_k}, logits.options().dtype(at::kLong)),
             at::empty({tokens, options.top_k}, logits.options())};
    AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "gate", [&] {
      using A = scalar_t;
      const GateSizes sizes = gate_sizes<A>(logits, options.top_k, 1);
      run.for_blocks(
          divide_up(tokens, sizes.tile),
          GateForward<A>{sizes, options.kind, static_cast<A>(options.scale), logits.const_data_ptr<A>(),
                         data_or_null<bool>(valid), out.probabilities.template mutable_data_ptr<A>(),
                         out.chosen.template mutable_data_ptr<int64_t>(), out.weights.template mutable_data_ptr<A>()});
    });
    return out;
  }

  at::Tensor gate_backward(const Gate& gate, const GateGradients& grad, const GateOptions& options) const override {
    const Executor run(gate.probabilities);
    at::Tensor out = at::empty_like(gate.probabilities);
    AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "gate", [&] {
      using A = scalar_t;
      const GateSizes sizes = gate_sizes<A>(gate.probabilities, options.top_k, 2);
      run.for_blocks(divide_up(out.size(0), sizes.tile),
                     GateBackward<A>{sizes, options.kind, static_cast<A>(options.scale),
                                     gate.probabilities.template const_data_ptr<A>(),
                                     gate.chosen.template const_data_ptr<int64_t>(),
                                     gate.weights.template const_data_ptr<A>(), data_or_null<A>(grad.probabilities),
                                     data_or_null<A>(grad.weights), out.template mutable_data_ptr<A>()});
    });
    return out;
  }

  int64_t most_experts(at::ScalarType type, int64_t top_k) const override {
    const auto indices = static_cast<size_t>(top_k) * sizeof(int32_t);
    return static_cast<int64_t>((shared_limit - indices) / c10::elementSize(type) - 1) / 2;  // two rows in backward
  }

  Dispatch sort_by_expert(const at::Tensor& experts, int64_t expert_count) const override {
    const Executor run(experts);
    const SortSizes sizes = sort_sizes(experts.numel(), expert_count);
    const auto options = experts.options();
    at::Tensor table = at::empty({sizes.chunks, expert_count}, options);
    Dispatch out{experts, at::empty({expert_count}, options), at::empty({expert_count + 1}, options),
                 at::full({sizes.pairs}, -1, options), at::full(experts.sizes(), -1, options)};
    const int64_t* expert_of = experts.const_data_ptr<int64_t>();
    int64_t* entries = table.mutable_data_ptr<int64_t>();
    run.for_each(table.numel(), CountPairs{sizes, expert_of, entries});
    run.for_blocks(
        1, ScanTable{sizes, entries, out.counts.mutable_data_ptr<int64_t>(), out.offsets.mutable_data_ptr<int64_t>()});
    run.for_each(table.numel(), PlacePairs{sizes, expert_of, entries, out.row_of.mutable_data_ptr<int64_t>(),
                                           out.pos_of.mutable_data_ptr<int64_t>()});
    return out;
  }

  at::Tensor gather_rows(const Dispatch& dispatch, const at::Tensor& x) const override {
    at::Tensor out = at::empty({dispatch.rows(), x.size(1)}, x.options());
    const int64_t bytes = x.size(1) * x.element_size();
    const auto align = [&](int64_t unit) { return bytes % unit == 0 && is_aligned(x, unit) && is_aligned(out, unit); };
    if (align(sizeof(Word16))) {
      gather_words<Word16>(dispatch, x, out);
    } else if (align(sizeof(uint32_t))) {
      gather_words<uint32_t>(dispatch, x, out);
    } else {
      gather_words<uint16_t>(dispatch, x, out);
    }
    return out;
  }

  at::Tensor combine_rows(const Dispatch& dispatch, const at::Tensor& rows, const at::Tensor& gates,
                          const at::Tensor& bias) const override {
    const Executor run(rows);
    at::Tensor out = at::empty({dispatch.tokens(), rows.size(1)}, rows.options());
    MOE_CUDA_STORAGE_TYPES(rows.scalar_type(), "combine", [&] {
      run.for_each(out.numel(), CombineRows<scalar_t>{combine_arguments<scalar_t>(dispatch, rows, gates, bias),
                                                      out.template mutable_data_ptr<scalar_t>()});
    });
    return out;
  }

  CombineGradients combine_backward(const Dispatch& dispatch, const at::Tensor& rows, const at::Tensor& gates,
                                    const at::Tensor& bias, const at::Tensor& grad_out) const override {
    const Executor run(grad_out);
    CombineGradients out{at::empty({dispatch.rows(), grad_out.size(1)}, grad_out.options()), {}};
    if (rows.defined()) out.gates = at::empty(dispatch.pos_of.sizes(), gates.options());
    MOE_CUDA_STORAGE_TYPES(grad_out.scalar_type(), "combine", [&] {
      using T = scalar_t;
      const T* grad = grad_out.const_data_ptr<T>();
      run.for_each(out.rows.numel(), CombineRowsBackward<T>{{dispatch.slots(), grad_out.size(1)},
                                                            data_or_null<Sum<T>>(gates),
                                                            dispatch.row_of.template const_data_ptr<int64_t>(),
                                                            grad,
                                                            out.rows.template mutable_data_ptr<T>()});
      if (!out.gates.defined()) return;
      run.for_blocks(out.gates.numel(), GateGradient<T>{combine_arguments<T>(dispatch, rows, gates, bias), grad,
                                                        out.gates.template mutable_data_ptr<Sum<T>>()});
    });
    return out;
  }

  at::Tensor add_expert_bias(const Dispatch& dispatch, const at::Tensor& rows, const at::Tensor& bias) const override {
    const Executor run(rows);
    at::Tensor out = at::empty_like(rows);
    MOE_CUDA_STORAGE_TYPES(rows.scalar_type(), "expert bias", [&] {
      using T = scalar_t;
      run.for_each(rows.numel(), AddExpertBias<T>{rows.size(1), rows.const_data_ptr<T>(), bias.const_data_ptr<Sum<T>>(),
                                                  dispatch.row_of.template const_data_ptr<int64_t>(),
                                                  dispatch.experts.template const_data_ptr<int64_t>(),
                                                  out.template mutable_data_ptr<T>()});
    });
    return out;
  }

  at::Tensor sum_by_expert(const Dispatch& dispatch, const at::Tensor& rows) const override {
    const Executor run(rows);
    at::Tensor out = at::empty({dispatch.expert_count(), rows.size(1)}, rows.options().dtype(sum_type_of(rows)));
    MOE_CUDA_STORAGE_TYPES(rows.scalar_type(), "expert bias", [&] {
      using T = scalar_t;
      run.for_each(out.numel(), SumByExpert<T>{rows.size(1), rows.const_data_ptr<T>(),
                                               dispatch.offsets.template const_data_ptr<int64_t>(),
                                               out.template mutable_data_ptr<Sum<T>>()});
    });
    return out;
  }

 protected:
  // Zeroes rows[i] (all its elements) where used[i] < 0.
  static void clear_rows(const at::Tensor& used, at::Tensor& rows) {
    const Executor run(rows);
    MOE_CUDA_STORAGE_TYPES(rows.scalar_type(), "grouped product", [&] {
      run.for_each(rows.numel(),
                   ClearRows<scalar_t>{rows.numel() / std::max<int64_t>(1, rows.size(0)),
                                       used.const_data_ptr<int64_t>(), rows.template mutable_data_ptr<scalar_t>()});
    });
  }

 private:
  template <typename A>
  static GateSizes gate_sizes(const at::Tensor& logits, int64_t top_k, int64_t rows) {
    GateSizes sizes{logits.size(0), logits.size(1), top_k, 1};
    const auto fitting = static_cast<int64_t>(shared_limit / gate_token_bytes<A>(sizes, rows));
    sizes.tile = std::clamp<int64_t>(fitting, 1, gate_threads);
    return sizes;
  }

  // At most 256 chunks, which ScanTable walks in order; at least 256 pairs in each.
  static SortSizes sort_sizes(int64_t pairs, int64_t experts) {
    const int64_t chunk = std::max<int64_t>(256, divide_up(pairs, 256));
    return {pairs, experts, chunk, divide_up(pairs, chunk)};
  }

  static bool is_aligned(const at::Tensor& tensor, int64_t unit) {
    return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % static_cast<uintptr_t>(unit) == 0;
  }

  template <typename Word>
  static void gather_words(const Dispatch& dispatch, const at::Tensor& x, at::Tensor& out) {
    const Executor run(x);
    const int64_t words = x.size(1) * x.element_size() / static_cast<int64_t>(sizeof(Word));
    run.for_each(
        dispatch.rows() * words,
        GatherRows<Word>{dispatch.slots(), words, dispatch.row_of.const_data_ptr<int64_t>(),
                         static_cast<const Word*>(x.const_data_ptr()), static_cast<Word*>(out.mutable_data_ptr())});
  }

  template <typename T>
  static CombineArguments<T> combine_arguments(const Dispatch& dispatch, const at::Tensor& rows,
                                               const at::Tensor& gates, const at::Tensor& bias) {
    return {{dispatch.slots(), rows.size(1)},
            rows.const_data_ptr<T>(),
            data_or_null<Sum<T>>(gates),
            data_or_null<Sum<T>>(bias),
            dispatch.pos_of.const_data_ptr<int64_t>(),
            dispatch.experts.const_data_ptr<int64_t>()};
  }
};

}  // namespace moe::cuda
