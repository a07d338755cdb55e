// Scopes for the thread-local modes of LibTorch: each restores what it found, on every way out.
#pragma once

#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <optional>

namespace moe {

// Autocast on the CPU to `dtype`, or off (std::nullopt). A scope that turned it on clears the cache of cast weights at
// its end, also inside another scope: the next step must cast the weights that the optimizer has changed.
class AutocastScope {
 public:
  explicit AutocastScope(std::optional<at::ScalarType> dtype);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool turned_on_;
  bool enabled_;  // before
  at::ScalarType dtype_;
};

// fp32 arithmetic inside (routers, matchers, criteria), whatever the step's precision is.
struct Float32Scope : AutocastScope {
  Float32Scope() : AutocastScope(std::nullopt) {}
};

// Without gradients a cast weight must not enter autocast's cache: a later use with gradients would find a copy that is
// cut off from the parameter.
class NoCastCache {
 public:
  NoCastCache() : before_(at::autocast::is_autocast_cache_enabled()) {
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~NoCastCache() { at::autocast::set_autocast_cache_enabled(before_); }
  NoCastCache(const NoCastCache&) = delete;
  NoCastCache& operator=(const NoCastCache&) = delete;

 private:
  bool before_;
};

}  // namespace moe
