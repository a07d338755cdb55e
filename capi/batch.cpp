// moe_batch: the named tensors of one micro-batch.
#include "guard.h"
#include "buffers.h"
#include "handles.h"
#include "tensors.h"

using namespace moe;
using namespace moe::capi;

static std::string tensor_name(const char* name) {
  const std::string_view value = required_text(name, "name");
  check(value.size() <= 63, MOE_ERR_INVALID_ARGUMENT, "name: expected 1 to 63 characters, got ", value.size());
  return std::string(value);
}

extern "C" {

void moe_tensor_view_init(moe_tensor_view* view) {
  if (!view) return;
  *view = {};
  view->struct_size = sizeof(moe_tensor_view);
}

moe_status moe_batch_create(moe_batch** out) {
  return guard([&] {
    require(out, "out");
    *out = new moe_batch;
  });
}

moe_status moe_batch_set(moe_batch* batch, const char* name, const moe_tensor_view* view) {
  return guard([&] {
    require(batch, "batch");
    const std::string key = tensor_name(name);
    require(view, "view");
    CopiedView copied = copy_view(read_struct(view, "view", {}));
    batch->batch.set(key, std::move(copied.tensor), copied.range);
  });
}

moe_status moe_batch_bind_dlpack(moe_batch* batch, const char* name, DLManagedTensorVersioned* tensor) {
  DlpackOwner owner(tensor);
  return guard([&] {
    require(batch, "batch");
    const std::string key = tensor_name(name);
    require(tensor, "tensor");
    batch->batch.set(key, adopt_dlpack(std::move(owner)));
  });
}

moe_status moe_batch_count(const moe_batch* batch, int32_t* out) {
  return guard([&] {
    require(batch, "batch");
    require(out, "out");
    *out = static_cast<int32_t>(batch->batch.fields().size());
  });
}

moe_status moe_batch_info_at(const moe_batch* batch, int32_t index, moe_tensor_info* out) {
  return guard([&] {
    require(batch, "batch");
    require_struct(out, "out");
    const auto& fields = batch->batch.fields();
    check(index >= 0 && static_cast<size_t>(index) < fields.size(), MOE_ERR_INVALID_ARGUMENT, "index: expected 0 to ",
          static_cast<int64_t>(fields.size()) - 1, ", got ", index);
    const auto& [name, tensor] = fields[static_cast<size_t>(index)];
    write_struct(tensor_info(name, tensor), out);
  });
}

moe_status moe_batch_info(const moe_batch* batch, const char* name, moe_tensor_info* out) {
  return guard([&] {
    require(batch, "batch");
    const std::string key = tensor_name(name);
    require_struct(out, "out");
    write_struct(tensor_info(key, batch->batch.get(key)), out);
  });
}

moe_status moe_batch_read(const moe_batch* batch, const char* name, void* buffer, size_t capacity, size_t* needed) {
  return guard([&] {
    require(batch, "batch");
    const at::Tensor& tensor = batch->batch.get(tensor_name(name));
    if (!wants(buffer, capacity, tensor.nbytes(), needed, "bytes") || tensor.numel() == 0) return;
    const at::Tensor dense = tensor.contiguous();
    std::memcpy(buffer, dense.const_data_ptr(), dense.nbytes());
  });
}

moe_status moe_batch_export_dlpack(const moe_batch* batch, const char* name, DLManagedTensorVersioned** out) {
  return guard([&] {
    require(batch, "batch");
    const std::string key = tensor_name(name);
    require(out, "out");
    *out = export_dlpack(batch->batch.get(key)).release();
  });
}

moe_status moe_batch_clear(moe_batch* batch) {
  return guard([&] {
    require(batch, "batch");
    batch->batch.clear();
  });
}

void moe_batch_free(moe_batch* batch) {
  destroy(batch);
}

}  // extern "C"
