// The barrier between C++ and C: every exported call that can fail runs its body inside guard(), so that no exception,
// no thread-local mode of LibTorch and no half-written error text crosses the boundary. It does not know any handle.
#pragma once

#include <c10/core/InferenceMode.h>
#include <moe.h>

#include <string_view>
#include <type_traits>

#include "base/error.h"
#include "base/log.h"
#include "tensor/scope.h"

namespace moe::capi {

// The calling thread's detail for moe_last_error().
const moe_error_info& last_error() noexcept;

// Makes `message` the calling thread's last error: control characters become spaces, at most 1023 bytes, cut between
// UTF-8 characters. Allocates nothing. Returns `status`.
moe_status record(moe_status status, std::string_view message, int32_t line = 0, int32_t column = 0) noexcept;

// Inside a catch block: turns the exception in flight into a status and records it. Running out of memory takes a path
// without allocation.
moe_status record_current_exception() noexcept;

// True in a child made by fork() after the parent used the library: OpenMP's and autograd's threads do not exist there,
// and the first parallel loop would wait for them for ever.
bool in_forked_child() noexcept;

// Before the body of every call: refuses a forked child and a process with another LibTorch.
void enter();
void set_threads(int32_t threads);

// The library's thread count during a call, the host's before and after it: OpenMP keeps one count a thread, and every
// library that the thread calls shares it.
class ThreadCount {
 public:
  ThreadCount();
  ~ThreadCount();
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int32_t before_;  // the host's
  int32_t during_ = 0;
};

// Gradients on, inference mode and autocast off during a call, whatever the host program has set for its own use of
// LibTorch; the modes found are restored on every way out.
class ThreadModes {
 public:
  ThreadModes() : autocast_(std::nullopt) {}

 private:
  c10::InferenceMode inference_{false};
  AutocastScope autocast_;
};

// Runs `body` (returning moe_status or nothing) and turns everything it throws into a status.
template <typename Body>
moe_status guard(Body&& body) noexcept {
  try {
    enter();
    const ThreadCount threads;
    const ThreadModes modes;
    if constexpr (std::is_void_v<std::invoke_result_t<Body>>) {
      body();
      return MOE_OK;
    } else {
      return body();
    }
  } catch (...) {
    return record_current_exception();
  }
}

// The end of every handle. A forked child only forgets it: destructors would wait for worker threads that are not
// there.
template <typename Handle>
void destroy(Handle* handle) noexcept {
  if (!handle || in_forked_child()) return;
  const ThreadModes modes;
  delete handle;
}

}  // namespace moe::capi
