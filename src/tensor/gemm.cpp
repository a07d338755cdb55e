#include "tensor/gemm.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <cstdlib>

#include "base/error.h"

// out = alpha * a b + beta * out. libtorch_cpu.so exports it, its header is not shipped (LibTorch 2.15,
// aten/src/ATen/native/mkldnn/Matmul.h). Weak: where a build of LibTorch hides it, the address is null.
namespace at::native {
__attribute__((weak)) void mkldnn_matmul(const Tensor& a, const Tensor& b, const Tensor& out, float beta, float alpha);
}

namespace moe {

namespace {

bool intel_cpu() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

// LibTorch refuses the call on a CPU without AVX-512; one small product tells.
bool onednn_runs() {
  if (at::native::mkldnn_matmul == nullptr || !at::globalContext().userEnabledMkldnn()) return false;
  try {
    const at::Tensor a = at::ones({32, 32}), out = at::empty({32, 32});
    at::native::mkldnn_matmul(a, a, out, 0, 1);
    return out.eq(32).all().item<bool>();
  } catch (const c10::Error&) {
    return false;
  }
}

const char* setting() {
  return std::getenv("MOE_GEMM");
}

void check_types(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  const at::ScalarType type = a.scalar_type();
  check(b.scalar_type() == type && out.scalar_type() == type, MOE_ERR_DTYPE, "gemm: expected three tensors of one type",
        ", got ", c10::toString(type), " ", c10::toString(b.scalar_type()), " -> ", c10::toString(out.scalar_type()));
}

void check_batches(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  const bool stacks = a.dim() == 3 && b.dim() == 3 && out.dim() == 3 && out.is_contiguous();
  check(stacks && a.size(0) == out.size(0) && b.size(0) == out.size(0) && a.size(2) == b.size(1) &&
            a.size(1) == out.size(1) && b.size(2) == out.size(2),
        MOE_ERR_SHAPE, "gemm: expected [G, M, K] [G, K, N] -> dense [G, M, N], got ", a.sizes(), " ", b.sizes(), " -> ",
        out.sizes());
  check_types(a, b, out);
}

void check_operands(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  check(a.dim() == 2 && b.dim() == 2 && out.dim() == 2, MOE_ERR_SHAPE, "gemm: expected three matrices, got ", a.sizes(),
        " ", b.sizes(), " -> ", out.sizes());
  check(a.size(1) == b.size(0) && a.size(0) == out.size(0) && b.size(1) == out.size(1), MOE_ERR_SHAPE,
        "gemm: expected [M, K] [K, N] -> [M, N], got ", a.sizes(), " ", b.sizes(), " -> ", out.sizes());
  check_types(a, b, out);
}

bool transposed(const at::Tensor& x) {
  return x.stride(0) == 1 && x.stride(1) == x.size(0);
}

bool onednn_type(const at::Tensor& a) {
  return a.is_cpu() && (a.scalar_type() == at::kFloat || a.scalar_type() == at::kBFloat16);
}

bool suits_onednn(const at::Tensor& a, const at::Tensor& out) {
  return onednn_type(a) && (out.is_contiguous() || transposed(out));
}

// A call of oneDNN through LibTorch costs some 20 us before it multiplies; MKL does 2^21 multiply-adds in that time.
GemmBackend backend_for(const at::Tensor& a, const at::Tensor& b) {
  constexpr int64_t smallest = int64_t{1} << 21;
  const bool matrices = a.dim() == b.dim() && a.dim() >= 2;  // else gemm_by() reports it
  return matrices && a.numel() * b.size(-1) >= smallest ? gemm_backend() : GemmBackend::mkl;
}

// A dense matrix with the strides of one: that of a dimension of size 1 may be anything before.
at::Tensor row_major(const at::Tensor& x) {
  return x.as_strided(x.sizes(), {x.size(1), 1});
}

void by_onednn(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool accumulate) {
  const float beta = accumulate ? 1 : 0;
  if (out.is_contiguous()) {
    at::native::mkldnn_matmul(a, b, row_major(out), beta, 1);
  } else {
    at::native::mkldnn_matmul(b.t(), a.t(), row_major(out.t()), beta, 1);
  }
}

void by_mm(const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool accumulate) {
  if (accumulate) {
    out.addmm_(a, b);
  } else {
    at::mm_out(out, a, b);
  }
}

}  // namespace

GemmBackend choose_gemm_backend(const char* setting) {
  const std::string word = setting == nullptr || *setting == '\0' ? "auto" : setting;
  if (word == "mkl") return GemmBackend::mkl;
  // MKL's float32 kernels run at half speed on CPUs that are not Intel's.
  if (word == "auto") return !intel_cpu() && onednn_runs() ? GemmBackend::onednn : GemmBackend::mkl;
  check(word == "onednn", MOE_ERR_CONFIG, "MOE_GEMM: expected auto, onednn or mkl, got ", quote(word),
        did_you_mean(word, {"auto", "onednn", "mkl"}));
  check(onednn_runs(), MOE_ERR_UNSUPPORTED, "MOE_GEMM: expected auto or mkl, this LibTorch on this CPU has no oneDNN ",
        "product of float32; got \"onednn\"");
  return GemmBackend::onednn;
}

void gemm_by(GemmBackend backend, const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool accumulate) {
  check_operands(a, b, out);
  if (out.numel() == 0) return;
  const at::NoGradGuard no_grad;
  if (a.size(1) == 0) {
    if (!accumulate) out.zero_();
  } else if (backend == GemmBackend::onednn && suits_onednn(a, out)) {
    by_onednn(a, b, out, accumulate);
  } else {
    by_mm(a, b, out, accumulate);
  }
}

void gemm(const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool accumulate) {
  gemm_by(backend_for(a, b), a, b, out, accumulate);
}

void batched_gemm_by(GemmBackend backend, const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool accumulate) {
  check_batches(a, b, out);
  if (out.numel() == 0) return;
  const at::NoGradGuard no_grad;
  if (backend == GemmBackend::onednn && onednn_type(a) && a.size(2) > 0) {
    at::native::mkldnn_matmul(a, b, out, accumulate ? 1 : 0, 1);
  } else if (accumulate) {
    out.baddbmm_(a, b);
  } else {
    at::bmm_out(out, a, b);
  }
}

void batched_gemm(const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool accumulate) {
  batched_gemm_by(backend_for(a, b), a, b, out, accumulate);
}

GemmBackend gemm_backend() {
  static const GemmBackend chosen = choose_gemm_backend(setting());
  return chosen;
}

int64_t gemm_rows(int64_t rows) {
  int64_t step = 8;
  while (step * 32 <= rows) step *= 2;
  return (rows + step - 1) / step * step;
}

std::string gemm_backend_text() {
  const std::string rest = at::hasMKL() ? "MKL" : "at::mm";
  const char* given = setting();
  const std::string how = text(" (MOE_GEMM: ", given == nullptr || *given == '\0' ? "auto" : given, ")");
  if (gemm_backend() == GemmBackend::mkl) return text(rest, " for all types", how);
  return text("oneDNN for float32 and bfloat16, ", rest, " for the rest", how);
}

}  // namespace moe
