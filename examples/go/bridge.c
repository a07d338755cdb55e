#include "bridge.h"

#include <pthread.h>

#include "_cgo_export.h"

static void forward(int32_t level, const char* message, void* user) {
  moeGoLog(level, (char*)message, (uintptr_t)user);
}

static moe_log_fn function_for(uintptr_t handle) {
  return handle ? forward : NULL;
}

void moe_go_set_log(moe_log_fn* log_fn, void** log_user, uintptr_t handle) {
  *log_fn = function_for(handle);
  *log_user = (void*)handle;
}

moe_status moe_go_loader_set_log(moe_loader* loader, uintptr_t handle) {
  return moe_loader_set_log(loader, function_for(handle), (void*)handle);
}

moe_status moe_go_data_check(const moe_config* config, const char* list, uintptr_t handle, moe_data_report* out) {
  return moe_data_check(config, list, function_for(handle), (void*)handle, out);
}

moe_status moe_go_coco_evaluate(const char* annotations, const char* detections, uintptr_t handle, moe_metric* metrics,
                                size_t capacity, size_t* count) {
  return moe_coco_evaluate(annotations, detections, function_for(handle), (void*)handle, metrics, capacity, count);
}

moe_generate_options moe_go_generate_options(void) {
  return (moe_generate_options)MOE_GENERATE_OPTIONS_INIT;
}

moe_status moe_go_batch_set(moe_batch* batch, const char* name, moe_dtype dtype, const char* data, int32_t ndim,
                            const int64_t* shape, const int64_t* strides) {
  moe_tensor_view view;
  moe_tensor_view_init(&view);
  view.dtype = dtype;
  view.data = data;
  view.ndim = ndim;
  view.shape = shape;
  view.strides = strides;
  return moe_batch_set(batch, name, &view);
}

uintptr_t moe_go_thread(void) {
  return (uintptr_t)pthread_self();
}
