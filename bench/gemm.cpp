// Matrix products: oneDNN against at::mm for the three products of a linear layer, the cost of row counts that change
// from call to call with and without rounding, and moe::linear against at::linear, forward and backward.
#include "tensor/gemm.h"

#include <torch/torch.h>

#include "base/rng.h"
#include "base/text.h"
#include "tensor/linear.h"
#include "tensor/random.h"
#include "turns.h"

using moe::GemmBackend;

namespace {

struct Sizes {
  int64_t rows, in, out;
};

constexpr Sizes layers[] = {{2048, 2048, 2048}, {2400, 256, 1024}, {2400, 1024, 256}, {1032, 768, 3072},
                            {8400, 256, 256},   {1200, 256, 256},  {300, 256, 1024},  {300, 1024, 256},
                            {75, 256, 1024},    {16, 256, 1024},   {64, 64, 64},      {16, 32, 32}};

at::Tensor values(const char* name, at::IntArrayRef shape, at::ScalarType type) {
  return moe::normal_tensor(moe::Rng(1, name), shape).to(type);
}

std::string label(const char* group, at::ScalarType type, const Sizes& s, const char* what) {
  return moe::text(group, "/", type == at::kFloat ? "fp32" : "bf16", "/", s.rows, "x", s.in, "x", s.out, "/", what);
}

void add_product(const std::string& name, const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  const double gflop = 2e-9 * static_cast<double>(a.size(0) * a.size(1) * b.size(1));
  const auto rival = [&](const char* rival_name, GemmBackend backend) {
    const auto call = [=] {
      at::Tensor result = out;
      moe::gemm_by(backend, a, b, result);
    };
    return bench::Rival{rival_name, call, gflop};
  };
  bench::add_turns(name, {rival("onednn", GemmBackend::onednn), rival("mm", GemmBackend::mkl)});
}

void add_products(const Sizes& s, at::ScalarType type) {
  const at::Tensor x = values("x", {s.rows, s.in}, type), w = values("w", {s.out, s.in}, type),
                   dy = values("dy", {s.rows, s.out}, type);
  add_product(label("product", type, s, "y"), x, w.t());
  add_product(label("product", type, s, "dx"), dy, w);
  add_product(label("product", type, s, "dw"), dy.t(), x);
  add_product(label("product", type, s, "dw_by_columns"), x.t(), dy);
}

// Every product meets another number of rows from 200 to 1000, as those of an expert do; 20 products a call.
void add_changing_rows(at::ScalarType type) {
  const at::Tensor x = values("x", {1024, 256}, type), w = values("w", {512, 256}, type);
  const at::Tensor out = at::empty({1024, 512}, x.options());
  const auto rival = [&](const char* name, GemmBackend backend, bool round) {
    const auto call = [=, rng = moe::Rng(2, "rows")]() mutable {
      for (int i = 0; i < 20; ++i) {
        const int64_t wanted = 200 + rng.below(801), rows = round ? moe::gemm_rows(wanted) : wanted;
        at::Tensor result = out.narrow(0, 0, rows);
        moe::gemm_by(backend, x.narrow(0, 0, rows), w.t(), result);
      }
    };
    return bench::Rival{name, call};
  };
  bench::add_turns(type == at::kFloat ? "changing_rows/fp32" : "changing_rows/bf16",
                   {rival("onednn_rounded", GemmBackend::onednn, true),
                    rival("onednn_exact", GemmBackend::onednn, false), rival("mm_exact", GemmBackend::mkl, false)});
}

void add_layer(const Sizes& s, at::ScalarType type) {
  const auto leaf = [&](const char* name, at::IntArrayRef shape) { return values(name, shape, type).requires_grad_(); };
  const at::Tensor x = leaf("x", {s.rows, s.in}), w = leaf("w", {s.out, s.in}), b = leaf("b", {s.out}),
                   dy = values("dy", {s.rows, s.out}, type);
  const auto step = [=](const at::Tensor& y) {
    y.backward(dy);
    for (const at::Tensor& input : {x, w, b}) input.mutable_grad().reset();
  };
  const double gflop = 6e-9 * static_cast<double>(s.rows * s.in * s.out);
  bench::add_turns(
      label("linear", type, s, "forward+backward"),
      {{"moe", [=] { step(moe::linear(x, w, b)); }, gflop}, {"torch", [=] { step(at::linear(x, w, b)); }, gflop}});
}

}  // namespace

int main(int argc, char** argv) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Sizes& s : layers) add_products(s, type);
    for (const Sizes& s : layers) add_layer(s, type);
    add_changing_rows(type);
  }
  return bench::run_benchmarks(argc, argv);
}
