// Checkpointed blocks against the plain call: the same outputs and gradients bit for bit.
#include "tensor/checkpoint_fn.h"

#include <torch/torch.h>

#include "base/rng.h"
#include "support/test.h"
#include "tensor/random.h"
#include "tensor/scope.h"

using namespace moe;

namespace {

// Linear + GELU + Linear with captured parameters.
struct Block {
  at::Tensor w1, b1, w2, b2;

  explicit Block(uint64_t seed) {
    const Rng rng(seed, "block");
    w1 = normal_tensor(rng.child("w1"), {16, 8}).requires_grad_();
    b1 = normal_tensor(rng.child("b1"), {16}).requires_grad_();
    w2 = normal_tensor(rng.child("w2"), {8, 16}).requires_grad_();
    b2 = normal_tensor(rng.child("b2"), {8}).requires_grad_();
  }
  at::Tensor operator()(const at::Tensor& x) const { return at::linear(at::gelu(at::linear(x, w1, b1)), w2, b2); }
  std::vector<at::Tensor> parameters() const { return {w1, b1, w2, b2}; }
};

at::Tensor input() {
  return normal_tensor(Rng(7, "x"), {5, 8});
}  // [T, C]

// Runs `call` on fresh leaves and returns output and gradients of x and of the parameters.
std::vector<at::Tensor> run(const std::function<at::Tensor(const Block&, const at::Tensor&)>& call,
                            bool x_wants_gradient = true) {
  const Block block(3);
  const at::Tensor x = input().requires_grad_(x_wants_gradient);
  const at::Tensor y = call(block, x);
  y.to(at::kFloat).square().sum().backward();
  std::vector<at::Tensor> out = {y.detach(), x.grad()};
  for (const at::Tensor& parameter : block.parameters()) out.push_back(parameter.grad());
  return out;
}

void check_same(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  CHECK(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i].defined() != want[i].defined()) std::fprintf(stderr, "tensor %zu: defined %d\n", i, got[i].defined());
    CHECK(got[i].defined() == want[i].defined());
    CHECK(!got[i].defined() || (got[i].scalar_type() == want[i].scalar_type() && at::equal(got[i], want[i])));
  }
}

at::Tensor plain(const Block& block, const at::Tensor& x) {
  return block(x);
}

at::Tensor kept_small(const Block& block, const at::Tensor& x) {
  const TensorFunction fn = [&block](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{block(in[0])};
  };
  return checkpointed(fn, {x})[0];
}

}  // namespace

static void gradients_are_the_same_bits(void**) {
  check_same(run(kept_small), run(plain));
}

static void inputs_without_gradient(void**) {
  const auto got = run(kept_small, false);
  check_same(got, run(plain, false));
  CHECK(!got[1].defined() && got[2].defined());
}

static void under_autocast(void**) {
  const auto autocast = [](auto call) {
    return [call](const Block& block, const at::Tensor& x) {
      const AutocastScope scope(at::kBFloat16);
      return call(block, x);
    };
  };
  const auto want = run(autocast(plain));
  CHECK(want[0].scalar_type() == at::kBFloat16);
  check_same(run(autocast(kept_small)), want);
}

// The block's weights are also used outside it, before and after, and the backward pass runs inside the autocast scope.
static void shared_weights_under_autocast(void**) {
  const auto twice = [](bool checkpoint_first) {
    const Block block(3);
    const AutocastScope scope(at::kBFloat16);
    const at::Tensor x = input().requires_grad_();
    const at::Tensor y = checkpoint_first ? plain(block, kept_small(block, x)) : kept_small(block, plain(block, x));
    y.to(at::kFloat).sum().backward();
    return std::vector<at::Tensor>{x.grad(), block.w1.grad(), block.w2.grad()};
  };
  const Block block(3);
  const at::Tensor x = input().requires_grad_();
  {
    const AutocastScope scope(at::kBFloat16);
    plain(block, plain(block, x)).to(at::kFloat).sum().backward();
  }
  const std::vector<at::Tensor> want = {x.grad(), block.w1.grad(), block.w2.grad()};
  for (const bool first : {true, false}) {
    const auto got = twice(first);
    CHECK(at::equal(got[0], want[0]));
    // two casts in place of one cached cast: the sum of the two gradients is taken in fp32, not in bf16
    for (size_t i = 1; i < 3; ++i)
      CHECK(at::allclose(got[i], want[i], 2e-2, 2e-2 * want[i].abs().max().item<double>()));
  }
}

static void nested(void**) {
  const auto outer = [](const Block& block, const at::Tensor& x) {
    const TensorFunction fn = [&block](const std::vector<at::Tensor>& in) {
      const at::Tensor middle = kept_small(block, in[0]);
      return std::vector<at::Tensor>{at::tanh(middle)};
    };
    return checkpointed(fn, {x})[0];
  };
  check_same(run(outer), run([](const Block& block, const at::Tensor& x) { return at::tanh(block(x)); }));
  CHECK(!recomputing());
}

static void several_inputs_and_outputs(void**) {
  const TensorFunction fn = [](const std::vector<at::Tensor>& in) {
    const at::Tensor sum = in[0] + in[1];
    return std::vector<at::Tensor>{at::sin(sum), sum.argmax(1), in[0] * in[1], in[1].exp(), in[0]};
  };
  const auto gradients = [&fn](bool checkpoint) {
    const at::Tensor a = input().requires_grad_(), b = (input() * 2).requires_grad_(), c = input();
    const auto out = checkpoint ? checkpointed(fn, {a, b, c}) : fn({a, b, c});
    CHECK(out[1].scalar_type() == at::kLong && !out[1].requires_grad());
    (out[0].sum() + out[2].square().sum() + out[4].sum()).backward();  // out[3] is not used, out[4] is an input
    return std::vector<at::Tensor>{out[0].detach(), out[1], out[2].detach(), a.grad(), b.grad(), c.grad()};
  };
  check_same(gradients(true), gradients(false));
}

static void the_second_run_is_marked(void**) {
  std::vector<bool> marks;
  const at::Tensor w = at::ones({3}).requires_grad_();
  const TensorFunction inner = [&](const std::vector<at::Tensor>& in) {
    marks.push_back(recomputing());
    return std::vector<at::Tensor>{in[0] * w};
  };
  const TensorFunction outer = [&](const std::vector<at::Tensor>& in) {
    const at::Tensor middle = checkpointed(inner, in)[0];
    marks.push_back(recomputing());
    return std::vector<at::Tensor>{middle};
  };
  const at::Tensor x = at::ones({3}).requires_grad_();
  const at::Tensor y = checkpointed(outer, {x})[0];
  CHECK((marks == std::vector<bool>{false, false}));
  y.sum().backward();
  // outer again with inner's own first run, then inner again
  CHECK((marks == std::vector<bool>{false, false, true, true, true}));
  CHECK(!recomputing());
  CHECK(at::equal(w.grad(), x));
}

static void without_gradients_a_plain_call(void**) {
  const Block block(3);
  const at::NoGradGuard no_grad;
  const at::Tensor y = kept_small(block, input());
  CHECK(!y.requires_grad() && at::equal(y, block(input())));
}

// An error of the second run reaches the caller of backward() and leaves no mark behind.
static void an_error_in_the_second_run(void**) {
  const TensorFunction fn = [](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
    if (recomputing()) fail(MOE_ERR_INTERNAL, "second run");
    return {in[0] * 2};
  };
  const at::Tensor x = at::ones({2}).requires_grad_();
  const at::Tensor y = checkpointed(fn, {x})[0].sum();
  CHECK_ERROR(MOE_ERR_INTERNAL, "second run", y.backward());
  CHECK(!recomputing() && at::GradMode::is_enabled());
  check_same(run(kept_small), run(plain));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(gradients_are_the_same_bits),
      cmocka_unit_test(inputs_without_gradient),
      cmocka_unit_test(under_autocast),
      cmocka_unit_test(shared_weights_under_autocast),
      cmocka_unit_test(nested),
      cmocka_unit_test(several_inputs_and_outputs),
      cmocka_unit_test(the_second_run_is_marked),
      cmocka_unit_test(without_gradients_a_plain_call),
      cmocka_unit_test(an_error_in_the_second_run),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
