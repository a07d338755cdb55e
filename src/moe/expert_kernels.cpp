#include "moe/expert_kernels.h"

#include <algorithm>

#include "base/simd.h"
#include "base/vector_math.h"

namespace moe {
namespace {

constexpr int64_t block = 512;  // columns at a time: the buffers of a block stay in the first-level cache

template <typename A>
MOE_INLINE A load(const A* from, int64_t i) {
  return from[i];
}

MOE_INLINE float load(const c10::BFloat16* from, int64_t i) {
  return widen_bf16(from[i].x);
}

template <typename A>
MOE_INLINE void store(A* to, int64_t i, A value) {
  to[i] = value;
}

MOE_INLINE void store(c10::BFloat16* to, int64_t i, float value) {
  to[i].x = narrow_bf16(value);
}

template <typename A>
struct Normal {
  A below;    // probability of a value below x
  A density;  // at x
};

// Abramowitz and Stegun 26.2.17, absolute error below 7.5e-8. The tail is computed, so that no digits cancel at x < 0.
MOE_INLINE Normal<float> normal(float x) {
  const float size = std::fabs(x);
  const float density = 0.398942280401432678f * exp_negative(-0.5f * size * size);
  const float t = 1.0f / (1.0f + 0.2316419f * size);
  float p = 1.330274429f;
  p = p * t - 1.821255978f;
  p = p * t + 1.781477937f;
  p = p * t - 0.356563782f;
  p = p * t + 0.319381530f;
  const float tail = density * p * t;
  return {x > 0.0f ? 1.0f - tail : tail, density};
}

MOE_INLINE Normal<double> normal(double x) {
  return {0.5 * std::erfc(-x * 0.707106781186547524), 0.398942280401432678 * std::exp(-0.5 * x * x)};
}

template <typename A>
MOE_INLINE A sigmoid(A x) {
  const A e = exp_negative(-std::fabs(x));
  const A inverse = 1 / (1 + e);
  return x < 0 ? e * inverse : inverse;
}

// act = f(x); not-a-number passes through relu too.
template <typename A>
MOE_INLINE void apply(FfnActivation f, const A* x, A* act, int64_t n) {
  switch (f) {
    case FfnActivation::relu:
      for (int64_t i = 0; i < n; ++i) act[i] = x[i] < 0 ? A(0) : x[i];
      return;
    case FfnActivation::gelu:
    case FfnActivation::geglu:
      for (int64_t i = 0; i < n; ++i) act[i] = x[i] * normal(x[i]).below;
      return;
    case FfnActivation::silu:
    case FfnActivation::swiglu:
      for (int64_t i = 0; i < n; ++i) act[i] = x[i] * sigmoid(x[i]);
  }
}

// The same with slope = f'(x).
template <typename A>
MOE_INLINE void apply(FfnActivation f, const A* x, A* act, A* slope, int64_t n) {
  switch (f) {
    case FfnActivation::relu:
      for (int64_t i = 0; i < n; ++i) act[i] = x[i] < 0 ? A(0) : x[i];
      for (int64_t i = 0; i < n; ++i) slope[i] = x[i] > 0 ? A(1) : A(0);
      return;
    case FfnActivation::gelu:
    case FfnActivation::geglu:
      for (int64_t i = 0; i < n; ++i) {
        const Normal<A> at = normal(x[i]);
        act[i] = x[i] * at.below;
        slope[i] = at.below + x[i] * at.density;
      }
      return;
    case FfnActivation::silu:
    case FfnActivation::swiglu:
      for (int64_t i = 0; i < n; ++i) {
        const A s = sigmoid(x[i]);
        act[i] = x[i] * s;
        slope[i] = s * (1 + x[i] * (1 - s));
      }
  }
}

template <typename T, typename A>
MOE_INLINE void load_block(const T* from, const A* bias, A* to, int64_t n) {
  if (bias) {
    for (int64_t i = 0; i < n; ++i) to[i] = load(from, i) + bias[i];
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = load(from, i);
  }
}

template <typename A>
MOE_INLINE const A* offset(const A* pointer, int64_t by) {
  return pointer ? pointer + by : nullptr;
}

template <typename T, typename A>
MOE_INLINE void combine_range(const CombineInputs<T, A>& in, T* out, int64_t begin, int64_t end) {
  A sum[block];
  for (int64_t token = begin; token < end; ++token) {
    for (int64_t start = 0, n = 0; start < in.dim; start += n) {
      n = std::min(block, in.dim - start);
      for (int64_t i = 0; i < n; ++i) sum[i] = 0;
      for (int64_t pair = token * in.slots; pair < (token + 1) * in.slots; ++pair) {
        if (in.pos_of[pair] < 0) continue;
        const A gate = in.gates ? in.gates[pair] : A(1);
        const T* row = in.rows + in.pos_of[pair] * in.dim + start;
        if (in.bias) {
          const A* bias = in.bias + in.experts[pair] * in.dim + start;
          for (int64_t i = 0; i < n; ++i) sum[i] += gate * (load(row, i) + bias[i]);
        } else {
          for (int64_t i = 0; i < n; ++i) sum[i] += gate * load(row, i);
        }
      }
      T* to = out + token * in.dim + start;
      for (int64_t i = 0; i < n; ++i) store(to, i, sum[i]);
    }
  }
}

template <typename T, typename A>
MOE_INLINE void activate_range(const ActivationRows<T, A>& in, T* out, int64_t begin, int64_t end) {
  const bool gated = is_gated(in.activation);
  A x[block], act[block], up[block];
  for (int64_t row = begin; row < end; ++row) {
    const T* hidden = in.hidden + row * in.width * (gated ? 2 : 1);
    for (int64_t start = 0, n = 0; start < in.width; start += n) {
      n = std::min(block, in.width - start);
      load_block(hidden + start, offset(in.bias, start), x, n);
      apply(in.activation, x, act, n);
      if (gated) {
        load_block(hidden + in.width + start, offset(in.bias, in.width + start), up, n);
        for (int64_t i = 0; i < n; ++i) act[i] *= up[i];
      }
      T* to = out + row * in.width + start;
      for (int64_t i = 0; i < n; ++i) store(to, i, act[i]);
    }
  }
}

// <dY[row], c>
template <typename T, typename A>
MOE_INLINE A bias_product(const ActivationGradient<T, A>& out, int64_t row) {
  A sum = 0, wide[block];
  if (!out.out_bias) return sum;
  for (int64_t start = 0, n = 0; start < out.dim; start += n) {
    n = std::min(block, out.dim - start);
    load_block(out.grad_out + row * out.dim + start, static_cast<const A*>(nullptr), wide, n);
    sum += dot_product(wide, out.out_bias + start, n);
  }
  return sum;
}

// One block of columns of a row; returns its part of <u, act>.
template <typename T, typename A>
MOE_INLINE A backward_block(const ActivationRows<T, A>& in, const T* hidden, int64_t start, int64_t n, A gate,
                            T* act_io, T* grad_hidden) {
  A x[block], act[block], slope[block], up[block], u[block];
  load_block(hidden + start, offset(in.bias, start), x, n);
  load_block(act_io + start, static_cast<const A*>(nullptr), u, n);
  apply(in.activation, x, act, slope, n);
  if (is_gated(in.activation)) {
    load_block(hidden + in.width + start, offset(in.bias, in.width + start), up, n);
    T* grad_up = grad_hidden + in.width + start;
    for (int64_t i = 0; i < n; ++i) store(grad_up, i, gate * u[i] * act[i]);
    for (int64_t i = 0; i < n; ++i) act[i] *= up[i];
    for (int64_t i = 0; i < n; ++i) slope[i] *= up[i];
  }
  for (int64_t i = 0; i < n; ++i) store(grad_hidden + start, i, gate * u[i] * slope[i]);
  for (int64_t i = 0; i < n; ++i) store(act_io + start, i, gate * act[i]);
  return dot_product(u, act, n);
}

template <typename T, typename A>
MOE_INLINE void backward_range(const ActivationRows<T, A>& in, const ActivationGradient<T, A>& out, int64_t begin,
                               int64_t end) {
  const int64_t stride = in.width * (is_gated(in.activation) ? 2 : 1);
  for (int64_t row = begin; row < end; ++row) {
    A sum = bias_product(out, row);
    for (int64_t start = 0, n = 0; start < in.width; start += n) {
      n = std::min(block, in.width - start);
      sum += backward_block(in, in.hidden + row * stride, start, n, out.gates[row], out.act + row * in.width,
                            out.hidden + row * stride);
    }
    out.grad_gates[row] = sum;
  }
}

// sum[i] += the weighted sum of four rows
template <typename T, typename A>
MOE_INLINE void add_four(const T* rows, int64_t stride, const A* weights, A* sum, int64_t n) {
  const A one[4] = {1, 1, 1, 1};
  const A* w = weights ? weights : one;
  const T *r0 = rows, *r1 = r0 + stride, *r2 = r1 + stride, *r3 = r2 + stride;
  for (int64_t i = 0; i < n; ++i) {
    sum[i] += (w[0] * load(r0, i) + w[1] * load(r1, i)) + (w[2] * load(r2, i) + w[3] * load(r3, i));
  }
}

// Rows are summed in groups of 64, then the groups: a long plain sum loses digits in float.
template <typename T, typename A>
MOE_INLINE void sum_range(const ColumnSums<T, A>& in, A* out, int64_t begin, int64_t end) {
  constexpr int64_t group = 64;
  A part[block];
  for (int64_t i = begin; i < end; ++i) out[i] = 0;
  for (int64_t first = 0; first < in.count; first += group) {
    const int64_t last = std::min(first + group, in.count);
    for (int64_t start = begin, n = 0; start < end; start += n) {
      n = std::min(block, end - start);
      for (int64_t i = 0; i < n; ++i) part[i] = 0;
      int64_t row = first;
      for (; row + 4 <= last; row += 4) {
        add_four(in.rows + row * in.stride + start, in.stride, offset(in.weights, row), part, n);
      }
      for (; row < last; ++row) {
        const T* from = in.rows + row * in.stride + start;
        const A weight = in.weights ? in.weights[row] : A(1);
        for (int64_t i = 0; i < n; ++i) part[i] += weight * load(from, i);
      }
      for (int64_t i = 0; i < n; ++i) out[start + i] += part[i];
    }
  }
}

}  // namespace

// Clones cannot be templates, hence one set a type.
#define MOE_EXPERT_KERNELS(T, A)                                                                                    \
  MOE_MULTIVERSION void combine_tokens(const CombineInputs<T, A>& in, T* out, int64_t begin, int64_t end) {         \
    combine_range(in, out, begin, end);                                                                             \
  }                                                                                                                 \
  MOE_MULTIVERSION void activate_rows(const ActivationRows<T, A>& in, T* out, int64_t begin, int64_t end) {         \
    activate_range(in, out, begin, end);                                                                            \
  }                                                                                                                 \
  MOE_MULTIVERSION void activate_rows_backward(const ActivationRows<T, A>& in, const ActivationGradient<T, A>& out, \
                                               int64_t begin, int64_t end) {                                        \
    backward_range(in, out, begin, end);                                                                            \
  }                                                                                                                 \
  MOE_MULTIVERSION void sum_columns(const ColumnSums<T, A>& in, A* out, int64_t begin, int64_t end) {               \
    sum_range(in, out, begin, end);                                                                                 \
  }
MOE_EXPERT_KERNELS(float, float)
MOE_EXPERT_KERNELS(double, double)
MOE_EXPERT_KERNELS(c10::BFloat16, float)

}  // namespace moe
