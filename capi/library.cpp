// Facts about the library itself: version, build, last error, thread count.
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <png.h>
#include <torch/version.h>
#include <zlib.h>

#include <nlohmann/json.hpp>

#include "buffers.h"
#include "cuda/library.h"
#include "guard.h"
#include "models/task.h"
#include "tensor/cpu_allocator.h"
#include "tensor/gemm.h"

using namespace moe;
using namespace moe::capi;

static std::string build_info() {
  nlohmann::ordered_json info;
  info["version"] = moe_version_string();
  info["abi"] = moe_abi_version();
  info["torch"] = TORCH_VERSION;
  info["cpu_capability"] = at::get_cpu_capability();
  info["threads"] = at::get_num_threads();
  info["cuda"] = cuda::library_is_beside();
  info["gemm"] = gemm_backend_text();
  info["allocator"] = allocator_text();
  info["compiler"] = MOE_COMPILER;
  info["tasks"] = nlohmann::ordered_json::array();
  for (const TaskEntry& entry : task_registry()) info["tasks"].push_back(entry.name);
  info["libraries"] = {{"yaml-cpp", MOE_YAML_VERSION},
                       {"libturbojpeg", MOE_TURBOJPEG_VERSION},
                       {"libpng", PNG_LIBPNG_VER_STRING},
                       {"zlib", zlibVersion()}};
  return info.dump(2);
}

extern "C" {

// No guard: this must also answer in a forked child, where every guarded call is refused.
moe_status moe_last_error(moe_error_info* out) {
  if (!out) return record(MOE_ERR_INVALID_ARGUMENT, "out: expected a pointer, got NULL");
  if (out->struct_size < first_size<moe_error_info> || out->struct_size > sizeof(moe_error_info)) {
    return record(MOE_ERR_INVALID_ARGUMENT, "out.struct_size: expected the value that MOE_ERROR_INFO_INIT sets");
  }
  write_struct(last_error(), out);
  return MOE_OK;
}

const char* moe_status_name(moe_status status) {
  static constexpr const char* names[] = {"MOE_OK",
                                          "MOE_END",
                                          "MOE_ERR_INVALID_ARGUMENT",
                                          "MOE_ERR_OUT_OF_MEMORY",
                                          "MOE_ERR_NOT_FOUND",
                                          "MOE_ERR_IO",
                                          "MOE_ERR_PARSE",
                                          "MOE_ERR_CONFIG",
                                          "MOE_ERR_SHAPE",
                                          "MOE_ERR_DTYPE",
                                          "MOE_ERR_DEVICE",
                                          "MOE_ERR_STATE",
                                          "MOE_ERR_VERSION",
                                          "MOE_ERR_UNSUPPORTED",
                                          "MOE_ERR_CANCELLED",
                                          "MOE_ERR_BUFFER_TOO_SMALL",
                                          "MOE_ERR_NUMERIC",
                                          "MOE_ERR_DATA",
                                          "MOE_ERR_INTERNAL"};
  static_assert(std::size(names) == MOE_ERR_INTERNAL + 1);
  return status >= 0 && status <= MOE_ERR_INTERNAL ? names[status] : "unknown status";
}

int32_t moe_version(void) {
  return MOE_VERSION;
}

const char* moe_version_string(void) {
  return MOE_VERSION_TEXT;
}

int32_t moe_abi_version(void) {
  return MOE_ABI;
}

moe_status moe_build_info(char* buffer, size_t capacity, size_t* needed) {
  return guard([&] { write_text(build_info(), buffer, capacity, needed); });
}

moe_status moe_set_threads(int32_t threads) {
  return guard([&] {
    check(threads >= 1 && threads <= 1024, MOE_ERR_INVALID_ARGUMENT, "threads: expected 1 to 1024, got ", threads);
    set_threads(threads);
  });
}

}  // extern "C"
