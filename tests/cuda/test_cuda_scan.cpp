// The selective scan: its slow reference against golden numbers, the CUDA library's kernels against the reference
// with every gradient; lengths below, at and between multiples of the chunk; more channels than a tile; finite
// differences; the same bits in both orders of threads.
#include <torch/torch.h>

#include "cuda/functions.h"
#include "device_under_test.h"
#include "support/finite_difference.h"
#include "support/hash_fill.h"

using moe::nn::SelectiveScanInputs;

struct Case {
  int64_t images, steps, channels, states;
};

static std::vector<Case> cases() {
  return {{1, 4, 2, 2}, {2, 7, 4, 2}, {2, 16, 3, 16}, {1, 33, 5, 3}, {2, 40, 70, 4}, {1, 1, 1, 1}, {0, 3, 2, 2}};
}

static SelectiveScanInputs inputs(const Case& c, at::ScalarType type, at::Device where) {
  const auto make = [&](const char* name, at::IntArrayRef shape, double low, double high) {
    return (hash_fill::uniform(name, shape) * (high - low) + low).to(type).to(where).requires_grad_();
  };
  return {make("u", {c.images, c.steps, c.channels}, -1, 1), make("delta", {c.images, c.steps, c.channels}, 0.01, 1),
          make("a", {c.channels, c.states}, -4, -0.1),       make("b", {c.images, c.steps, c.states}, -1, 1),
          make("c", {c.images, c.steps, c.states}, -1, 1),   make("skip", {c.channels}, 0.5, 1.5)};
}

static std::vector<at::Tensor> leaves(const SelectiveScanInputs& in) {
  return {in.u, in.delta, in.a, in.b, in.c, in.skip};
}

static at::Tensor direction(const at::Tensor& out) {
  return (hash_fill::uniform("direction", out.sizes()) - 0.5).to(out.options());
}

// sin(0.1 (i + 1) + phase), i in row-major order
static at::Tensor waves(at::IntArrayRef shape, double phase) {
  const int64_t count = c10::multiply_integers(shape);
  return at::sin((at::arange(count, at::kDouble) + 1) * 0.1 + phase).view(shape);
}

// Of another implementation of the formulas, in double.
static void golden_numbers(void**) {
  const at::Tensor delta = at::softplus(waves({1, 4, 2}, 1) + at::tensor({-1.0, 0.5}, at::kDouble));
  const SelectiveScanInputs in{waves({1, 4, 2}, 0),
                               delta,
                               at::tensor({-1.0, -2.0, -1.0, -2.0}, at::kDouble).view({2, 2}),
                               waves({1, 4, 2}, 2),
                               waves({1, 4, 2}, 3),
                               at::tensor({1.0, 0.5}, at::kDouble)};
  const double want[] = {0.0991110046193334, 0.0956382004776228,  0.2297625818718287, -0.0067740685489516,
                         0.2866279837319657, -0.1798518343725881, 0.3442674047761576, -0.2386408177794194};
  const SelectiveScanInputs ours{there(in.u), there(in.delta), there(in.a), there(in.b), there(in.c), there(in.skip)};
  for (const at::Tensor& y :
       {moe::nn::selective_scan_reference(in), here(moe::cuda::selective_scan(kernels(), ours))}) {
    for (int64_t i = 0; i < 8; ++i) CHECK_NEAR(y.view(-1)[i].item<double>(), want[i], 1e-12);
  }
}

static void against_the_reference(void**) {
  for (const Case& c : cases()) {
    for (const auto& [type, tolerance] : {std::pair{at::kDouble, 1e-12}, std::pair{at::kFloat, 2e-5}}) {
      const SelectiveScanInputs ours = inputs(c, type, device()), theirs = inputs(c, type, at::kCPU);
      const at::Tensor got = moe::cuda::selective_scan(kernels(), ours);
      const at::Tensor want = moe::nn::selective_scan_reference(theirs);
      check_close(got, want, tolerance, "scan");
      got.backward(direction(got));
      want.backward(direction(want));
      for (size_t i = 0; i < 6; ++i) {
        if (leaves(theirs)[i].grad().defined()) {
          check_close(leaves(ours)[i].grad(), leaves(theirs)[i].grad(), 5 * tolerance, "gradient of the scan");
        }
      }
    }
  }
}

static void finite_differences(void**) {
  if (on_gpu()) return;  // taken in the CPU's memory
  for (const Case& c : {Case{1, 7, 4, 2}, Case{2, 18, 2, 1}}) {
    const SelectiveScanInputs in = inputs(c, at::kDouble, at::kCPU);
    const at::Tensor weights = direction(in.u);
    CHECK(gradient_error([&] { return (moe::cuda::selective_scan(kernels(), in) * weights).sum(); }, leaves(in)) <
          1e-8);
  }
}

static void same_bits_in_any_order(void**) {
  const Case c{2, 40, 70, 4};
  const SelectiveScanInputs once = inputs(c, at::kFloat, device()), again = inputs(c, at::kFloat, device());
  const at::Tensor a = moe::cuda::selective_scan(kernels(), once),
                   b = moe::cuda::selective_scan(kernels_again(), again);
  a.backward(direction(a));
  b.backward(direction(b));
  CHECK(at::equal(a, b));
  for (size_t i = 0; i < 6; ++i) CHECK(at::equal(leaves(once)[i].grad(), leaves(again)[i].grad()));
}

static void one_line_errors(void**) {
  CHECK_ERROR(MOE_ERR_UNSUPPORTED, "1 to 16 states, got 17",
              moe::cuda::selective_scan(kernels(), inputs({1, 2, 2, 17}, at::kFloat, device())));
  SelectiveScanInputs in = inputs({1, 2, 2, 3}, at::kFloat, device());
  in.b = in.b.narrow(1, 0, 1);
  CHECK_ERROR(MOE_ERR_SHAPE, "expected b [1, 2, 3], got [1, 1, 3]", moe::cuda::selective_scan(kernels(), in));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(golden_numbers),     cmocka_unit_test(against_the_reference),
      cmocka_unit_test(finite_differences), cmocka_unit_test(same_bits_in_any_order),
      cmocka_unit_test(one_line_errors),
  };
  return run_on_device(tests, "cuda_scan");
}
