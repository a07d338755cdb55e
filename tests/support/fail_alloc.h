// Counts allocations and fails a chosen one: operator new of the whole process, LibTorch included, and the memory of
// CPU tensors. Link fail_alloc.cpp into the test. Counting is over all threads. Not seen: malloc called directly
// (oneDNN's scratch memory).
#pragma once

#include <cstdint>

namespace fail_alloc {

enum Kind : unsigned { tensors = 1, operator_new = 2, everything = 3 };

// Starts counting the allocations of `kind` at 0. The `nth` of them (from 1) fails as it would without memory left:
// std::bad_alloc from operator new, LibTorch's own error from its allocator. 0: none fails. Operator new inside
// LibTorch may stand in a noexcept function, where its failure ends the process: fail `tensors` when LibTorch runs
// inside.
void start(Kind kind, int64_t nth = 0);

// Ends it. Returns how many allocations were counted, the failed one included.
int64_t stop();

}  // namespace fail_alloc
