// The linear layer: values and gradients against fp64 loops and finite differences, awkward shapes and strides; the
// same values as torch's own layer under autocast; casts of weights shared within a scope and never kept beyond it.
#include "tensor/linear.h"

#include <torch/torch.h>

#include <functional>

#include "base/rng.h"
#include "support/finite_difference.h"
#include "support/test.h"
#include "tensor/random.h"
#include "tensor/scope.h"

using namespace moe;

namespace {

at::Tensor values(const char* name, at::IntArrayRef shape, at::ScalarType type = at::kDouble) {
  return normal_tensor(Rng(9, name), shape).to(type);
}

struct Layer {
  at::Tensor weight, bias;

  Layer(int64_t in, int64_t out, bool with_bias, at::ScalarType type = at::kDouble) {
    weight = values("weight", {out, in}, type).requires_grad_();
    if (with_bias) bias = values("bias", {out}, type).requires_grad_();
  }
  at::Tensor operator()(const at::Tensor& x) const { return moe::linear(x, weight, bias); }
};

// y[t, o] = b[o] + sum_i x[t, i] w[o, i]
at::Tensor by_loops(const at::Tensor& x, const Layer& layer) {
  const at::Tensor rows = x.detach().reshape({-1, x.size(-1)}), w = layer.weight.detach();
  at::Tensor y = at::zeros({rows.size(0), w.size(0)}, at::kDouble);
  const auto in = rows.accessor<double, 2>(), weight = w.accessor<double, 2>();
  auto out = y.accessor<double, 2>();
  for (int64_t t = 0; t < rows.size(0); ++t) {
    for (int64_t o = 0; o < w.size(0); ++o) {
      out[t][o] = layer.bias.defined() ? layer.bias[o].item<double>() : 0.0;
      for (int64_t i = 0; i < w.size(1); ++i) out[t][o] += in[t][i] * weight[o][i];
    }
  }
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = w.size(0);
  return y.reshape(shape);
}

void check_close(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  CHECK(got.sizes() == want.sizes());
  if (want.numel() > 0) CHECK_NEAR((got - want).abs().max().item<double>(), 0.0, tolerance);
}

void check_against_differences(const at::Tensor& x, bool with_bias) {
  const Layer layer(x.size(-1), 3, with_bias);
  const at::Tensor input = x.detach().requires_grad_();
  const at::Tensor y = layer(input);
  check_close(y.detach(), by_loops(x, layer), 1e-12);
  const at::Tensor direction = values("direction", y.sizes());
  std::vector<at::Tensor> inputs = {input, layer.weight};
  if (with_bias) inputs.push_back(layer.bias);
  CHECK_NEAR(gradient_error([&] { return (layer(input) * direction).sum(); }, inputs, 1e-4), 0, 1e-9);
}

// relative to the largest value
void check_alike(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  CHECK(got.scalar_type() == want.scalar_type());
  const at::Tensor a = got.detach().to(at::kDouble), b = want.detach().to(at::kDouble);
  check_close(a / b.abs().max(), b / b.abs().max(), tolerance);
}

}  // namespace

static void finite_differences(void**) {
  for (const bool with_bias : {true, false}) {
    check_against_differences(values("x", {7, 5}), with_bias);
    check_against_differences(values("x", {2, 3, 5}), with_bias);
    check_against_differences(values("x", {5}), with_bias);
    check_against_differences(values("x", {1, 1}), with_bias);
    check_against_differences(values("x", {2, 0, 5}), with_bias);
  }
}

// Tokens [B, N, C] from a picture [B, C, N], and the expanded gradient of a sum.
static void strides(void**) {
  const Layer layer(6, 4, true);
  const at::Tensor picture = values("x", {2, 6, 5});
  const at::Tensor tokens = picture.transpose(1, 2).requires_grad_();
  const at::Tensor y = layer(tokens);
  check_close(y.detach(), by_loops(tokens, layer), 1e-12);
  y.sum().backward();
  check_close(tokens.grad(), layer.weight.detach().sum(0).expand({2, 5, 6}), 1e-12);
  check_close(layer.weight.grad(), picture.sum({0, 2}).expand({4, 6}), 1e-12);
  check_close(layer.bias.grad(), at::full({4}, 10.0, at::kDouble), 1e-12);
}

static void frozen_parts(void**) {
  Layer layer(5, 4, true);
  layer.weight.requires_grad_(false);
  const at::Tensor x = values("x", {3, 5}).requires_grad_();
  layer(x).sum().backward();
  CHECK(x.grad().defined() && layer.bias.grad().defined() && !layer.weight.grad().defined());
  const Layer other(5, 4, false);
  other(x.detach()).sum().backward();
  CHECK(other.weight.grad().defined());
  const at::NoGradGuard no_grad;
  CHECK(!other(x).requires_grad());
}

// The caller may overwrite the result (ReLU does), without a copy of the gradient.
static void result_is_no_view(void**) {
  const Layer layer(5, 4, true);
  const at::Tensor x = values("x", {2, 3, 5}).requires_grad_(), y = layer(x);
  CHECK(!y.is_view());
  at::relu_(const_cast<at::Tensor&>(y));
  y.sum().backward();
  const at::Tensor mask = by_loops(x, layer).gt(0).to(at::kDouble);
  check_close(x.grad(), at::matmul(mask, layer.weight.detach()), 1e-12);
}

// Values and gradients of torch's layer; `tolerance` in units of the largest value.
static void check_as_torch(std::optional<at::ScalarType> autocast, double tolerance) {
  const at::Tensor x = values("x", {3, 40, 96}, at::kFloat);
  const auto run = [&](auto layer_of, std::vector<at::Tensor>& out) {
    const Layer layer(96, 64, true, at::kFloat);
    const at::Tensor input = x.clone().requires_grad_();
    const AutocastScope scope(autocast);
    const at::Tensor y = layer_of(input, layer);
    (y.to(at::kFloat) * values("direction", {3, 40, 64}, at::kFloat)).sum().backward();
    out = {y, input.grad(), layer.weight.grad(), layer.bias.grad()};
  };
  std::vector<at::Tensor> got, want;
  run([](const at::Tensor& input, const Layer& layer) { return layer(input); }, got);
  run([](const at::Tensor& input, const Layer& layer) { return at::linear(input, layer.weight, layer.bias); }, want);
  for (size_t i = 0; i < got.size(); ++i) check_alike(got[i], want[i], tolerance);
}

static void as_torch(void**) {
  check_as_torch(std::nullopt, 1e-5);
}
static void as_torch_under_autocast(void**) {
  check_as_torch(at::kBFloat16, 0x1p-7);
}

static void one_cast_in_a_scope(void**) {
  const Layer layer(8, 4, true, at::kFloat);
  const AutocastScope scope(at::kBFloat16);
  const at::Tensor first = layer(values("x", {3, 8}, at::kFloat)), second = layer(values("z", {5, 8}, at::kFloat));
  CHECK(first.scalar_type() == at::kBFloat16);
  for (const uint32_t input : {1u, 2u}) {  // weight, bias
    CHECK(first.grad_fn()->next_edge(input).function == second.grad_fn()->next_edge(input).function);
  }
}

static void no_cast_outlives_its_scope(void**) {
  const Layer layer(8, 4, false, at::kFloat);
  const at::Tensor x = at::ones({1, 8});
  const auto forward = [&] {
    const AutocastScope scope(at::kBFloat16);
    const NoCastCache evaluation;
    return layer(x).sum().item<double>();
  };
  const auto train = [&] {
    const AutocastScope scope(at::kBFloat16);
    return layer(x).sum().item<double>();
  };
  for (int step = 0; step < 3; ++step) {
    {
      const at::NoGradGuard no_grad;
      layer.weight.fill_(step);
      CHECK(forward() == 32.0 * step);
    }
    CHECK(train() == 32.0 * step);
  }
}

static void float64_is_never_cast(void**) {
  const AutocastScope scope(at::kBFloat16);
  const Layer layer(5, 4, true);
  const at::Tensor x = values("x", {3, 5});
  check_close(layer(x).detach(), by_loops(x, layer), 1e-12);
}

// Forward and backward, in a size that each backend takes.
static void two_runs_same_bits(void**) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Layer layer(300, 129, true, type);
    const at::Tensor x = values("x", {257, 300}, type).requires_grad_(), dy = values("dy", {257, 129}, type);
    const auto run = [&] {
      const at::Tensor y = layer(x);
      std::vector<at::Tensor> out = torch::autograd::grad({y}, {x, layer.weight, layer.bias}, {dy});
      out.push_back(y.detach());
      return out;
    };
    const std::vector<at::Tensor> first = run(), second = run();
    for (size_t i = 0; i < first.size(); ++i) CHECK(at::equal(first[i], second[i]));
  }
}

static void errors(void**) {
  const Layer layer(5, 4, true);
  CHECK_ERROR(MOE_ERR_SHAPE, "linear: expected x [..., 5] for weight [4, 5], got [3, 4]", layer(values("x", {3, 4})));
  CHECK_ERROR(MOE_ERR_SHAPE, "linear: expected weight [out, in], got [4]", moe::linear(values("x", {5}), layer.bias));
  CHECK_ERROR(MOE_ERR_SHAPE, "linear: expected bias [4] for weight [4, 5], got [5]",
              moe::linear(values("x", {3, 5}), layer.weight, values("b", {5})));
  CHECK_ERROR(MOE_ERR_DTYPE, "of one type, got Float, Double and Double", layer(values("x", {3, 5}, at::kFloat)));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(finite_differences),
                              cmocka_unit_test(strides),
                              cmocka_unit_test(frozen_parts),
                              cmocka_unit_test(result_is_no_view),
                              cmocka_unit_test(as_torch),
                              cmocka_unit_test(as_torch_under_autocast),
                              cmocka_unit_test(one_cast_in_a_scope),
                              cmocka_unit_test(no_cast_outlives_its_scope),
                              cmocka_unit_test(float64_is_never_cast),
                              cmocka_unit_test(two_runs_same_bits),
                              cmocka_unit_test(errors)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
