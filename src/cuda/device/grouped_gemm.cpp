#include "cuda/device/grouped_gemm.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <c10/macros/Export.h>
#include <cublas_v2.h>

#include <algorithm>

#include "base/error.h"

// ATen/cuda/CUDAContext.h declares this, and includes cuSPARSE and cuSOLVER for other things. The handle is set to the
// current stream.
namespace at::cuda {
TORCH_CUDA_CPP_API cublasHandle_t getCurrentCUDABlasHandle(bool setup);
}

namespace moe::cuda {

namespace {

// A matrix as cuBLAS sees it, column by column: the transpose of dense rows, or a view of columns as it is.
struct Columns {
  cublasOperation_t operation;  // that gives the transpose of the matrix
  int leading;                  // elements from column to column

  explicit Columns(const at::Tensor& m)
      : operation(m.stride(1) == 1 ? CUBLAS_OP_N : CUBLAS_OP_T),
        leading(
            static_cast<int>(m.stride(1) == 1 ? std::max(m.stride(0), m.size(1)) : std::max(m.stride(1), m.size(0)))) {}
};

// The arguments of cublasGemmGroupedBatchedEx, which are arrays: out^T = b^T a^T for every product.
struct Arguments {
  std::vector<cublasOperation_t> operation_b, operation_a;
  std::vector<int> m, n, k, leading_b, leading_a, leading_out, ones;
  std::vector<int64_t> b, a, out;  // addresses

  void add(const Product& p) {
    const Columns first(p.b), second(p.a), result(p.out);
    operation_b.push_back(first.operation);
    operation_a.push_back(second.operation);
    m.push_back(static_cast<int>(p.out.size(1)));
    n.push_back(static_cast<int>(p.out.size(0)));
    k.push_back(static_cast<int>(p.a.size(1)));
    leading_b.push_back(first.leading);
    leading_a.push_back(second.leading);
    leading_out.push_back(result.leading);
    ones.push_back(1);
    b.push_back(reinterpret_cast<int64_t>(p.b.const_data_ptr()));
    a.push_back(reinterpret_cast<int64_t>(p.a.const_data_ptr()));
    out.push_back(reinterpret_cast<int64_t>(p.out.mutable_data_ptr()));
  }

  int count() const { return static_cast<int>(m.size()); }

  // [3, count]: addresses of b, a and out, where cuBLAS reads them
  at::Tensor addresses(at::Device device) const {
    std::vector<int64_t> all(b);
    all.insert(all.end(), a.begin(), a.end());
    all.insert(all.end(), out.begin(), out.end());
    return at::tensor(all, at::kLong).to(device);
  }
};

cudaDataType_t data_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return CUDA_R_32F;
    case at::kDouble:
      return CUDA_R_64F;
    case at::kHalf:
      return CUDA_R_16F;
    case at::kBFloat16:
      return CUDA_R_16BF;
    default:
      fail(MOE_ERR_DTYPE, "grouped product: expected float32, float64, float16 or bfloat16, got ", c10::toString(type));
  }
}

template <typename Scalar>
cublasStatus_t call_cublas(const Arguments& args, at::ScalarType type, at::Device device, cublasComputeType_t compute) {
  const at::Tensor addresses = args.addresses(device);
  void** at = reinterpret_cast<void**>(addresses.mutable_data_ptr<int64_t>());
  const std::vector<Scalar> alpha(args.m.size(), Scalar(1)), beta(args.m.size(), Scalar(0));
  const cudaDataType_t data = data_type(type);
  const int count = args.count();
  return cublasGemmGroupedBatchedEx(at::cuda::getCurrentCUDABlasHandle(true), args.operation_b.data(),
                                    args.operation_a.data(), args.m.data(), args.n.data(), args.k.data(), alpha.data(),
                                    at, data, args.leading_b.data(), at + count, data, args.leading_a.data(),
                                    beta.data(), at + 2 * count, data, args.leading_out.data(), count, args.ones.data(),
                                    compute);
}

}  // namespace

void grouped_gemm(const std::vector<Product>& products) {
  if (products.empty()) return;
  Arguments args;
  for (const Product& product : products) args.add(product);
  const at::ScalarType type = products[0].out.scalar_type();
  const at::Device device = products[0].out.device();
  const cublasStatus_t status = type == at::kDouble ? call_cublas<double>(args, type, device, CUBLAS_COMPUTE_64F)
                                                    : call_cublas<float>(args, type, device, CUBLAS_COMPUTE_32F);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) {
    for (const Product& product : products) at::mm_out(const_cast<at::Tensor&>(product.out), product.a, product.b);
    return;
  }
  check(status == CUBLAS_STATUS_SUCCESS, MOE_ERR_DEVICE, "cublasGemmGroupedBatchedEx: ", cublasGetStatusString(status));
}

}  // namespace moe::cuda
