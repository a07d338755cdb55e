#include "nn/deformable_kernel.h"

#include <cmath>
#include <cstring>

#include "base/simd.h"

// Vectors are passed between inlined functions only, so their calling convention does not matter.
#pragma GCC diagnostic ignored "-Wpsabi"

#define MOE_INLINE inline __attribute__((always_inline))

namespace moe::nn {
namespace {

template <typename E, int N>
struct VectorOf {
  typedef E Type __attribute__((vector_size(N * sizeof(E))));
};

// N neighbouring channels in the accumulation type A, loaded from and stored as T.
template <typename A, int N>
struct Lanes {
  using Vector = typename VectorOf<A, N>::Type;
  Vector v;

  static MOE_INLINE Lanes zero() { return {Vector{}}; }

  static MOE_INLINE Lanes load(const A* from) {
    Lanes out;
    std::memcpy(&out.v, from, sizeof(out.v));
    return out;
  }

  static MOE_INLINE Lanes load(const c10::BFloat16* from) {  // a bfloat16 is the upper half of a float
    Lanes out;
    if constexpr (N == 1) {  // a vector of one half word is not a vector to the compiler
      out.v[0] = static_cast<A>(*from);
    } else {
      using Half = typename VectorOf<uint16_t, N>::Type;
      using Word = typename VectorOf<uint32_t, N>::Type;
      Half half;
      std::memcpy(&half, from, sizeof(half));
      const Word word = __builtin_convertvector(half, Word) << 16;
      std::memcpy(&out.v, &word, sizeof(word));
    }
    return out;
  }

  MOE_INLINE void store(A* to) const { std::memcpy(to, &v, sizeof(v)); }

  MOE_INLINE void store(c10::BFloat16* to) const {
    for (int i = 0; i < N; ++i) to[i] = c10::BFloat16(v[i]);
  }

  MOE_INLINE A sum() const {  // pairwise: lane i with lane i + N / 2, and so on
    A part[N];
    std::memcpy(part, &v, sizeof(v));
    for (int half = N / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) part[i] += part[i + half];
    }
    return part[0];
  }
};

// The four cells around a sample point. Offsets are in elements from the value row's first cell of the head; outside is
// -1.
template <typename A>
struct Corners {
  int64_t offset[4];  // (y0, x0), (y0, x1), (y1, x0), (y1, x1)
  A x, y;             // fractions within the cell
  A weight;           // attention weight
  bool any;           // some corner lies inside
};

template <typename A>
MOE_INLINE Corners<A> corners(const PointLevel& level, const A* location, A weight, int64_t stride) {
  Corners<A> c{{-1, -1, -1, -1}, 0, 0, weight, false};
  const A x = location[0] * static_cast<A>(level.width) - A(0.5);
  const A y = location[1] * static_cast<A>(level.height) - A(0.5);
  if (!(x > -1 && y > -1 && x < static_cast<A>(level.width) && y < static_cast<A>(level.height))) return c;
  const A floor_x = std::floor(x), floor_y = std::floor(y);
  const auto x0 = static_cast<int64_t>(floor_x), y0 = static_cast<int64_t>(floor_y);
  const int64_t first = (level.start + y0 * level.width + x0) * stride;
  const bool left = x0 >= 0, right = x0 + 1 < level.width, top = y0 >= 0, bottom = y0 + 1 < level.height;
  if (top && left) c.offset[0] = first;
  if (top && right) c.offset[1] = first + stride;
  if (bottom && left) c.offset[2] = first + level.width * stride;
  if (bottom && right) c.offset[3] = first + (level.width + 1) * stride;
  c.x = x - floor_x;
  c.y = y - floor_y;
  c.any = true;
  return c;
}

template <typename A>
MOE_INLINE void bilinear(const Corners<A>& c, A (&share)[4]) {
  share[0] = (1 - c.y) * (1 - c.x);
  share[1] = (1 - c.y) * c.x;
  share[2] = c.y * (1 - c.x);
  share[3] = c.y * c.x;
}

// Asks for the cache lines of one cell.
template <typename E>
MOE_INLINE void fetch(const E* row, int64_t dim) {
  constexpr int64_t line = 64 / sizeof(E);
  for (int64_t d = 0; d < dim; d += line) __builtin_prefetch(row + d);
}

// A corner with its factor, ready for the loop over channels.
template <typename T, typename A>
struct Tap {
  const T* row;
  A factor;
};

// Sums of one (query, head). Taps of all points are found first, so that their cache lines are on the way while others
// are used.
template <typename T, typename A, int N>
MOE_INLINE void forward_head(const DeformableSizes& sizes, const T* value, const A* locations, const A* weights, T* out,
                             Tap<T, A>* taps) {
  const int64_t stride = sizes.heads * sizes.dim;
  int64_t count = 0;
  for (size_t p = 0; p < sizes.points.size(); ++p) {
    const Corners<A> c = corners(sizes.points[p], locations + 2 * p, weights[p], stride);
    if (!c.any) continue;
    A share[4];
    bilinear(c, share);
    for (int k = 0; k < 4; ++k) {
      if (c.offset[k] < 0) continue;
      taps[count++] = {value + c.offset[k], share[k] * c.weight};
      fetch(value + c.offset[k], sizes.dim);
    }
  }
  for (int64_t d = 0; d < sizes.dim; d += N) {
    auto sum = Lanes<A, N>::zero();
    for (int64_t i = 0; i < count; ++i) sum.v += Lanes<A, N>::load(taps[i].row + d).v * taps[i].factor;
    sum.store(out + d);
  }
}

template <typename T, typename A, int N>
MOE_INLINE void forward_range(const DeformableSizes& sizes, const DeformableInputs<T, A>& in, T* out, int64_t begin,
                              int64_t end) {
  const auto points = static_cast<int64_t>(sizes.points.size());
  std::vector<Tap<T, A>> taps(static_cast<size_t>(4 * points));
  for (int64_t query = begin; query < end; ++query) {
    const T* row = in.value + in.rows[query / sizes.queries] * sizes.cells * sizes.heads * sizes.dim;
    for (int64_t head = 0; head < sizes.heads; ++head) {
      const int64_t index = query * sizes.heads + head;
      forward_head<T, A, N>(sizes, row + head * sizes.dim, in.locations + index * points * 2,
                            in.weights + index * points, out + index * sizes.dim, taps.data());
    }
  }
}

// One sample point: adds to the gradients of its cells, writes those of its location (x, y) and weight.
template <typename T, typename A, int N>
MOE_INLINE void backward_point(const DeformableSizes& sizes, const PointLevel& level, const Corners<A>& c,
                               const T* value, const T* grad_out, A* grad_value, A* grad_location, A* grad_weight) {
  A share[4], dot[4] = {0, 0, 0, 0};
  bilinear(c, share);
  for (int k = 0; k < 4; ++k) {
    if (c.offset[k] < 0) continue;
    const T* row = value + c.offset[k];
    A* grad_row = grad_value + c.offset[k];
    const A factor = share[k] * c.weight;
    auto products = Lanes<A, N>::zero();
    for (int64_t d = 0; d < sizes.dim; d += N) {
      const auto g = Lanes<A, N>::load(grad_out + d);
      products.v += g.v * Lanes<A, N>::load(row + d).v;
      auto into = Lanes<A, N>::load(grad_row + d);
      into.v += g.v * factor;
      into.store(grad_row + d);
    }
    dot[k] = products.sum();
  }
  *grad_weight = share[0] * dot[0] + share[1] * dot[1] + share[2] * dot[2] + share[3] * dot[3];
  const A slope_x = (1 - c.y) * (dot[1] - dot[0]) + c.y * (dot[3] - dot[2]);
  const A slope_y = (1 - c.x) * (dot[2] - dot[0]) + c.x * (dot[3] - dot[1]);
  grad_location[0] = slope_x * c.weight * static_cast<A>(level.width);
  grad_location[1] = slope_y * c.weight * static_cast<A>(level.height);
}

// One (query, head): corners of all points first, so that the cells' cache lines arrive while others are worked on.
template <typename T, typename A, int N>
MOE_INLINE void backward_query(const DeformableSizes& sizes, const DeformableInputs<T, A>& in, const T* grad_out,
                               const DeformableGradients<A>& grad, int64_t index, int64_t value_offset,
                               Corners<A>* found) {
  const auto points = static_cast<int64_t>(sizes.points.size());
  const T* value = in.value + value_offset;
  A* grad_value = grad.value + value_offset;
  const int64_t first = index * points;
  for (int64_t p = 0; p < points; ++p) {
    const PointLevel& level = sizes.points[static_cast<size_t>(p)];
    found[p] = corners(level, in.locations + 2 * (first + p), in.weights[first + p], sizes.heads * sizes.dim);
    for (const int64_t offset : found[p].offset) {
      if (offset < 0) continue;
      fetch(value + offset, sizes.dim);
      fetch(grad_value + offset, sizes.dim);
    }
  }
  for (int64_t p = 0; p < points; ++p) {
    A* grad_location = grad.locations + 2 * (first + p);
    A* grad_weight = grad.weights + first + p;
    *grad_weight = grad_location[0] = grad_location[1] = 0;
    if (!found[p].any) continue;
    backward_point<T, A, N>(sizes, sizes.points[static_cast<size_t>(p)], found[p], value, grad_out + index * sizes.dim,
                            grad_value, grad_location, grad_weight);
  }
}

template <typename T, typename A, int N>
MOE_INLINE void backward_head(const DeformableSizes& sizes, const DeformableInputs<T, A>& in, const T* grad_out,
                              const DeformableGradients<A>& grad, int64_t head, const std::vector<int64_t>& groups) {
  std::vector<Corners<A>> found(sizes.points.size());
  for (const int64_t group : groups) {
    const int64_t value_offset = (in.rows[group] * sizes.cells * sizes.heads + head) * sizes.dim;
    for (int64_t q = 0; q < sizes.queries; ++q) {
      const int64_t index = (group * sizes.queries + q) * sizes.heads + head;
      backward_query<T, A, N>(sizes, in, grad_out, grad, index, value_offset, found.data());
    }
  }
}

}  // namespace

// Clones cannot be templates, hence one pair a type. Widths that 16 does not divide take narrower vectors.
#define MOE_DEFORMABLE_KERNELS(T, A)                                                                               \
  MOE_MULTIVERSION void deformable_forward(const DeformableSizes& sizes, const DeformableInputs<T, A>& in, T* out, \
                                           int64_t begin, int64_t end) {                                           \
    if (sizes.dim % 16 == 0) return forward_range<T, A, 16>(sizes, in, out, begin, end);                           \
    if (sizes.dim % 4 == 0) return forward_range<T, A, 4>(sizes, in, out, begin, end);                             \
    return forward_range<T, A, 1>(sizes, in, out, begin, end);                                                     \
  }                                                                                                                \
  MOE_MULTIVERSION void deformable_backward(const DeformableSizes& sizes, const DeformableInputs<T, A>& in,        \
                                            const T* grad_out, const DeformableGradients<A>& grad, int64_t head,   \
                                            const std::vector<int64_t>& groups) {                                  \
    if (sizes.dim % 16 == 0) return backward_head<T, A, 16>(sizes, in, grad_out, grad, head, groups);              \
    if (sizes.dim % 4 == 0) return backward_head<T, A, 4>(sizes, in, grad_out, grad, head, groups);                \
    return backward_head<T, A, 1>(sizes, in, grad_out, grad, head, groups);                                        \
  }
MOE_DEFORMABLE_KERNELS(float, float)
MOE_DEFORMABLE_KERNELS(double, double)
MOE_DEFORMABLE_KERNELS(c10::BFloat16, float)

}  // namespace moe::nn
