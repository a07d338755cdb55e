// The most memory that a call holds at one time beyond what was held before it, as LibTorch's CPU allocator hands it
// out to this thread; buffers of worker threads are not seen.
#pragma once

#include <cstdint>
#include <functional>

namespace bench {

int64_t peak_bytes(const std::function<void()>& call);

}  // namespace bench
