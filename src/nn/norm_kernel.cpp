#include "nn/norm_kernel.h"

#include <cmath>

#include "base/simd.h"
#include "base/vector_math.h"

namespace moe::nn {
namespace {

MOE_INLINE float load(const float* from) {
  return *from;
}
MOE_INLINE double load(const double* from) {
  return *from;
}
MOE_INLINE float load(const c10::BFloat16* from) {
  return widen_bf16(from->x);
}
MOE_INLINE void store(float value, float* to) {
  *to = value;
}
MOE_INLINE void store(double value, double* to) {
  *to = value;
}
MOE_INLINE void store(float value, c10::BFloat16* to) {
  to->x = narrow_bf16(value);
}

template <typename A>
MOE_INLINE A sigmoid(A z) {
  const A e = exp_negative(z < 0 ? z : -z);
  return (z < 0 ? e : A(1)) / (1 + e);
}

// Comparisons are such that not-a-number passes.
template <Activation activation, typename A>
MOE_INLINE A activated(A z) {
  if constexpr (activation == Activation::relu) return z < 0 ? A(0) : z;
  if constexpr (activation == Activation::silu) return z * sigmoid(z);
  return z;
}

template <Activation activation, typename A>
MOE_INLINE A through(A dy, A z) {
  if constexpr (activation == Activation::relu) return z <= 0 ? A(0) : dy;
  if constexpr (activation == Activation::silu) {
    const A s = sigmoid(z);
    return dy * s * (1 + z * (1 - s));
  }
  return dy;
}

// What is added up before the activation, at compile time.
enum class Sum { one, one_and_residual, two };

template <Sum sum, typename T, typename A>
MOE_INLINE A before_activation(const NormRows<T, A>& in, int64_t at, int64_t c) {
  A z = load(in.x[0] + at + c) * in.scale[0][c] + in.shift[c];
  if constexpr (sum == Sum::two) z += load(in.x[1] + at + c) * in.scale[1][c];
  if constexpr (sum == Sum::one_and_residual) z += load(in.residual + at + c);
  return z;
}

template <typename T, typename A>
MOE_INLINE void moments(const T* x, int64_t channels, int64_t begin, int64_t end, A* __restrict mean,
                        A* __restrict squares) {
  std::fill_n(mean, channels, A(0));
  std::fill_n(squares, channels, A(0));
  for (int64_t row = begin; row < end; ++row) {
    const T* from = x + row * channels;
    for (int64_t c = 0; c < channels; ++c) mean[c] += load(from + c);
  }
  const A share = A(1) / static_cast<A>(end - begin);
  for (int64_t c = 0; c < channels; ++c) mean[c] *= share;
  for (int64_t row = begin; row < end; ++row) {
    const T* from = x + row * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const A off = load(from + c) - mean[c];
      squares[c] += off * off;
    }
  }
}

template <Activation activation, Sum sum, typename T, typename A>
MOE_INLINE void apply(const NormRows<T, A>& rows, int64_t begin, int64_t end, T* __restrict y) {
  const NormRows<T, A> in = rows;
  for (int64_t at = begin * in.channels; at < end * in.channels; at += in.channels) {
    for (int64_t c = 0; c < in.channels; ++c) {
      store(activated<activation>(before_activation<sum>(in, at, c)), y + at + c);
    }
  }
}

template <Activation activation, Sum sum, typename T, typename A>
MOE_INLINE void sums_of(const NormRows<T, A>& rows, const A* mean, const A* other_mean, const T* dy, int64_t begin,
                        int64_t end, A* __restrict plain, A* __restrict first, A* __restrict second) {
  const NormRows<T, A> in = rows;
  for (int64_t at = begin * in.channels; at < end * in.channels; at += in.channels) {
    for (int64_t c = 0; c < in.channels; ++c) {
      const A g = through<activation>(load(dy + at + c), before_activation<sum>(in, at, c));
      plain[c] += g;
      first[c] += g * (load(in.x[0] + at + c) - mean[c]);
      if constexpr (sum == Sum::two) second[c] += g * (load(in.x[1] + at + c) - other_mean[c]);
    }
  }
}

template <Activation activation, Sum sum, typename T, typename A>
MOE_INLINE void gradient(const NormRows<T, A>& rows, const T* dy, int64_t begin, int64_t end,
                         const NormGradient<T, A>& all) {
  const NormRows<T, A> in = rows;
  const A *slope = all.slope[0], *offset = all.offset[0], *slope2 = all.slope[1], *offset2 = all.offset[1];
  T *__restrict dx = all.dx[0], *__restrict dx2 = all.dx[1], *__restrict residual = all.residual;
  for (int64_t at = begin * in.channels; at < end * in.channels; at += in.channels) {
    for (int64_t c = 0; c < in.channels; ++c) {
      const A g = through<activation>(load(dy + at + c), before_activation<sum>(in, at, c));
      store(in.scale[0][c] * g + slope[c] * load(in.x[0] + at + c) + offset[c], dx + at + c);
      if constexpr (sum == Sum::one_and_residual) store(g, residual + at + c);
      if constexpr (sum == Sum::two) {
        store(in.scale[1][c] * g + slope2[c] * load(in.x[1] + at + c) + offset2[c], dx2 + at + c);
      }
    }
  }
}

// Calls body with activation and sum as types.
template <Activation a, Sum s>
struct Kind {
  static constexpr Activation activation = a;
  static constexpr Sum sum = s;
};

template <Activation activation, typename T, typename A, typename Body>
MOE_INLINE void dispatch_sum(const NormRows<T, A>& in, Body body) {
  if (in.x[1]) return body(Kind<activation, Sum::two>{});
  if (in.residual) return body(Kind<activation, Sum::one_and_residual>{});
  return body(Kind<activation, Sum::one>{});
}

template <typename T, typename A, typename Body>
MOE_INLINE void dispatch(const NormRows<T, A>& in, Body body) {
  if (in.activation == Activation::relu) return dispatch_sum<Activation::relu>(in, body);
  if (in.activation == Activation::silu) return dispatch_sum<Activation::silu>(in, body);
  return dispatch_sum<Activation::none>(in, body);
}

// Clones cannot be templates, hence one set a type. A lambda is compiled for the clone only when it is inlined there.
#define MOE_NORM_KERNELS(T, A)                                                                                      \
  MOE_MULTIVERSION void moments_of(const T* x, int64_t channels, int64_t begin, int64_t end, A* mean, A* squares) { \
    moments(x, channels, begin, end, mean, squares);                                                                \
  }                                                                                                                 \
  MOE_MULTIVERSION void apply_to(const NormRows<T, A>& in, int64_t begin, int64_t end, T* y) {                      \
    dispatch(in, [&](auto kind) __attribute__((always_inline)) {                                                    \
      apply<kind.activation, kind.sum>(in, begin, end, y);                                                          \
    });                                                                                                             \
  }                                                                                                                 \
  MOE_MULTIVERSION void add_sums(const NormRows<T, A>& in, const A* const(&mean)[2], const T* dy, int64_t begin,    \
                                 int64_t end, A* sums) {                                                            \
    dispatch(in, [&](auto kind) __attribute__((always_inline)) {                                                    \
      sums_of<kind.activation, kind.sum>(in, mean[0], mean[1], dy, begin, end, sums, sums + in.channels,            \
                                         sums + 2 * in.channels);                                                   \
    });                                                                                                             \
  }                                                                                                                 \
  MOE_MULTIVERSION void gradient_of(const NormRows<T, A>& in, const T* dy, int64_t begin, int64_t end,              \
                                    const NormGradient<T, A>& out) {                                                \
    dispatch(in, [&](auto kind) __attribute__((always_inline)) {                                                    \
      gradient<kind.activation, kind.sum>(in, dy, begin, end, out);                                                 \
    });                                                                                                             \
  }
MOE_NORM_KERNELS(float, float)
MOE_NORM_KERNELS(double, double)
MOE_NORM_KERNELS(c10::BFloat16, float)

}  // namespace

template <typename T, typename A>
void norm_moments(const T* x, int64_t channels, int64_t begin, int64_t end, A* mean, A* squares) {
  moments_of(x, channels, begin, end, mean, squares);
}

template <typename T, typename A>
void norm_apply(const NormRows<T, A>& in, int64_t begin, int64_t end, T* y) {
  apply_to(in, begin, end, y);
}

template <typename T, typename A>
void norm_sums(const NormRows<T, A>& in, const A* const (&mean)[2], const T* dy, int64_t begin, int64_t end, A* sums) {
  std::fill_n(sums, (in.x[1] ? 3 : 2) * in.channels, A(0));
  add_sums(in, mean, dy, begin, end, sums);
}

template <typename T, typename A>
void norm_gradient(const NormRows<T, A>& in, const T* dy, int64_t begin, int64_t end, const NormGradient<T, A>& out) {
  gradient_of(in, dy, begin, end, out);
}

#define MOE_INSTANTIATE(T, A)                                                                                    \
  template void norm_moments<T, A>(const T*, int64_t, int64_t, int64_t, A*, A*);                                 \
  template void norm_apply<T, A>(const NormRows<T, A>&, int64_t, int64_t, T*);                                   \
  template void norm_sums<T, A>(const NormRows<T, A>&, const A* const (&)[2], const T*, int64_t, int64_t, A*);   \
  template void norm_gradient<T, A>(const NormRows<T, A>&, const T*, int64_t, int64_t, const NormGradient<T, A>&);
MOE_INSTANTIATE(float, float)
MOE_INSTANTIATE(double, double)
MOE_INSTANTIATE(c10::BFloat16, float)

}  // namespace moe::nn
