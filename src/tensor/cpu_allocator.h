// Keeps the memory of large CPU tensors between uses. malloc gives blocks of more than 32 MB back to the system with
// every free, so that a training step spends a fifth of its time on pages that the kernel clears again and again. Small
// tensors stay with LibTorch's own allocator. Process-wide, as LibTorch's allocator is; safe from any thread.
#pragma once

#include <cstdint>
#include <string>

namespace moe {

// While one of these lives, freed blocks are kept for the next tensor of about their size; with the last one they go
// back to the system. What is kept and what is in use together stay below 1.25 times the most that was in use.
class KeepMemory {
 public:
  KeepMemory();
  ~KeepMemory();
  KeepMemory(const KeepMemory&) = delete;
  KeepMemory& operator=(const KeepMemory&) = delete;
};

struct MemoryUse {
  int64_t in_use = 0, kept = 0, most_in_use = 0;  // bytes of large tensors
  int64_t reused = 0, mapped = 0;                 // blocks taken from those kept, and new ones from the system
};
MemoryUse memory_use();

// One line: "keeps large blocks (MOE_ALLOCATOR: auto)". The environment variable MOE_ALLOCATOR is auto, keep or system;
// auto keeps except under the address sanitizer, which would miss errors in kept blocks. MOE_ERR_CONFIG.
std::string allocator_text();

}  // namespace moe
