// Times on a GPU: a mixture layer's grouped products beside at::_grouped_mm and beside one dense product of the same
// size; the memory-bound kernels in GB/s; deformable attention beside its grid-sample form. Medians of turns in which
// every rival runs once. Prints a table; checks nothing but that the results agree.
#include <torch/cuda.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "cuda/functions.h"
#include "device_under_test.h"

using moe::Dispatch;

// Milliseconds, after three turns of warming up.
static double once(const std::function<void()>& work) {
  torch::cuda::synchronize();
  const auto start = std::chrono::steady_clock::now();
  work();
  torch::cuda::synchronize();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

static std::vector<double> medians(const std::vector<std::function<void()>>& rivals) {
  constexpr int warm = 3, turns = 21;
  std::vector<std::vector<double>> times(rivals.size());
  for (int turn = 0; turn < warm + turns; ++turn) {
    for (size_t i = 0; i < rivals.size(); ++i) {
      const double time = once(rivals[i]);
      if (turn >= warm) times[i].push_back(time);
    }
  }
  std::vector<double> out;
  for (std::vector<double>& t : times) {
    std::nth_element(t.begin(), t.begin() + turns / 2, t.end());
    out.push_back(t[turns / 2]);
  }
  return out;
}

struct LayerCase {
  int64_t tokens, experts, dim, width;
  at::ScalarType type;
};

static void time_grouped(const LayerCase& c) {
  constexpr int64_t slots = 2;
  const auto options = at::TensorOptions(at::kCUDA).dtype(c.type);
  const at::Tensor experts = at::randint(c.experts, {c.tokens, slots}, options.dtype(at::kLong));
  const Dispatch dispatch = kernels().sort_by_expert(experts, c.experts);
  const moe::cuda::RowGroups groups = kernels().row_groups(dispatch, c.type);
  const at::Tensor rows = at::randn({dispatch.rows(), c.dim}, options);
  const at::Tensor weights = at::randn({c.experts, c.width, c.dim}, options).transpose(1, 2);
  const at::Tensor ends = dispatch.offsets.narrow(0, 1, c.experts).to(at::kInt), dense = weights[0];
  const double size = at::_grouped_mm(rows, weights, ends).abs().max().item<double>();
  check_near((kernels().grouped_mm(dispatch, groups, rows, weights) - at::_grouped_mm(rows, weights, ends))
                     .abs()
                     .max()
                     .item<double>() /
                 size,
             0, c.type == at::kFloat ? 2e-3 : 2e-2, "grouped product", __FILE__, __LINE__);
  const auto ms = medians({[&] { kernels().grouped_mm(dispatch, groups, rows, weights); },
                           [&] { at::_grouped_mm(rows, weights, ends); }, [&] { at::mm(rows, dense); }});
  std::printf("%-9s T %6ld E %3ld %5ld x %5ld: ours %8.3f ms, _grouped_mm %8.3f ms (%.2f), dense %8.3f ms (%.2f)\n",
              c10::toString(c.type), c.tokens, c.experts, c.dim, c.width, ms[0], ms[1], ms[0] / ms[1], ms[2],
              ms[0] / ms[2]);
}

static void grouped_products(void**) {
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    for (const int64_t experts : {8, 64}) {
      for (const int64_t tokens : {2400, 16384}) time_grouped({tokens, experts, 1024, 4096, type});
    }
  }
}

static void row_kernels(void**) {
  constexpr int64_t tokens = 32768, slots = 2, experts = 64, dim = 1024;
  const auto options = at::TensorOptions(at::kCUDA).dtype(at::kBFloat16);
  const at::Tensor logits = at::randn({tokens, experts}, options.dtype(at::kFloat));
  const moe::cuda::GateOptions gate_options{slots};
  const moe::cuda::Gate gate = kernels().gate(logits, {}, gate_options);
  const Dispatch d = kernels().sort_by_expert(gate.chosen, experts);
  const at::Tensor x = at::randn({tokens, dim}, options), rows = kernels().gather_rows(d, x);
  const auto ms = medians(
      {[&] { kernels().gate(logits, {}, gate_options); }, [&] { kernels().sort_by_expert(gate.chosen, experts); },
       [&] { kernels().gather_rows(d, x); }, [&] { kernels().combine_rows(d, rows, gate.weights, {}); },
       [&] { kernels().combine_backward(d, rows, gate.weights, {}, x); }, [&] { x.clone(); }});
  const double token_mb = 2e-6 * tokens * dim, row_mb = slots * token_mb;
  std::printf("gate %.3f ms; sort %.3f ms; copy of x %.0f GB/s\n", ms[0], ms[1], 2 * token_mb / ms[5]);
  std::printf("gather %.0f GB/s; combine %.0f GB/s; combine backward %.0f GB/s\n", (token_mb + row_mb) / ms[2],
              (token_mb + row_mb) / ms[3], (2 * token_mb + 2 * row_mb) / ms[4]);
}

// RT-DETR's decoder: a batch of 8, 300 queries, 8 heads of 32, three levels of 4 points.
static void deformable(void**) {
  const moe::nn::SamplingPlan plan{{{80, 80}, {40, 40}, {20, 20}}, {4, 4, 4}};
  const auto options = at::TensorOptions(at::kCUDA).dtype(at::kFloat);
  const at::Tensor value = at::randn({8, 8400, 8, 32}, options).requires_grad_();
  const at::Tensor locations = at::rand({8, 300, 8, 12, 2}, options).requires_grad_();
  const at::Tensor weights = at::softmax(at::randn({8, 300, 8, 12}, options), 3).detach().requires_grad_();
  const auto both = [](const at::Tensor& y) { y.sum().backward(); };
  const auto ours = [&] { return moe::cuda::deformable_attention(kernels(), value, plan, locations, weights); };
  const auto theirs = [&] { return moe::nn::deformable_attention_reference(value, plan, locations, weights); };
  const auto ms = medians({ours, theirs, [&] { both(ours()); }, [&] { both(theirs()); }});
  std::printf(
      "deformable attention: forward %.3f ms, grid-sample form %.3f ms (%.2f); with backward %.3f and %.3f ms (%.2f)\n",
      ms[0], ms[1], ms[0] / ms[1], ms[2], ms[3], ms[2] / ms[3]);
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(grouped_products), cmocka_unit_test(row_kernels),
                              cmocka_unit_test(deformable)};
  return run_on_device(tests, "time_cuda");
}
