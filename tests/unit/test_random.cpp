// Tensors from streams: repeatable, independent of the shape's extent, with the moments they promise.
#include "tensor/random.h"

#include <ATen/ATen.h>

#include "support/test.h"

using namespace moe;

static void the_key_decides(void**) {
  const at::Tensor a = uniform_tensor(Rng(1, "noise", 2, 3), {4, 5});
  CHECK(a.scalar_type() == at::kFloat && a.sizes() == at::IntArrayRef({4, 5}));
  CHECK(at::equal(a, uniform_tensor(Rng(1, "noise", 2, 3), {4, 5})));
  CHECK(!at::equal(a, uniform_tensor(Rng(1, "noise", 2, 4), {4, 5})));
  CHECK(!at::equal(a, uniform_tensor(Rng(2, "noise", 2, 3), {4, 5})));
  CHECK(!at::equal(a, uniform_tensor(Rng(1, "drop", 2, 3), {4, 5})));
}

static void a_longer_tensor_begins_alike(void**) {
  const at::Tensor small = uniform_tensor(Rng(5, "x"), {3, 4}), large = uniform_tensor(Rng(5, "x"), {100});
  CHECK(at::equal(small.view({12}), large.slice(0, 0, 12)));
  const at::Tensor few = normal_tensor(Rng(5, "x"), {2, 3}), many = normal_tensor(Rng(5, "x"), {64});
  CHECK(at::equal(few.view({6}), many.slice(0, 0, 6)));
}

static void the_caller_keeps_its_stream(void**) {
  Rng rng(9, "stream"), same(9, "stream");
  uniform_tensor(rng, {1000});
  CHECK(rng.next() == same.next());
}

static void uniform_moments(void**) {
  const at::Tensor x = uniform_tensor(Rng(3, "u"), {200000}).to(at::kDouble);
  CHECK(x.min().item<double>() >= 0 && x.max().item<double>() < 1);
  CHECK_NEAR(x.mean().item<double>(), 0.5, 0.004);
  CHECK_NEAR(x.var().item<double>(), 1.0 / 12, 0.002);
}

static void normal_moments(void**) {
  const at::Tensor x = normal_tensor(Rng(3, "n"), {200000}).to(at::kDouble);
  CHECK(at::isfinite(x).all().item<bool>());
  CHECK_NEAR(x.mean().item<double>(), 0, 0.01);
  CHECK_NEAR(x.var().item<double>(), 1, 0.02);
  CHECK_NEAR(x.pow(4).mean().item<double>(), 3, 0.1);
  CHECK_NEAR((x.slice(0, 1) * x.slice(0, 0, -1)).mean().item<double>(), 0, 0.01);
}

static void empty_shapes(void**) {
  CHECK(uniform_tensor(Rng(1, "u"), {0, 3}).numel() == 0);
  CHECK(normal_tensor(Rng(1, "n"), {}).dim() == 0);
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_key_decides),
      cmocka_unit_test(a_longer_tensor_begins_alike),
      cmocka_unit_test(the_caller_keeps_its_stream),
      cmocka_unit_test(uniform_moments),
      cmocka_unit_test(normal_moments),
      cmocka_unit_test(empty_shapes),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
