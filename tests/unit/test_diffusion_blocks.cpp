// One convolution expert against diffusers' ResnetBlock2D with scale and shift, forward and gradients, through both of
// the stack's ways; the embedding of time against diffusers' own.
#include <torch/torch.h>

#include "fixtures/diffusion/blocks.h"
#include "models/diffusion/conv_expert_stack.h"
#include "models/diffusion/layers.h"
#include "support/test.h"

using namespace moe;
using namespace moe::diffusion;
namespace want = golden::blocks;

constexpr int64_t samples = 2, channels = 8, height = 4, width = 3;

// As blocks.py has it.
static at::Tensor fill(at::IntArrayRef shape, double phase, double scale = 1) {
  const int64_t count = c10::multiply_integers(shape);
  return ((at::arange(count, at::kDouble) * 1.7 + phase).sin() * scale).view(shape);
}

template <size_t Count>
static void check_close(const at::Tensor& got, const double (&golden)[Count]) {
  const at::Tensor flat = got.detach().to(at::kDouble).contiguous().flatten();
  CHECK(flat.numel() == static_cast<int64_t>(Count));
  for (size_t i = 0; i < Count; ++i) CHECK_NEAR(flat[static_cast<int64_t>(i)].item<double>(), golden[i], 1e-9);
}

static std::shared_ptr<ConvExpertStack> expert() {
  auto stack = std::make_shared<ConvExpertStack>(ExpertShape{1, channels, channels, false, {1}});
  stack->to(at::kDouble);
  const torch::NoGradGuard no_grad;
  auto parameters = stack->named_parameters();
  const auto put = [&](const char* name, const at::Tensor& values) {
    parameters[name].copy_(values.view(parameters[name].sizes()));
  };
  put("norm1", fill({channels}, 0.1, 0.3) + 1);
  put("bias_norm1", fill({channels}, 0.2, 0.3));
  put("norm2", fill({channels}, 0.3, 0.3) + 1);
  put("bias_norm2", fill({channels}, 0.4, 0.3));
  put("weight1", fill({channels, channels, 3, 3}, 0.5, 0.2));
  put("weight2", fill({channels, channels, 3, 3}, 0.6, 0.2));
  return stack;
}

template <typename Forward>
static void check_block(Forward forward) {
  const auto stack = expert();
  at::Tensor x = fill({samples, channels, height, width}, 0.7).requires_grad_();
  const std::vector<at::Tensor> parts = fill({samples, 2 * channels}, 0.8, 0.5).chunk(2, 1);
  const at::Tensor y = forward(*stack, x, parts[0], parts[1]);
  check_close(y, want::y);
  (y * fill({samples, channels, height, width}, 0.9)).sum().backward();
  check_close(x.grad(), want::dx);
  check_close(stack->named_parameters()["norm2"].grad(), want::dnorm2);
  check_close(stack->named_parameters()["weight1"].grad()[0].narrow(0, 0, 2), want::dweight1);
}

static void test_expert_is_a_resnet_block(void**) {
  using Tensor = at::Tensor;
  check_block([](const ConvExpertStack& stack, const Tensor& x, const Tensor& scale, const Tensor& shift) {
    return stack.all(x, scale, shift);
  });
  check_block([](const ConvExpertStack& stack, const Tensor& x, const Tensor& scale, const Tensor& shift) {
    const Tensor first = at::zeros({samples, 1}, at::kLong), whole = at::ones({samples, 1}, at::kDouble);
    return stack.routed(x, first, whole, scale, shift);
  });
}

static void test_embedding_of_time(void**) {
  const at::Tensor got = sinusoid(at::tensor({0.0, 1.0, 250.5, 999.0}, at::kDouble), 8).to(at::kDouble).flatten();
  CHECK(got.numel() == static_cast<int64_t>(std::size(want::embedding)));
  for (size_t i = 0; i < std::size(want::embedding); ++i) {
    CHECK_NEAR(got[static_cast<int64_t>(i)].item<double>(), want::embedding[i], 1e-4);  // its angles are float32
  }
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_expert_is_a_resnet_block),
                              cmocka_unit_test(test_embedding_of_time)};
  return cmocka_run_group_tests_name("diffusion blocks", tests, nullptr, nullptr);
}
