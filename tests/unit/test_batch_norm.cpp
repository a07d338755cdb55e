// Batch normalisation with sum and activation: against LibTorch's operators one after the other, in every type and for
// sizes that fill no vector and more than one chunk of rows; gradients by finite differences; threads change no bit.
#include "nn/batch_norm.h"

#include <torch/torch.h>

#include "support/finite_difference.h"
#include "support/hash_fill.h"
#include "support/test.h"

using namespace moe::nn;

namespace {

struct Case {
  std::vector<int64_t> shape;
  int terms;
  bool residual;
  Activation activation;
  bool training = true;
};

struct Inputs {
  std::vector<std::shared_ptr<BatchNorm2d>> norms;
  std::vector<at::Tensor> x;
  at::Tensor residual;

  Inputs(const Case& c, at::ScalarType type) {
    for (int t = 0; t < c.terms; ++t) {
      norms.push_back(std::make_shared<BatchNorm2d>(c.shape[1]));
      norms.back()->to(type == at::kDouble ? at::kDouble : at::kFloat);
      hash_fill::fill(*norms.back(), "norm" + std::to_string(t));
      norms.back()->train(c.training);
      x.push_back(values("x" + std::to_string(t), c.shape, type));
    }
    if (c.residual) residual = values("residual", c.shape, type);
  }

  static at::Tensor values(const std::string& name, at::IntArrayRef shape, at::ScalarType type) {
    return (4 * hash_fill::uniform(name, shape) - 1.5).to(type).requires_grad_();
  }

  at::Tensor forward(Activation activation) const {
    std::vector<NormTerm> all;
    for (size_t t = 0; t < x.size(); ++t) all.push_back({x[t], norms[t].get()});
    return norm_sum(all, residual, activation);
  }

  at::Tensor by_operators(Activation activation) const {
    at::Tensor sum = residual;
    for (size_t t = 0; t < x.size(); ++t) {
      BatchNorm2d& n = *norms[t];
      const at::Tensor y = at::batch_norm(x[t], n.weight, n.bias, n.running_mean, n.running_var, n.is_training(), 0.1,
                                          n.eps(), false);
      sum = sum.defined() ? sum + y : y;
    }
    return activation == Activation::relu ? at::relu(sum) : activate(activation, sum);
  }

  std::vector<at::Tensor> leaves() const {
    std::vector<at::Tensor> out = x;
    if (residual.defined()) out.push_back(residual);
    for (const auto& norm : norms) {
      out.push_back(norm->weight);
      out.push_back(norm->bias);
    }
    return out;
  }

  std::vector<at::Tensor> buffers() const {
    std::vector<at::Tensor> out;
    for (const auto& norm : norms) {
      out.push_back(norm->running_mean);
      out.push_back(norm->running_var);
    }
    return out;
  }
};

std::vector<Case> cases(const std::vector<int64_t>& shape) {
  std::vector<Case> out;
  for (const bool training : {true, false}) {
    for (const Activation activation : {Activation::none, Activation::relu, Activation::silu, Activation::gelu}) {
      out.push_back({shape, 1, false, activation, training});
      out.push_back({shape, 1, true, activation, training});
      out.push_back({shape, 2, false, activation, training});
    }
  }
  return out;
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b).abs().max().item<double>();
}

// The same numbers as float64 operators, from inputs that the narrow type holds.
void check_against_operators(const Case& c, at::ScalarType type, double tolerance) {
  const Inputs tested(c, type), exact(c, at::kDouble);
  const auto leaves = tested.leaves(), wanted = exact.leaves();
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < leaves.size(); ++i) wanted[i].copy_(leaves[i]);
  for (size_t i = 0; i < tested.buffers().size(); ++i) exact.buffers()[i].copy_(tested.buffers()[i]);
  const at::AutoGradMode with_grad(true);
  const at::Tensor direction = (hash_fill::uniform("direction", c.shape) - 0.5).to(type);
  const at::Tensor y = tested.forward(c.activation), want = exact.by_operators(c.activation);
  CHECK(y.scalar_type() == type && y.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK_NEAR(distance(y, want), 0, tolerance);
  (y * direction).sum().backward();
  (want * direction.to(at::kDouble)).sum().backward();
  for (size_t i = 0; i < leaves.size(); ++i) {
    const double size = wanted[i].grad().abs().max().item<double>();
    CHECK_NEAR(distance(leaves[i].grad(), wanted[i].grad()) / std::fmax(1, size), 0, tolerance);
  }
  for (size_t i = 0; i < tested.buffers().size(); ++i) {
    CHECK_NEAR(distance(tested.buffers()[i], exact.buffers()[i]), 0, tolerance);
  }
}

void test_operators(void**) {
  for (const auto& shape : {std::vector<int64_t>{2, 5, 3, 7}, {3, 40, 33, 17}, {2, 1, 5, 1}}) {
    for (const Case& c : cases(shape)) {
      check_against_operators(c, at::kDouble, 1e-11);
      check_against_operators(c, at::kFloat, 2e-5);
      if (shape[1] > 1) check_against_operators(c, at::kBFloat16, 4e-2);
    }
  }
}

// Hashed values stay clear of the kink of ReLU.
void test_finite_differences(void**) {
  for (const Case& c : cases({2, 3, 2, 3})) {
    const Inputs in(c, at::kDouble);
    const at::Tensor direction = hash_fill::uniform("direction", c.shape);
    const auto loss = [&] { return (in.forward(c.activation) * direction).sum(); };
    CHECK_NEAR(gradient_error(loss, in.leaves(), 1e-6), 0, 1e-7);
  }
}

void test_same_bits_for_any_thread_count(void**) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    std::vector<at::Tensor> first;
    for (const int threads : {1, 2, 2}) {
      at::set_num_threads(threads);
      const Inputs in({{3, 40, 33, 17}, 2, false, Activation::silu}, type);
      const at::Tensor y = in.forward(Activation::silu);
      y.square().sum().backward();
      std::vector<at::Tensor> results = in.buffers();
      results.push_back(y.detach());
      for (const at::Tensor& leaf : in.leaves()) results.push_back(leaf.grad());
      if (first.empty()) first = results;
      for (size_t i = 0; i < results.size(); ++i) CHECK(results[i].equal(first[i]));
    }
  }
  at::set_num_threads(2);
}

// A mean far from 0 takes no digits from the variance.
void test_large_mean(void**) {
  const at::Tensor x = (hash_fill::uniform("x", {2, 4, 64, 48}) + 1000).to(at::kFloat);
  BatchNorm2d norm(4);
  hash_fill::fill(norm, "norm");
  norm.forward(x);
  const at::Tensor var = x.to(at::kDouble).transpose(0, 1).flatten(1).var(1, /*unbiased=*/true);
  const at::Tensor before = hash_fill::parameter_value("norm.running_var", {4});
  CHECK_NEAR(distance(norm.running_var, 0.9 * before + 0.1 * var), 0, 1e-5);
}

void test_not_a_number_passes(void**) {
  for (const Activation activation : {Activation::relu, Activation::silu}) {
    BatchNorm2d norm(4);
    hash_fill::fill(norm, "norm");
    norm.eval();
    at::Tensor x = at::zeros({1, 4, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast);
    x[0][2][1][0] = NAN;
    const at::Tensor y = norm_sum({{x, &norm}}, {}, activation);
    CHECK(std::isnan(y[0][2][1][0].item<double>()) && y.isnan().sum().item<int64_t>() == 1);
  }
}

// Through LibTorch's operators: the format has no kernel of its own.
void test_float16(void**) {
  const Case c{{2, 8, 3, 5}, 1, true, Activation::relu};
  const Inputs in(c, at::kHalf);
  const at::Tensor want = in.by_operators(c.activation);
  CHECK(in.forward(c.activation).equal(want));
}

void test_refused(void**) {
  BatchNorm2d norm(4), other(5);
  const at::Tensor x = at::ones({1, 4, 2, 2});
  CHECK_ERROR(MOE_ERR_SHAPE, "expected maps [B, 5, H, W] like [1, 4, 2, 2], got [1, 4, 2, 2]",
              norm_sum({{x, &norm}, {x, &other}}, {}, Activation::relu));
  CHECK_ERROR(MOE_ERR_DTYPE, "expected float32, float64 or bfloat16 with a residual like it, got Float and Double",
              norm_sum({{x, &norm}}, x.to(at::kDouble), Activation::relu));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected a residual [1, 4, 2, 2], got [1, 4, 2, 3]",
              norm_sum({{x, &norm}}, at::ones({1, 4, 2, 3}), Activation::relu));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_operators),
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_same_bits_for_any_thread_count),
      cmocka_unit_test(test_large_mean),
      cmocka_unit_test(test_not_a_number_passes),
      cmocka_unit_test(test_float16),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
