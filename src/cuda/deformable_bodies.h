// Multi-scale deformable attention, forward and backward: one thread an output channel, as in Deformable DETR's own
// kernels (Zhu et al. 2021). The gradient of the values has no atomics: the four cells of every sample point become
// (cell, factor) taps, sorted by cell outside, and each cell sums its taps in the order of the points. Arithmetic in
// Sum<T>. nn/deformable_attention.h defines the result.
#pragma once

#include "cuda/host_device.h"

namespace moe::cuda {

constexpr int most_levels = 8;

struct LevelTable {
  struct Level {
    int32_t height, width;
    int32_t start;   // first row of the level in the flattened values
    int32_t points;  // sample points of a head on it
  };
  Level level[most_levels];
  int32_t count;
};

struct DeformableSizes {
  int64_t groups, queries, heads, points, dim;  // G, Q, M, P, D
  int64_t value_rows, cells;                    // Bv, S
  LevelTable levels;

  MOE_HD int64_t samples() const { return groups * queries * heads * points; }
  MOE_HD int64_t keys() const { return value_rows * cells * heads; }  // cells of all heads; also: no cell
};

template <typename T>
struct DeformableInputs {
  DeformableSizes sizes;
  const T* value;           // [Bv, S, M, D]
  const Sum<T>* locations;  // [G, Q, M, P, 2] (x, y) in 0..1
  const Sum<T>* weights;    // [G, Q, M, P]
  const int64_t* rows;      // [G] value row of a group
};

// The four cells around a sample point, as keys (row * S + cell) * M + head; -1 outside.
template <typename A>
struct Sample {
  int64_t key[4] = {-1, -1, -1, -1};  // (y0, x0), (y0, x1), (y1, x0), (y1, x1)
  A share[4] = {0, 0, 0, 0};          // bilinear
  A x = 0, y = 0;                     // fractions within the cell
  bool inside = false;                // some corner may lie inside

  MOE_HD Sample(const LevelTable::Level& level, const A* location, int64_t heads, int64_t row_and_head) {
    const A at_x = location[0] * static_cast<A>(level.width) - A(0.5);
    const A at_y = location[1] * static_cast<A>(level.height) - A(0.5);
    // written so that NaN lies outside
    inside = at_x > -1 && at_y > -1 && at_x < static_cast<A>(level.width) && at_y < static_cast<A>(level.height);
    if (!inside) return;
    const A floor_x = std::floor(at_x), floor_y = std::floor(at_y);
    x = at_x - floor_x;
    y = at_y - floor_y;
    const auto x0 = static_cast<int64_t>(floor_x), y0 = static_cast<int64_t>(floor_y);
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t cell_x = x0 + corner % 2, cell_y = y0 + corner / 2;
      share[corner] = (corner / 2 == 0 ? 1 - y : y) * (corner % 2 == 0 ? 1 - x : x);
      if (cell_x < 0 || cell_y < 0 || cell_x >= level.width || cell_y >= level.height) continue;
      key[corner] = row_and_head + (level.start + cell_y * level.width + cell_x) * heads;
    }
  }
};

// Key of a head's cell 0 in the value row that a (group, query, head) reads.
MOE_HD int64_t first_key(const DeformableSizes& sizes, const int64_t* rows, int64_t query_head) {
  const int64_t group = query_head / (sizes.heads * sizes.queries);
  return rows[group] * sizes.cells * sizes.heads + query_head % sizes.heads;
}

MOE_HD const LevelTable::Level& level_of(const LevelTable& table, int64_t point) {
  int level = 0;
  for (; level + 1 < table.count && point >= table.level[level].points; ++level) point -= table.level[level].points;
  return table.level[level];
}

// For each of G * Q * M * D.
template <typename T>
struct DeformableForward {
  DeformableInputs<T> in;
  T* out;  // [G, Q, M * D]

  MOE_HD void operator()(int64_t i) const {
    const DeformableSizes& sizes = in.sizes;
    const int64_t query_head = i / sizes.dim, d = i % sizes.dim;
    const int64_t head_key = first_key(sizes, in.rows, query_head);
    int64_t point = query_head * sizes.points;
    Sum<T> sum = 0;
    for (int level = 0; level < sizes.levels.count; ++level) {
      for (int p = 0; p < sizes.levels.level[level].points; ++p, ++point) {
        const Sample<Sum<T>> sample(sizes.levels.level[level], in.locations + 2 * point, sizes.heads, head_key);
        for (int corner = 0; corner < 4; ++corner) {
          if (sample.key[corner] < 0) continue;
          sum += static_cast<Sum<T>>(in.value[sample.key[corner] * sizes.dim + d]) *
                 (sample.share[corner] * in.weights[point]);
        }
      }
    }
    out[i] = static_cast<T>(sum);
  }
};

// For each of G * Q * M * P: its four taps.
template <typename T>
struct DeformableTaps {
  DeformableInputs<T> in;
  int64_t* keys;    // [samples, 4]; keys(): no cell
  Sum<T>* factors;  // [samples, 4] bilinear share * weight

  MOE_HD void operator()(int64_t i) const {
    const DeformableSizes& sizes = in.sizes;
    const int64_t query_head = i / sizes.points;
    const Sample<Sum<T>> sample(level_of(sizes.levels, i % sizes.points), in.locations + 2 * i, sizes.heads,
                                first_key(sizes, in.rows, query_head));
    for (int corner = 0; corner < 4; ++corner) {
      keys[4 * i + corner] = sample.key[corner] < 0 ? sizes.keys() : sample.key[corner];
      factors[4 * i + corner] = sample.share[corner] * in.weights[i];
    }
  }
};

// For each of 4 * samples * D: the first tap of a cell, in the order of the sorted keys, sums all of them.
template <typename T>
struct DeformableValueGradient {
  DeformableSizes sizes;
  const int64_t* sorted;  // [4 * samples] rising keys
  const int64_t* order;   // [4 * samples] tap of a sorted key; taps of a cell rise
  const Sum<T>* factors;  // [4 * samples]
  const T* grad_out;      // [G, Q, M * D]
  T* grad_value;          // [Bv, S, M, D], 0 before

  MOE_HD void operator()(int64_t i) const {
    const int64_t first = i / sizes.dim, d = i % sizes.dim;
    const int64_t key = sorted[first];
    if (key == sizes.keys() || (first > 0 && sorted[first - 1] == key)) return;
    Sum<T> sum = 0;
    for (int64_t j = first; j < 4 * sizes.samples() && sorted[j] == key; ++j) {
      const int64_t query_head = order[j] / 4 / sizes.points;
      sum += factors[order[j]] * static_cast<Sum<T>>(grad_out[query_head * sizes.dim + d]);
    }
    grad_value[key * sizes.dim + d] = static_cast<T>(sum);
  }
};

// For each of G * Q * M * P: gradients of the point's location and weight, from its corners' products with the
// gradient of the output.
template <typename T>
struct DeformablePointGradient {
  DeformableInputs<T> in;
  const T* grad_out;       // [G, Q, M * D]
  Sum<T>* grad_locations;  // [G, Q, M, P, 2]
  Sum<T>* grad_weights;    // [G, Q, M, P]

  MOE_HD void operator()(int64_t i) const {
    using A = Sum<T>;
    const int64_t query_head = i / in.sizes.points;
    const LevelTable::Level& level = level_of(in.sizes.levels, i % in.sizes.points);
    const Sample<A> s(level, in.locations + 2 * i, in.sizes.heads, first_key(in.sizes, in.rows, query_head));
    A dot[4] = {0, 0, 0, 0};
    for (int corner = 0; corner < 4; ++corner) {
      if (s.key[corner] >= 0) dot[corner] = product(s.key[corner], query_head);
    }
    grad_weights[i] = s.share[0] * dot[0] + s.share[1] * dot[1] + s.share[2] * dot[2] + s.share[3] * dot[3];
    const A slope_x = (1 - s.y) * (dot[1] - dot[0]) + s.y * (dot[3] - dot[2]);
    const A slope_y = (1 - s.x) * (dot[2] - dot[0]) + s.x * (dot[3] - dot[1]);
    grad_locations[2 * i] = s.inside ? slope_x * in.weights[i] * static_cast<A>(level.width) : A(0);
    grad_locations[2 * i + 1] = s.inside ? slope_y * in.weights[i] * static_cast<A>(level.height) : A(0);
  }

 private:
  MOE_HD Sum<T> product(int64_t key, int64_t query_head) const {
    const T* value = in.value + key * in.sizes.dim;
    const T* grad = grad_out + query_head * in.sizes.dim;
    Sum<T> sum = 0;
    for (int64_t d = 0; d < in.sizes.dim; ++d) sum += static_cast<Sum<T>>(grad[d]) * static_cast<Sum<T>>(value[d]);
    return sum;
  }
};

}  // namespace moe::cuda
