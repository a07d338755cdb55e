// Stable counting sort of (token, slot) pairs by expert, with the result of moe::sort_by_expert: a table of counts by
// chunk of pairs and expert, its scan, and the rows. One thread owns a (chunk, expert) pair and walks the chunk;
// threads of a warp read the same pair, so that this costs one read a warp. No atomics.
#pragma once

#include "cuda/host_device.h"

namespace moe::cuda {

struct SortSizes {
  int64_t pairs, experts;  // T * k, E
  int64_t chunk, chunks;   // pairs of a chunk; chunks
};

// Calls body(pair) for the pairs of a chunk that chose the expert, in their order.
template <typename Body>
MOE_HD void for_pairs_of(const SortSizes& sizes, const int64_t* expert_of, int64_t chunk, int64_t expert, Body body) {
  const int64_t end = smaller((chunk + 1) * sizes.chunk, sizes.pairs);
  for (int64_t pair = chunk * sizes.chunk; pair < end; ++pair) {
    if (expert_of[pair] == expert) body(pair);
  }
}

// For each of chunks * E.
struct CountPairs {
  SortSizes sizes;
  const int64_t* expert_of;  // [T * k]; outside 0..E-1: dropped
  int64_t* table;            // [chunks, E]

  MOE_HD void operator()(int64_t i) const {
    int64_t count = 0;
    for_pairs_of(sizes, expert_of, i / sizes.experts, i % sizes.experts, [&](int64_t) { ++count; });
    table[i] = count;
  }
};

// One block: counts and offsets of the experts; the table becomes the row of a chunk's first pair of an expert.
struct ScanTable {
  SortSizes sizes;
  int64_t* table;    // [chunks, E]
  int64_t* counts;   // [E]
  int64_t* offsets;  // [E + 1]

  static constexpr int threads = 256;
  struct State {};

  size_t shared_bytes() const { return 0; }
  MOE_HD int64_t phases() const { return 3; }

  MOE_HD void phase(int64_t phase, int64_t, int thread, State&, unsigned char*) const {
    if (phase == 1) {
      if (thread == 0) scan_counts();
      return;
    }
    for (int64_t expert = thread; expert < sizes.experts; expert += threads) {
      int64_t next = phase == 0 ? 0 : offsets[expert];
      for (int64_t chunk = 0; chunk < sizes.chunks; ++chunk) {
        int64_t& entry = table[chunk * sizes.experts + expert];
        const int64_t count = entry;
        if (phase == 2) entry = next;
        next += count;
      }
      if (phase == 0) counts[expert] = next;
    }
  }

 private:
  MOE_HD void scan_counts() const {
    int64_t first = 0;
    for (int64_t expert = 0; expert < sizes.experts; ++expert) {
      offsets[expert] = first;
      first += counts[expert];
    }
    offsets[sizes.experts] = first;
  }
};

// For each of chunks * E.
struct PlacePairs {
  SortSizes sizes;
  const int64_t* expert_of;  // [T * k]
  const int64_t* table;      // [chunks, E] as ScanTable leaves it
  int64_t* row_of;           // [R], -1 before
  int64_t* pos_of;           // [T * k], -1 before

  MOE_HD void operator()(int64_t i) const {
    int64_t row = table[i];
    for_pairs_of(sizes, expert_of, i / sizes.experts, i % sizes.experts, [&](int64_t pair) {
      pos_of[pair] = row;
      row_of[row++] = pair;
    });
  }
};

}  // namespace moe::cuda
