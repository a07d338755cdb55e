// Attention forward and backward: the library's choice against LibTorch's fused attention, against two products with a
// softmax between, and against the library's own tiled route.
#include "nn/attention.h"

#include <torch/torch.h>

#include <cmath>

#include "base/rng.h"
#include "base/text.h"
#include "nn/tiled_attention.h"
#include "tensor/cpu_allocator.h"
#include "tensor/random.h"
#include "turns.h"

namespace {

struct Sizes {
  int64_t batch, heads, tokens, width;  // width of a head

  double gflop() const {  // two products, and their four of the backward pass
    return 12e-9 * static_cast<double>(batch * heads * tokens * tokens * width);
  }
};

using Attention = at::Tensor (*)(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

at::Tensor library(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return moe::nn::attention(q, k, v);
}

at::Tensor library_tiled(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return moe::nn::tiled_attention(q, k, v);
}

at::Tensor fused(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return at::scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2);
}

at::Tensor two_products(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const at::Tensor scores = at::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(3)));
  return at::matmul(scores.softmax(3), v).transpose(1, 2).flatten(2);
}

bench::Rival rival(const char* name, Attention attention, const Sizes& s, at::ScalarType type, bench::Goal goal = {}) {
  const auto values = [&](const char* label) {  // as a projection gives it: [B, N, H, d] with the heads in front
    const at::Tensor x = moe::normal_tensor(moe::Rng(1, label), {s.batch, s.tokens, s.heads, s.width}).to(type);
    return x.transpose(1, 2).detach().requires_grad_();
  };
  const at::Tensor q = values("q"), k = values("k"), v = values("v");
  const at::Tensor dy = moe::normal_tensor(moe::Rng(1, "dy"), {s.batch, s.tokens, s.heads * s.width}).to(type);
  const auto call = [=] {
    attention(q, k, v).backward(dy);
    for (const at::Tensor& x : {q, k, v}) x.mutable_grad().reset();
  };
  return {.name = name, .call = call, .gflop = s.gflop(), .goal = goal};
}

// Never slower than the fused kernel; far from it where that is slowest.
double at_most(const Sizes& s, at::ScalarType type) {
  return type == at::kBFloat16 && s.tokens == 129 ? 0.3 : 1.0;
}

}  // namespace

int main(int argc, char** argv) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Sizes& s : {Sizes{8, 12, 129, 64}, Sizes{8, 8, 400, 32}, Sizes{1, 8, 300, 32}, Sizes{2, 8, 2000, 32}}) {
      bench::add_turns(
          moe::text("attention/", type == at::kFloat ? "fp32" : "bf16", "/[", s.batch, ",", s.heads, ",", s.tokens, ",",
                    s.width, "]"),
          {rival("moe", library, s, type), rival("sdpa", fused, s, type, {at_most(s, type)}),
           rival("two_products", two_products, s, type, {1.0}), rival("moe_tiled", library_tiled, s, type)});
    }
  }
  const moe::KeepMemory keep;  // as a session does
  return bench::run_benchmarks(argc, argv);
}
