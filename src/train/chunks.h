// Tensors cut into chunks of fixed size, so that elementwise work and partial sums do not depend on the number of
// threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace moe {

struct Chunk {
  size_t tensor = 0;
  int64_t begin = 0, end = 0;  // elements
};

constexpr int64_t kChunkElements = 16384;  // 64 KiB of fp32: a few arrays of it stay in the second-level cache

inline void append_chunks(std::vector<Chunk>& chunks, size_t tensor, int64_t elements) {
  for (int64_t begin = 0; begin < elements; begin += kChunkElements) {
    chunks.push_back({tensor, begin, std::min(begin + kChunkElements, elements)});
  }
}

// Calls work(index, chunk) for every chunk, in parallel. Allocates nothing.
template <typename Work>
void for_each_chunk(const std::vector<Chunk>& chunks, const Work& work) {
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 2, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work(static_cast<size_t>(i), chunks[static_cast<size_t>(i)]);
  });
}

}  // namespace moe
