// The router alone, features to gates, forward and backward in float32: against the usual form with at::topk and no
// checks, and with the two losses that most mixtures train with.
#include "moe/router.h"

#include <torch/torch.h>

#include "base/text.h"
#include "moe/balance.h"
#include "tensor/random.h"
#include "turns.h"

namespace {

struct Sizes {
  int64_t tokens, experts, top_k;
};

constexpr int64_t dim = 256;
constexpr Sizes sizes[] = {{600, 8, 2}, {2400, 8, 2}, {9600, 8, 2}, {9600, 64, 8}, {65536, 8, 2}};

at::Tensor values(const char* name, at::IntArrayRef shape, double scale) {
  return moe::normal_tensor(moe::Rng(1, name), shape) * scale;
}

void add_router(const Sizes& s) {
  const at::Tensor x = values("x", {s.tokens, dim}, 1).requires_grad_();
  const at::Tensor w = values("w", {s.experts, dim}, 0.1).requires_grad_();
  const at::Tensor dg = values("dg", {s.tokens, s.top_k}, 1);
  const auto backward = [=](const at::Tensor& loss) {
    loss.backward();
    for (const at::Tensor& leaf : {x, w}) leaf.mutable_grad().reset();
  };
  moe::RouterOptions options;
  options.top_k = s.top_k;
  const auto ours = [=](bool losses) {
    moe::RouterInputs in;
    in.logits = moe::linear_logits(x, w);
    const moe::Routing r = moe::route(options, in);
    at::Tensor loss = (r.gates * dg).sum();
    if (losses) loss = loss + 0.01 * moe::switch_loss(r) + 0.001 * moe::z_loss(r);
    backward(loss);
  };
  const auto usual = [=] {
    const auto [p, experts] = at::topk(at::softmax(at::linear(x, w), 1), s.top_k, 1);
    backward((p / p.sum(1, true) * dg).sum());
  };
  bench::add_turns(moe::text("router/T=", s.tokens, "/E=", s.experts, "/k=", s.top_k),
                   {{"moe", [=] { ours(false); }}, {"topk", usual}, {"moe_losses", [=] { ours(true); }}});
}

}  // namespace

int main(int argc, char** argv) {
  for (const Sizes& s : sizes) add_router(s);
  return bench::run_benchmarks(argc, argv);
}
