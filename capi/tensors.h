// Tensors across the boundary: views of the caller's memory and DLPack tensors become at::Tensor, after every field was
// checked. Only CPU memory; a view is copied, a DLPack tensor is taken over.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>
#include <moe.h>

#include <memory>
#include <optional>
#include <string>

#include "tensor/batch.h"

namespace moe::capi {

// A dense copy of what the view shows, and its range where the copy has seen it.
struct CopiedView {
  at::Tensor tensor;
  std::optional<ValueRange> range;
};
CopiedView copy_view(const moe_tensor_view& view);

// Calls a DLPack tensor's deleter, if it has one.
struct DlpackDeleter {
  void operator()(DLManagedTensorVersioned* tensor) const noexcept {
    if (tensor && tensor->deleter) tensor->deleter(tensor);
  }
};
using DlpackOwner = std::unique_ptr<DLManagedTensorVersioned, DlpackDeleter>;

// A tensor over the memory of `owner`, whose deleter runs with the last reference, or when this call throws.
at::Tensor adopt_dlpack(DlpackOwner owner);

// The tensor as DLPack 1.x, flagged read-only; it shares the memory and keeps it alive until its deleter runs.
DlpackOwner export_dlpack(const at::Tensor& tensor);

// Type and shape of a tensor of a batch.
moe_tensor_info tensor_info(const std::string& name, const at::Tensor& tensor);

}  // namespace moe::capi
