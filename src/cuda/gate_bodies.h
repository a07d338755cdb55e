// The gate of a mixture layer, forward and backward: softmax over the experts, the k best of a token, their weights.
// A block works on a tile of tokens: it loads their rows together into shared memory, each thread does one token there
// in the order of its experts, and the block stores the rows together. Ties go to the lowest expert; a token with a NaN
// logit gets NaN weights and so reaches the loss. No bias, noise, groups or capacity (moe/router.h has them).
#pragma once

#include "cuda/host_device.h"

namespace moe::cuda {

// As moe::RouterGate: the weight of a chosen expert is its probability, that over the sum of the chosen, or the softmax
// over the chosen logits.
enum class GateKind : int { raw, renormalized, softmax };

struct GateSizes {
  int64_t tokens, experts, slots;  // T, E, k
  int64_t tile;                    // tokens of a block, at most its threads
};

constexpr int gate_threads = 128;

// Shared memory of one token: `rows` rows of E numbers, spread over the banks, and k indices.
template <typename A>
MOE_HD int64_t gate_stride(int64_t experts, int64_t rows) {
  return (experts * rows) | 1;
}

template <typename A>
size_t gate_token_bytes(const GateSizes& sizes, int64_t rows) {
  return static_cast<size_t>(gate_stride<A>(sizes.experts, rows)) * sizeof(A) +
         static_cast<size_t>(sizes.slots) * sizeof(int32_t);
}

// The shared memory of a tile: first all rows, then all indices.
template <typename A>
struct GateTile {
  A* row;         // of this thread's token
  int32_t* best;  // [k]

  MOE_HD GateTile(const GateSizes& sizes, int64_t rows, int64_t token, unsigned char* shared) {
    const int64_t stride = gate_stride<A>(sizes.experts, rows);
    A* all = reinterpret_cast<A*>(shared);
    row = all + token * stride;
    best = reinterpret_cast<int32_t*>(all + sizes.tile * stride) + token * sizes.slots;
  }
};

template <typename A>
struct GateForward {
  GateSizes sizes;
  GateKind kind;
  A scale;            // factor on the weights
  const A* logits;    // [T, E]
  const bool* valid;  // [T], or null: all
  A* probabilities;   // [T, E] 0 where padded
  int64_t* chosen;    // [T, k] best first, -1 where padded
  A* weights;         // [T, k] 0 where padded

  static constexpr int threads = gate_threads;
  struct State {};

  size_t shared_bytes() const { return static_cast<size_t>(sizes.tile) * gate_token_bytes<A>(sizes, 1); }
  MOE_HD int64_t phases() const { return 3; }

  MOE_HD void phase(int64_t phase, int64_t block, int thread, State&, unsigned char* shared) const {
    const int64_t first = block * sizes.tile;
    const int64_t count = smaller(sizes.tile, sizes.tokens - first);
    if (phase == 1) {
      if (thread < count) choose(first + thread, GateTile<A>(sizes, 1, thread, shared));
      return;
    }
    for (int64_t i = thread; i < count * sizes.experts; i += threads) {
      A& cell = GateTile<A>(sizes, 1, i / sizes.experts, shared).row[i % sizes.experts];
      if (phase == 0) cell = logits[first * sizes.experts + i];
      if (phase == 2) probabilities[first * sizes.experts + i] = cell;
    }
  }

 private:
  MOE_HD void choose(int64_t token, const GateTile<A>& tile) const {
    if (valid != nullptr && !valid[token]) {
      for (int64_t e = 0; e < sizes.experts; ++e) tile.row[e] = 0;
      for (int64_t j = 0; j < sizes.slots; ++j)
        chosen[token * sizes.slots + j] = -1, weights[token * sizes.slots + j] = 0;
      return;
    }
    find_best(tile);
    for (int64_t j = 0; j < sizes.slots; ++j) chosen[token * sizes.slots + j] = tile.best[j];
    A* weight = weights + token * sizes.slots;
    if (kind == GateKind::softmax) weigh_logits(tile, weight);
    softmax(tile.row);
    if (kind != GateKind::softmax) weigh_probabilities(tile, weight);
  }

  MOE_HD void find_best(const GateTile<A>& tile) const {
    int64_t filled = 0;
    for (int64_t e = 0; e < sizes.experts; ++e) {
      if (filled == sizes.slots && !(tile.row[e] > tile.row[tile.best[filled - 1]])) continue;
      int64_t slot = filled < sizes.slots ? filled++ : filled - 1;
      for (; slot > 0 && tile.row[e] > tile.row[tile.best[slot - 1]]; --slot) tile.best[slot] = tile.best[slot - 1];
      tile.best[slot] = static_cast<int32_t>(e);
    }
  }

  // NaN stays NaN: it is never the maximum, and the sum of the row holds it.
  MOE_HD void softmax(A* row) const {
    A highest = row[0], sum = 0;
    for (int64_t e = 1; e < sizes.experts; ++e) highest = row[e] > highest ? row[e] : highest;
    for (int64_t e = 0; e < sizes.experts; ++e) sum += row[e] = std::exp(row[e] - highest);
    for (int64_t e = 0; e < sizes.experts; ++e) row[e] /= sum;
  }

  MOE_HD void weigh_logits(const GateTile<A>& tile, A* weight) const {
    A sum = 0;
    for (int64_t j = 0; j < sizes.slots; ++j)
      sum += weight[j] = std::exp(tile.row[tile.best[j]] - tile.row[tile.best[0]]);
    for (int64_t j = 0; j < sizes.slots; ++j) weight[j] *= scale / sum;
  }

  MOE_HD void weigh_probabilities(const GateTile<A>& tile, A* weight) const {
    A sum = kind == GateKind::raw ? A(1) : A(1e-20);
    for (int64_t j = 0; j < sizes.slots; ++j) {
      weight[j] = tile.row[tile.best[j]];
      if (kind == GateKind::renormalized) sum += weight[j];
    }
    for (int64_t j = 0; j < sizes.slots; ++j) weight[j] *= scale / sum;
  }
};

template <typename A>
struct GateBackward {
  GateSizes sizes;
  GateKind kind;
  A scale;
  const A* probabilities;       // [T, E] as forward gave them
  const int64_t* chosen;        // [T, k]
  const A* weights;             // [T, k]
  const A* grad_probabilities;  // [T, E], or null: 0
  const A* grad_weights;        // [T, k], or null: 0
  A* grad_logits;               // [T, E]

  static constexpr int threads = gate_threads;
  struct State {};

  size_t shared_bytes() const { return static_cast<size_t>(sizes.tile) * gate_token_bytes<A>(sizes, 2); }
  MOE_HD int64_t phases() const { return 3; }

  // A row holds the probabilities, then their gradients, which become those of the logits.
  MOE_HD void phase(int64_t phase, int64_t block, int thread, State&, unsigned char* shared) const {
    const int64_t first = block * sizes.tile;
    const int64_t count = smaller(sizes.tile, sizes.tokens - first);
    if (phase == 1) {
      if (thread < count) differentiate(first + thread, GateTile<A>(sizes, 2, thread, shared).row);
      return;
    }
    for (int64_t i = thread; i < count * sizes.experts; i += threads) {
      A* cell = GateTile<A>(sizes, 2, i / sizes.experts, shared).row + i % sizes.experts;
      const int64_t from = first * sizes.experts + i;
      if (phase == 2) grad_logits[from] = cell[sizes.experts];
      if (phase != 0) continue;
      cell[0] = probabilities[from];
      cell[sizes.experts] = grad_probabilities != nullptr ? grad_probabilities[from] : A(0);
    }
  }

 private:
  MOE_HD void differentiate(int64_t token, A* p) const {
    A* grad = p + sizes.experts;
    const int64_t* expert = chosen + token * sizes.slots;
    const bool weighted = grad_weights != nullptr && expert[0] >= 0;
    if (weighted && kind != GateKind::softmax) add_weights(token, p, grad);
    A dot = 0;
    for (int64_t e = 0; e < sizes.experts; ++e) dot += p[e] * grad[e];
    for (int64_t e = 0; e < sizes.experts; ++e) grad[e] = p[e] * (grad[e] - dot);
    if (weighted && kind == GateKind::softmax) add_logit_weights(token, grad);
  }

  // w_j = scale * p_j / S with S = sum of the chosen p; raw: S = 1.
  MOE_HD void add_weights(int64_t token, const A* p, A* grad) const {
    const int64_t* expert = chosen + token * sizes.slots;
    const A* grad_weight = grad_weights + token * sizes.slots;
    A sum = kind == GateKind::raw ? A(1) : A(1e-20), dot = 0;
    if (kind == GateKind::renormalized) {
      for (int64_t j = 0; j < sizes.slots; ++j) sum += p[expert[j]], dot += grad_weight[j] * p[expert[j]];
      dot /= sum;
    }
    for (int64_t j = 0; j < sizes.slots; ++j) grad[expert[j]] += scale / sum * (grad_weight[j] - dot);
  }

  // w = scale * softmax over the chosen logits: straight to the logits.
  MOE_HD void add_logit_weights(int64_t token, A* grad) const {
    const A* weight = weights + token * sizes.slots;
    const A* grad_weight = grad_weights + token * sizes.slots;
    A dot = 0;
    for (int64_t j = 0; j < sizes.slots; ++j) dot += grad_weight[j] * weight[j];
    dot /= scale;
    for (int64_t j = 0; j < sizes.slots; ++j)
      grad[chosen[token * sizes.slots + j]] += weight[j] * (grad_weight[j] - dot);
  }
};

}  // namespace moe::cuda
