#include "tensor/scope.h"

namespace moe {

AutocastScope::AutocastScope(std::optional<at::ScalarType> dtype)
    : turned_on_(dtype.has_value()),
      enabled_(at::autocast::is_autocast_enabled(at::kCPU)),
      dtype_(at::autocast::get_autocast_dtype(at::kCPU)) {
  at::autocast::set_autocast_enabled(at::kCPU, dtype.has_value());
  if (dtype) at::autocast::set_autocast_dtype(at::kCPU, *dtype);
}

AutocastScope::~AutocastScope() {
  if (turned_on_) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, enabled_);
  at::autocast::set_autocast_dtype(at::kCPU, dtype_);
}

}  // namespace moe
