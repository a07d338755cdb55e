// libmoe_cuda.so: the kernels on the current stream of their tensors' device, and the function by which libmoe.so gets
// them. All of it but the grouped products is the code that the host twins run.
#include <ATen/TensorOperators.h>
#include <ATen/ops/_grouped_mm.h>

#include <cstring>
#include <string>

#include "base/error.h"
#include "cuda/device/grouped_gemm.h"
#include "cuda/device/stream_executor.h"
#include "cuda/grouped_route.h"
#include "cuda/library.h"
#include "cuda/nn_kernels.h"

namespace moe::cuda {

namespace {

constexpr int oldest_capability = 75;

int compute_capability(at::DeviceIndex device) {
  int major = 0, minor = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  return 10 * major + minor;
}

at::Tensor on_host(const RowGroups& groups) {
  return groups.host_offsets.defined() ? groups.host_offsets : groups.offsets.to(at::kCPU);
}

// Ends of the experts' rows, as at::_grouped_mm wants them.
at::Tensor ends(const RowGroups& groups) {
  return groups.offsets.narrow(0, 1, groups.offsets.size(0) - 1).to(at::kInt);
}

class DeviceKernels final : public NnKernels<StreamExecutor> {
 public:
  // The one copy to the host of a layer, where a product will need it.
  RowGroups row_groups(const Dispatch& dispatch, at::ScalarType type) const override {
    const int capability = compute_capability(dispatch.offsets.device().index());
    const GroupedRoute route = choose_route(type, capability, dispatch.expert_count(), {});
    return {dispatch.offsets, route == GroupedRoute::torch_grouped_mm ? at::Tensor() : dispatch.offsets.to(at::kCPU)};
  }

  at::Tensor grouped_mm(const Dispatch& dispatch, const RowGroups& groups, const at::Tensor& rows,
                        const at::Tensor& weights) const override {
    const StreamExecutor here(rows);
    const int64_t inner = weights.size(1), columns = weights.size(2);
    at::Tensor out;
    if (route(rows, groups, {inner, columns}) == GroupedRoute::torch_grouped_mm) {
      out = at::_grouped_mm(rows, weights, ends(groups));
    } else {
      out = at::empty({rows.size(0), columns}, rows.options());
      grouped_gemm(products(groups, [&](int64_t expert, int64_t first, int64_t count) {
        return Product{rows.narrow(0, first, count), weights.select(0, expert), out.narrow(0, first, count)};
      }));
    }
    clear_rows(dispatch.row_of, out);
    return out;
  }

  at::Tensor grouped_outer(const RowGroups& groups, const at::Tensor& a, const at::Tensor& b) const override {
    const StreamExecutor here(a);
    at::Tensor out;
    if (route(a, groups, {a.size(1), b.size(1)}) == GroupedRoute::torch_grouped_mm) {
      out = at::_grouped_mm(a.t(), b, ends(groups));
    } else {
      out = at::empty({groups.offsets.size(0) - 1, a.size(1), b.size(1)}, a.options());
      grouped_gemm(products(groups, [&](int64_t expert, int64_t first, int64_t count) {
        return Product{a.narrow(0, first, count).t(), b.narrow(0, first, count), out.select(0, expert)};
      }));
    }
    const int64_t experts = out.size(0);
    clear_rows(groups.offsets.narrow(0, 1, experts) - groups.offsets.narrow(0, 0, experts) - 1, out);
    return out;
  }

 private:
  static GroupedRoute route(const at::Tensor& rows, const RowGroups& groups, std::initializer_list<int64_t> sizes) {
    return choose_route(rows.scalar_type(), compute_capability(rows.device().index()), groups.offsets.size(0) - 1,
                        sizes);
  }

  // make(expert, first row, rows) for every expert that has rows
  template <typename Make>
  static std::vector<Product> products(const RowGroups& groups, Make make) {
    const at::Tensor offsets = on_host(groups);
    const int64_t* offset = offsets.const_data_ptr<int64_t>();
    std::vector<Product> all;
    for (int64_t e = 0; e + 1 < offsets.size(0); ++e) {
      if (offset[e + 1] > offset[e]) all.push_back(make(e, offset[e], offset[e + 1] - offset[e]));
    }
    return all;
  }
};

// Why the process cannot use CUDA; empty: it can. Asks the runtime itself: LibTorch would print a warning.
std::string runtime_problem() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();  // or the next call would report it
    return std::string("no GPU with a driver for CUDA 13: ") + cudaGetErrorString(error);
  }
  if (count == 0) return "the CUDA driver finds no GPU";
  const int capability = compute_capability(0);
  if (capability >= oldest_capability) return {};
  return "GPU 0 has compute capability " + std::to_string(capability / 10) + "." + std::to_string(capability % 10) +
         ", 7.5 is the least";
}

}  // namespace

}  // namespace moe::cuda

extern "C" __attribute__((visibility("default"))) const moe::cuda::Kernels* moe_cuda_open(const char* version,
                                                                                          const char** problem) {
  static std::string text;
  text = std::strcmp(version, moe::cuda::interface_version) == 0
             ? moe::cuda::runtime_problem()
             : std::string("libmoe_cuda.so is of another build (interface ") + moe::cuda::interface_version +
                   ") than libmoe.so (" + version + ")";
  *problem = text.c_str();
  static const moe::cuda::DeviceKernels kernels;
  return text.empty() ? &kernels : nullptr;
}
