// Large tensors' memory: kept while somebody keeps it, given back after, bounded, and an error that harms nothing when
// there is none.
#include "tensor/cpu_allocator.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "support/test.h"

using namespace moe;

static constexpr int64_t mb = 1 << 20;

static at::Tensor bytes(int64_t count) {
  return at::empty({count}, at::kByte);
}

static uintptr_t address(const at::Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
}

static void a_freed_block_is_used_again(void**) {
  const KeepMemory keep;
  const uintptr_t first = address(bytes(40 * mb).fill_(1));
  CHECK(first % 64 == 0);
  CHECK(address(bytes(40 * mb)) == first);
  CHECK(address(bytes(39 * mb)) == first);  // nearly the same size
  const at::Tensor other = bytes(20 * mb);  // too small for that block
  CHECK(address(other) != first);
  bytes(40 * mb);
  const int64_t mapped = memory_use().mapped;
  for (int i = 0; i < 10; ++i) bytes(40 * mb - i * 1000).fill_(2);
  CHECK(memory_use().mapped == mapped);
}

static void what_is_kept_is_bounded(void**) {
  const KeepMemory keep;
  for (int64_t size = 8; size <= 64; size += 8) {
    const at::Tensor tensor = bytes(size * mb);
    const MemoryUse use = memory_use();
    CHECK(use.in_use >= size * mb && use.in_use + use.kept <= use.most_in_use + use.most_in_use / 4);
  }
  const MemoryUse use = memory_use();
  CHECK(use.in_use == 0 && use.kept <= use.most_in_use + use.most_in_use / 4);
  CHECK(use.most_in_use < 80 * mb);
}

static void the_last_keeper_gives_everything_back(void**) {
  at::Tensor survivor;
  {
    const KeepMemory one;
    const KeepMemory two;
    survivor = bytes(32 * mb).fill_(7);
    bytes(48 * mb).fill_(1);
    CHECK(memory_use().kept > 0);
  }
  CHECK(memory_use().kept == 0);
  CHECK(survivor[32 * mb - 1].item<int>() == 7);  // a tensor may outlive them
  survivor.reset();
  CHECK(memory_use().in_use == 0 && memory_use().kept == 0);
}

static void small_tensors_go_elsewhere(void**) {
  const KeepMemory keep;
  const MemoryUse before = memory_use();
  const at::Tensor tensor = at::zeros({1000});
  CHECK(memory_use().in_use == before.in_use && memory_use().mapped == before.mapped);
}

// LibTorch's own code also allocates without a tensor.
static void raw_memory_is_freed_by_its_allocator(void**) {
  const KeepMemory keep;
  const MemoryUse before = memory_use();
  for (const size_t size : {size_t{100}, size_t{8} << 20}) {
    void* memory = c10::GetCPUAllocator()->raw_allocate(size);
    c10::GetCPUAllocator()->raw_deallocate(memory);
  }
  CHECK(memory_use().in_use == before.in_use && memory_use().mapped == before.mapped + 1);
}

static void threads_share_it(void**) {
  const KeepMemory keep;
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong, t] {
      for (int i = 0; i < 50; ++i) {
        const at::Tensor tensor = bytes((2 + (i + t) % 5) * mb).fill_(t);
        if (!tensor.eq(t).all().item<bool>()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0 && memory_use().in_use == 0);
}

static void no_memory_is_an_error_and_harms_nothing(void**) {
  const KeepMemory keep;
  const at::Tensor tensor = bytes(16 * mb).fill_(3);
  bytes(24 * mb).fill_(1);
  bool thrown = false;
  try {
    bytes(int64_t{1} << 50);
  } catch (const c10::Error&) {
    thrown = true;
  }
  CHECK(thrown && memory_use().in_use >= 16 * mb);
  CHECK(tensor.eq(3).all().item<bool>());
  CHECK(bytes(24 * mb).fill_(2).eq(2).all().item<bool>());
}

static void the_setting_is_checked(void**) {
  setenv("MOE_ALLOCATOR", "sistem", 1);
  CHECK_ERROR(MOE_ERR_CONFIG, "MOE_ALLOCATOR: expected auto, keep or system, got \"sistem\", did you mean \"system\"",
              allocator_text());
  setenv("MOE_ALLOCATOR", "system", 1);
  CHECK(allocator_text() == "LibTorch's own (MOE_ALLOCATOR: system)");
  unsetenv("MOE_ALLOCATOR");
}

int main() {
  setenv("MOE_ALLOCATOR", "keep", 1);
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_freed_block_is_used_again),
      cmocka_unit_test(what_is_kept_is_bounded),
      cmocka_unit_test(the_last_keeper_gives_everything_back),
      cmocka_unit_test(small_tensors_go_elsewhere),
      cmocka_unit_test(raw_memory_is_freed_by_its_allocator),
      cmocka_unit_test(threads_share_it),
      cmocka_unit_test(no_memory_is_an_error_and_harms_nothing),
      cmocka_unit_test(the_setting_is_checked),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
