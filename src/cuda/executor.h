// Runs kernel bodies on the CPU as a GPU would: the ordinary tests check with it what libmoe_cuda.so runs. Slow, and
// not meant for training. device/stream_executor.h is the same interface on a CUDA stream.
//
// An element body is called once for every index of a range, in any order:
//   void operator()(int64_t index) const;
// A block body is called in phases. Between two phases lies a barrier for all threads of the block; within one, no
// thread may read what another writes. Nothing else orders threads, and blocks are independent:
//   static constexpr int threads;           // of a block
//   struct State;                           // what a thread keeps from phase to phase (its registers)
//   size_t shared_bytes() const;            // shared memory of a block, at most shared_limit, not initialised
//   int64_t phases() const;
//   void phase(int64_t phase, int64_t block, int thread, State& state, unsigned char* shared) const;
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace moe::cuda {

// The order of indices and of threads within a phase. A body whose result depends on it has a race.
enum class Order { rising, falling };

template <Order order>
class HostExecutor {
 public:
  explicit HostExecutor(const at::Tensor&) {}

  template <typename Body>
  void for_each(int64_t count, const Body& body) const {
    at::parallel_for(0, count, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(order == Order::rising ? i : count - 1 - i);
    });
  }

  template <typename Body>
  void for_blocks(int64_t blocks, const Body& body) const {
    at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) run_block(block, body);
    });
  }

 private:
  template <typename Body>
  static void run_block(int64_t block, const Body& body) {
    std::vector<double> shared(body.shared_bytes() / sizeof(double) + 1, -1e300);  // a read before a write shows
    std::vector<typename Body::State> states(Body::threads);
    for (int64_t phase = 0; phase < body.phases(); ++phase) {
      for (int i = 0; i < Body::threads; ++i) {
        const int thread = order == Order::rising ? i : Body::threads - 1 - i;
        body.phase(phase, block, thread, states[static_cast<size_t>(thread)],
                   reinterpret_cast<unsigned char*>(shared.data()));
      }
    }
  }
};

}  // namespace moe::cuda
