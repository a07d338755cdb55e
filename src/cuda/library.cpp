#include "cuda/library.h"

#include <dlfcn.h>

#include <filesystem>
#include <mutex>

#include "base/error.h"

namespace moe::cuda {

namespace {

constexpr const char* file_name = "libmoe_cuda.so";

std::string own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&device_kernels), &info) == 0) return {};
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

// The library stays open for the life of the process: LibTorch registers what its parts export. Where it lies beside
// this code, only that one is tried, so that the loader's message is about it.
void* open_library() {
  const std::string path = library_is_beside() ? own_folder() + file_name : file_name;
  void* found = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (found != nullptr) return found;
  fail(MOE_ERR_DEVICE, file_name,
       " does not open (it is built with -DMOE_CUDA=ON and lies beside libmoe.so): ", dlerror());
}

const Kernels* open_kernels() {
  auto* open = reinterpret_cast<OpenFunction*>(dlsym(open_library(), "moe_cuda_open"));
  check(open != nullptr, MOE_ERR_DEVICE, file_name, " has no function moe_cuda_open: it is another library");
  const char* problem = "";
  const Kernels* kernels = open(interface_version, &problem);
  check(kernels != nullptr, MOE_ERR_DEVICE, problem);
  return kernels;
}

}  // namespace

const Kernels& device_kernels() {
  static std::mutex mutex;
  static const Kernels* kernels = nullptr;
  const std::lock_guard lock(mutex);
  if (kernels == nullptr) kernels = open_kernels();
  return *kernels;
}

bool library_is_beside() {
  return std::filesystem::exists(own_folder() + file_name);
}

std::string device_problem() {
  try {
    device_kernels();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace moe::cuda
