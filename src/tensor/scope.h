// Scopes for the thread-local modes of LibTorch: each restores what it found, on every way out.
#pragma once

#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <optional>

namespace moe {

// Autocast on the CPU to `dtype`, or off (std::nullopt). Clears the cast cache when the outermost scope ends.
class AutocastScope {
 public:
  explicit AutocastScope(std::optional<at::ScalarType> dtype);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool enabled_;
  at::ScalarType dtype_;
};

// fp32 arithmetic inside (routers, matchers, criteria), whatever the step's precision is.
struct Float32Scope : AutocastScope {
  Float32Scope() : AutocastScope(std::nullopt) {}
};

}  // namespace moe
