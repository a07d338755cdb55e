#include "tensor/cpu_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <unordered_set>

#include "base/error.h"

namespace moe {

namespace {

constexpr size_t smallest = size_t{1} << 20;  // bytes; malloc serves smaller ones well
constexpr size_t huge_page = size_t{1} << 21;
constexpr size_t header = 64;  // alignment of a tensor's data

#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

// Stands before the data of a block.
struct Block {
  size_t bytes;           // of the mapping
  Block* next = nullptr;  // of the kept ones, freed before this one
};
static_assert(sizeof(Block) <= header);

void* data_of(Block* block) {
  return reinterpret_cast<char*>(block) + header;
}

Block* block_of(void* data) {
  return reinterpret_cast<Block*>(static_cast<char*>(data) - header);
}

// Eight sizes in each power of two: tensors of nearly one size share blocks.
size_t rounded(size_t bytes) {
  const size_t step = std::max<size_t>(std::bit_floor(bytes) / 8, 4096);
  return (bytes + step - 1) / step * step;
}

Block* map_block(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  if (bytes >= 2 * huge_page) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return new (memory) Block{bytes};
}

class Pool {
 public:
  Block* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    Block* block = take_kept(bytes);
    if (!block) block = map_new(bytes);
    if (!block) return nullptr;
    remember(block);
    use_.in_use += static_cast<int64_t>(block->bytes);
    use_.most_in_use = std::max(use_.most_in_use, use_.in_use);
    shrink(most_kept());
    return block;
  }

  // False: not one of the pool's. Allocates nothing: tensors are freed where nothing may fail.
  bool give(void* data) noexcept {
    const std::lock_guard lock(mutex_);
    if (live_.erase(data) == 0) return false;
    Block* block = block_of(data);
    use_.in_use -= static_cast<int64_t>(block->bytes);
    use_.kept += static_cast<int64_t>(block->bytes);
    block->next = kept_;
    kept_ = block;
    shrink(most_kept());
    return true;
  }

  void add_keeper(int64_t count) {
    const std::lock_guard lock(mutex_);
    keepers_ += count;
    if (keepers_ > 0) return;
    shrink(0);
    use_ = {.in_use = use_.in_use, .most_in_use = use_.in_use};
  }

  bool has_keeper() {
    const std::lock_guard lock(mutex_);
    return keepers_ > 0;
  }

  MemoryUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  int64_t most_kept() const { return keepers_ > 0 ? use_.most_in_use + use_.most_in_use / 4 - use_.in_use : 0; }

  void remember(Block* block) {
    try {
      live_.insert(data_of(block));
    } catch (...) {
      munmap(block, block->bytes);
      throw;
    }
  }

  // Takes a block out of the list that `link` points into.
  Block* unlink(Block** link) {
    Block* block = *link;
    *link = block->next;
    use_.kept -= static_cast<int64_t>(block->bytes);
    return block;
  }

  // The smallest block that is large enough, up to an eighth more than asked for; of equal ones the last that was
  // freed.
  Block* take_kept(size_t bytes) {
    Block** best = nullptr;
    for (Block** link = &kept_; *link; link = &(*link)->next) {
      const size_t size = (*link)->bytes;
      if (size >= bytes && size <= bytes + bytes / 8 && (!best || size < (*best)->bytes)) best = link;
    }
    if (!best) return nullptr;
    ++use_.reused;
    return unlink(best);
  }

  Block* map_new(size_t bytes) {
    Block* block = map_block(bytes);
    if (!block) {
      shrink(0);
      block = map_block(bytes);
    }
    use_.mapped += block != nullptr;
    return block;
  }

  // Gives back those that were not needed for the longest time: the end of the list.
  void shrink(int64_t most_kept) noexcept {
    while (use_.kept > most_kept && kept_) {
      Block** last = &kept_;
      while ((*last)->next) last = &(*last)->next;
      Block* block = unlink(last);
      munmap(block, block->bytes);
    }
  }

  std::mutex mutex_;
  std::unordered_set<void*> live_;  // data of the blocks in use
  Block* kept_ = nullptr;           // the last that was freed first
  MemoryUse use_;
  int64_t keepers_ = 0;
};

// Never destroyed: tensors may outlive the end of main().
Pool& pool() {
  static Pool& only = *new Pool;
  return only;
}

// Frees what either allocator gave.
void free_data(void* data) {
  if (pool().give(data)) {
    c10::profiledCPUMemoryReporter().Delete(data);
  } else {
    c10::GetDefaultCPUAllocator()->raw_deallocate(data);
  }
}

struct KeepingAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < smallest || !pool().has_keeper()) return small->allocate(bytes);
    Block* block = pool().take(rounded(bytes + header));
    if (!block) return small->allocate(bytes);  // reports that there is no memory
    c10::profiledCPUMemoryReporter().New(data_of(block), bytes);
    return {data_of(block), data_of(block), &free_data, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_data; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  c10::Allocator* small = c10::GetDefaultCPUAllocator();
};

// Whether blocks are kept, by the environment variable.
bool keeps(const char* setting) {
  const std::string word = setting == nullptr || *setting == '\0' ? "auto" : setting;
  check(word == "auto" || word == "keep" || word == "system", MOE_ERR_CONFIG,
        "MOE_ALLOCATOR: expected auto, keep or system, got ", quote(word),
        did_you_mean(word, {"auto", "keep", "system"}));
  return word == "keep" || (word == "auto" && !sanitized);
}

const char* setting() {
  return std::getenv("MOE_ALLOCATOR");
}

// Once and for good: a tensor finds its way back to its own allocator, whichever is set then. An allocator that the
// program has set with a higher priority stays.
void install() {
  static const bool done = [] {
    if (keeps(setting())) c10::SetCPUAllocator(new KeepingAllocator);
    return true;
  }();
  (void)done;
}

}  // namespace

KeepMemory::KeepMemory() {
  install();
  pool().add_keeper(1);
}

KeepMemory::~KeepMemory() {
  pool().add_keeper(-1);
}

MemoryUse memory_use() {
  return pool().use();
}

std::string allocator_text() {
  const char* given = setting();
  const char* what = keeps(given) ? "keeps large blocks" : "LibTorch's own";
  return text(what, " (MOE_ALLOCATOR: ", given == nullptr || *given == '\0' ? "auto" : given, ")");
}

}  // namespace moe
