// Where the tests of this folder run: on the host twins, or with MOE_TEST_DEVICE=cuda on the GPU through
// libmoe_cuda.so. Inputs are made on the CPU, which also computes what is expected.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "cuda/host_twin.h"
#include "cuda/library.h"
#include "support/test.h"

constexpr int skipped = 77;

inline bool on_gpu() {
  const char* device = std::getenv("MOE_TEST_DEVICE");
  return device != nullptr && std::string(device) == "cuda";
}

inline const moe::cuda::Kernels& kernels() {
  return on_gpu() ? moe::cuda::device_kernels() : moe::cuda::host_twin();
}

// Kernels whose result must be the same bits: the host twins with their threads in the opposite order; the GPU again.
inline const moe::cuda::Kernels& kernels_again() {
  return on_gpu() ? moe::cuda::device_kernels() : moe::cuda::host_twin(moe::cuda::Order::falling);
}

inline at::Device device() {
  return on_gpu() ? at::Device(at::kCUDA) : at::Device(at::kCPU);
}

inline at::Tensor there(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.detach().to(device()) : tensor;
}

inline at::Tensor here(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU);
}

inline moe::Dispatch there(const moe::Dispatch& d) {
  return {there(d.experts), there(d.counts), there(d.offsets), there(d.row_of), there(d.pos_of)};
}

// Relative to the largest number of `want`.
inline void check_close(const at::Tensor& got, const at::Tensor& want, double tolerance, const char* what) {
  CHECK(got.sizes() == want.sizes());
  if (want.numel() == 0) return;
  const at::Tensor expected = here(want).to(at::kDouble);
  const double size = std::fmax(1.0, expected.abs().max().item<double>());
  check_near((here(got).to(at::kDouble) - expected).abs().max().item<double>() / size, 0.0, tolerance, what, __FILE__,
             __LINE__);
}

// Runs the tests, or says that there is no GPU to run them on.
template <size_t count>
int run_on_device(const CMUnitTest (&tests)[count], const char* name) {
  const std::string problem = on_gpu() ? moe::cuda::device_problem() : "";
  if (problem.empty()) return _cmocka_run_group_tests(name, tests, count, nullptr, nullptr);
  std::fprintf(stderr, "%s: skipped: %s\n", name, problem.c_str());
  return skipped;
}
