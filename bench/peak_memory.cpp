#include "peak_memory.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>

namespace bench {

namespace {

struct Peak : c10::MemoryReportingInfoBase {
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {  // freed: bytes < 0
    held += bytes;
    most = std::max(most, held);
  }
  bool memoryProfilingEnabled() const override { return true; }

  int64_t held = 0, most = 0;
};

}  // namespace

int64_t peak_bytes(const std::function<void()>& call) {
  const auto peak = std::make_shared<Peak>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, peak);
  call();
  return peak->most;
}

void forget_resident_peak() {
  std::ofstream("/proc/self/clear_refs") << 5;
}

double resident_peak_mb() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    double kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024;
  }
  return 0;
}

}  // namespace bench
