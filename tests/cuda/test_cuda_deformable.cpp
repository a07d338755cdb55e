// Deformable attention of the CUDA library against the CPU's kernel and the grid-sample form: results and gradients on
// awkward sizes, in every type; the same bits in both orders of threads; finite differences.
#include <torch/torch.h>

#include "cuda/functions.h"
#include "device_under_test.h"
#include "support/finite_difference.h"
#include "support/hash_fill.h"

using moe::nn::SamplingPlan;

struct Case {
  SamplingPlan plan;
  int64_t rows, queries, heads, dim;
  std::vector<int64_t> image_index = {};  // empty: group g reads row g
};

static std::vector<Case> cases() {
  return {
      {{{{5, 7}, {3, 4}, {1, 2}}, {4, 4, 4}}, 2, 9, 2, 16},
      {{{{1, 1}, {1, 1}}, {2, 1}}, 2, 4, 1, 16},                // 1x1 maps
      {{{{4, 3}, {2, 2}}, {3, 6}}, 2, 3, 2, 5},                 // points differ by level, odd width
      {{{{5, 3}, {3, 2}}, {2, 2}}, 3, 4, 2, 16, {2, 0, 2, 0}},  // four groups read two of three rows
      {{{{4, 4}}, {4}}, 2, 0, 2, 16},                           // no queries
  };
}

struct Inputs {
  at::Tensor value, locations, weights, index;

  Inputs(const Case& c, at::ScalarType type, at::Device where) {
    const int64_t groups = c.image_index.empty() ? c.rows : static_cast<int64_t>(c.image_index.size());
    int64_t points = 0;
    for (const int64_t count : c.plan.points) points += count;
    const auto make = [&](const char* name, at::IntArrayRef shape, double low, double high) {
      return (hash_fill::uniform(name, shape) * (high - low) + low).to(type).to(where).requires_grad_();
    };
    value = make("value", {c.rows, moe::nn::cells(c.plan.levels), c.heads, c.dim}, -1, 1);
    locations = make("locations", {groups, c.queries, c.heads, points, 2}, -0.3, 1.3);  // a good part lies outside
    weights = make("weights", {groups, c.queries, c.heads, points}, -0.5, 1);
    if (!c.image_index.empty()) index = at::tensor(c.image_index, at::kLong).to(where);
  }

  std::vector<at::Tensor> leaves() const { return {value, locations, weights}; }
};

static at::Tensor run(const moe::cuda::Kernels& k, const Case& c, const Inputs& in) {
  return moe::cuda::deformable_attention(k, in.value, c.plan, in.locations, in.weights, in.index);
}

static at::Tensor direction(const at::Tensor& out) {
  return (hash_fill::uniform("direction", out.sizes()) - 0.5).to(out.options());
}

static void check_against(const at::Tensor& got, const Inputs& ours, const at::Tensor& want, const Inputs& theirs,
                          double tolerance) {
  check_close(got, want, tolerance, "deformable attention");
  got.backward(direction(got));
  want.backward(direction(want));
  for (size_t i = 0; i < 3; ++i) {
    check_close(ours.leaves()[i].grad(), theirs.leaves()[i].grad(), tolerance, "gradient of deformable attention");
  }
}

static void against_the_cpu_kernel(void**) {
  for (const Case& c : cases()) {
    for (const auto& [type, tolerance] :
         {std::pair{at::kDouble, 1e-13}, std::pair{at::kFloat, 2e-6}, std::pair{at::kBFloat16, 2e-2}}) {
      const Inputs ours(c, type, device()), theirs(c, type, at::kCPU);
      const at::Tensor want =
          moe::nn::deformable_attention(theirs.value, c.plan, theirs.locations, theirs.weights, theirs.index);
      check_against(run(kernels(), c, ours), ours, want, theirs, tolerance);
    }
  }
}

static void against_grid_sampler(void**) {
  for (const Case& c : cases()) {
    if (c.queries == 0) continue;
    const Inputs ours(c, at::kDouble, device()), theirs(c, at::kDouble, at::kCPU);
    const at::Tensor want =
        moe::nn::deformable_attention_reference(theirs.value, c.plan, theirs.locations, theirs.weights, theirs.index);
    check_against(run(kernels(), c, ours), ours, want, theirs, 1e-12);
  }
}

// All points of all queries fall on one cell: its taps are summed by one thread, in their order.
static void many_taps_on_one_cell(void**) {
  const Case c{{{{4, 4}}, {4}}, 1, 500, 1, 8};
  const Inputs ours(c, at::kDouble, device()), theirs(c, at::kDouble, at::kCPU);
  for (const Inputs* in : {&ours, &theirs}) at::Tensor(in->locations).data().fill_(0.4);
  const at::Tensor want = moe::nn::deformable_attention(theirs.value, c.plan, theirs.locations, theirs.weights);
  check_against(run(kernels(), c, ours), ours, want, theirs, 1e-12);
}

static void points_at_nan_count_nothing(void**) {
  const Case c{{{{4, 4}}, {2}}, 1, 3, 1, 8};
  const Inputs in(c, at::kFloat, device());
  at::Tensor(in.locations).data().fill_(std::nan(""));
  const at::Tensor out = run(kernels(), c, in);
  out.sum().backward();
  CHECK(out.abs().max().item<double>() == 0 && in.value.grad().abs().max().item<double>() == 0);
}

static void finite_differences(void**) {
  if (on_gpu()) return;  // taken in the CPU's memory
  for (const Case& c : {cases()[1], cases()[2]}) {
    const Inputs in(c, at::kDouble, at::kCPU);
    CHECK(gradient_error([&] { return (run(kernels(), c, in) * direction(run(kernels(), c, in))).sum(); }, in.leaves(),
                         1e-6) < 1e-6);
  }
}

static void same_bits_in_any_order(void**) {
  const Case c = cases()[3];
  const Inputs once(c, at::kFloat, device()), again(c, at::kFloat, device());
  const at::Tensor a = run(kernels(), c, once), b = run(kernels_again(), c, again);
  a.backward(direction(a));
  b.backward(direction(b));
  CHECK(at::equal(a, b));
  for (size_t i = 0; i < 3; ++i) CHECK(at::equal(once.leaves()[i].grad(), again.leaves()[i].grad()));
}

static void one_line_errors(void**) {
  const Case c = cases()[1];
  const Inputs in(c, at::kFloat, device());
  const SamplingPlan many{std::vector<moe::nn::LevelShape>(9, {1, 1}), std::vector<int64_t>(9, 1)};
  CHECK_ERROR(MOE_ERR_SHAPE, "at most 8 levels", run(kernels(), {many, 2, 4, 1, 16}, in));
  const SamplingPlan wrong{{{2, 1}, {1, 1}}, {2, 1}};
  CHECK_ERROR(MOE_ERR_SHAPE, "values [2, 3, 1, 16]", run(kernels(), {wrong, 2, 4, 1, 16}, in));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(against_the_cpu_kernel), cmocka_unit_test(against_grid_sampler),
      cmocka_unit_test(many_taps_on_one_cell),  cmocka_unit_test(points_at_nan_count_nothing),
      cmocka_unit_test(finite_differences),     cmocka_unit_test(same_bits_in_any_order),
      cmocka_unit_test(one_line_errors),
  };
  return run_on_device(tests, "cuda_deformable");
}
