#include "support/fail_alloc.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace fail_alloc {

static std::atomic<unsigned> watched{0};
static std::atomic<int64_t> counted{0}, failing{0};

// True when this allocation is the one to fail.
static bool count(Kind kind) noexcept {
  if ((watched.load(std::memory_order_relaxed) & kind) == 0) return false;
  return counted.fetch_add(1) + 1 == failing.load();
}

namespace {

struct CountingAllocator final : c10::Allocator {
  explicit CountingAllocator(c10::Allocator* real) : real(real) {}
  c10::DataPtr allocate(size_t bytes) override {
    // An impossible size gives LibTorch's genuine error.
    return real->allocate(count(tensors) ? size_t{1} << 62 : bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return real->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { real->copy_data(to, from, bytes); }

  c10::Allocator* real;
};

}  // namespace

static void install() {
  static CountingAllocator allocator(c10::GetCPUAllocator());
  c10::SetCPUAllocator(&allocator, 100);
}

void start(Kind kind, int64_t nth) {
  install();
  counted = 0;
  failing = nth;
  watched = kind;
}

int64_t stop() {
  watched = 0;
  return counted;
}

}  // namespace fail_alloc

static void* allocate(std::size_t bytes, std::size_t alignment) {
  if (bytes == 0) bytes = 1;
  void* memory = nullptr;
  if (!fail_alloc::count(fail_alloc::operator_new)) {
    memory = alignment <= alignof(std::max_align_t)
                 ? std::malloc(bytes)
                 : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// The array and nothrow forms of the standard library call these.
void* operator new(std::size_t bytes) {
  return allocate(bytes, 1);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
