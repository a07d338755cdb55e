// Matrix products by the fastest engine that the CPU has for their type: oneDNN, as LibTorch carries it, for float32
// and bfloat16; at::mm for everything else. No autograd: callers write their own backward pass (tensor/linear.h is
// one).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace moe {

// out [M, N] = a [M, K] b [K, N], plus out where `accumulate`. Three matrices of one type; a transposed operand is a
// view (pass w.t()) and costs no copy, nor does a transposed out. out shares no memory with a or b. K = 0 gives zeros.
// Rounding may depend on the sizes and on the number of threads. Errors: MOE_ERR_SHAPE, MOE_ERR_DTYPE.
void gemm(const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool accumulate = false);

// `rows` rounded up, for buffers whose number of rows changes from call to call (the tokens of an expert): oneDNN
// builds a primitive for every new size, which takes longer than the product itself. 16 sizes in each power of two; at
// most 1/16 more rows, or 7. The rows that were added must be zero where they are summed over (dW), and are free
// otherwise.
int64_t gemm_rows(int64_t rows);

enum class GemmBackend {
  onednn,  // float32 and bfloat16 by oneDNN, other types and outs of neither dense order as below
  mkl      // at::mm: MKL in LibTorch's official builds; it has its own rule for bfloat16
};

// The choice for a value of the environment variable MOE_GEMM: "auto" (also null or empty), "onednn" or "mkl". auto is
// a property of the CPU, not a measurement, so that two runs give the same bits. MOE_ERR_CONFIG, MOE_ERR_UNSUPPORTED.
GemmBackend choose_gemm_backend(const char* setting);

// gemm() by a named backend. gemm() itself leaves small products to at::mm.
void gemm_by(GemmBackend backend, const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool accumulate = false);

// gemm() of G pairs of matrices in one call: out [G, M, N] dense, a [G, M, K] and b [G, K, N], each dense or with its
// last two dimensions transposed (others cost a copy).
void batched_gemm(const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool accumulate = false);
void batched_gemm_by(GemmBackend backend, const at::Tensor& a, const at::Tensor& b, at::Tensor& out,
                     bool accumulate = false);

// The backend of this process for float32 and bfloat16. MOE_ERR_CONFIG and MOE_ERR_UNSUPPORTED, as the first gemm().
GemmBackend gemm_backend();

// What gemm() uses in this process, one line: "oneDNN for float32 and bfloat16, MKL for the rest (MOE_GEMM: auto)".
// MOE_ERR_CONFIG and MOE_ERR_UNSUPPORTED, as the first gemm().
std::string gemm_backend_text();

}  // namespace moe
