// The most memory that is held at one time: by a call, as LibTorch's CPU allocator hands it out, or by the whole process
// in resident pages.
#pragma once

#include <cstdint>
#include <functional>

namespace bench {

// Beyond what was held before the call, by this thread; buffers of worker threads are not seen.
int64_t peak_bytes(const std::function<void()>& call);

// Linux: the peak of this process starts again from what is resident now.
void forget_resident_peak();
double resident_peak_mb();  // 0: not known

}  // namespace bench
