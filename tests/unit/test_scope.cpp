// Scopes restore what they found, also when nested and when an exception leaves them.
#include "tensor/scope.h"

#include <ATen/ATen.h>

#include "support/test.h"

using namespace moe;

static at::ScalarType product_type() {
  const at::Tensor a = at::ones({4, 4});
  return at::mm(a, a).scalar_type();
}

static bool enabled() {
  return at::autocast::is_autocast_enabled(at::kCPU);
}

static void casts_inside_only(void**) {
  const at::ScalarType before = at::autocast::get_autocast_dtype(at::kCPU);
  CHECK(product_type() == at::kFloat);
  {
    const AutocastScope scope(at::kBFloat16);
    CHECK(enabled() && product_type() == at::kBFloat16);
  }
  CHECK(!enabled() && product_type() == at::kFloat && at::autocast::get_autocast_dtype(at::kCPU) == before);
}

static void nested(void**) {
  const AutocastScope outer(at::kBFloat16);
  {
    const Float32Scope exact;
    CHECK(!enabled() && product_type() == at::kFloat);
    {
      const AutocastScope half(at::kHalf);
      CHECK(product_type() == at::kHalf);
    }
    CHECK(product_type() == at::kFloat);
  }
  CHECK(product_type() == at::kBFloat16);
}

static void restored_after_an_exception(void**) {
  try {
    const AutocastScope scope(at::kBFloat16);
    fail(MOE_ERR_INTERNAL, "inside");
  } catch (const Error&) {
  }
  CHECK(!enabled() && product_type() == at::kFloat);
}

// A weight changed between two steps must not be found in the cache of the first.
static void the_cast_cache_ends_with_the_scope(void**) {
  const at::Tensor w = at::ones({4, 4}).requires_grad_(), x = at::ones({4, 4});
  const auto first_value = [&] {
    const AutocastScope outer(at::kBFloat16);
    {
      const Float32Scope inner;  // ends first: the outer scope's cache stays
    }
    return at::mm(x, w)[0][0].item<float>();
  };
  CHECK(first_value() == 4);
  {
    const at::NoGradGuard no_grad;
    w.mul_(2);
  }
  CHECK(first_value() == 8);
}

static void the_cast_cache_comes_back(void**) {
  const auto cached = [] { return at::autocast::is_autocast_cache_enabled(); };
  CHECK(cached());
  try {
    const NoCastCache outer;
    {
      const NoCastCache inner;
    }
    CHECK(!cached());
    fail(MOE_ERR_INTERNAL, "inside");
  } catch (const Error&) {
  }
  CHECK(cached());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(casts_inside_only),
      cmocka_unit_test(nested),
      cmocka_unit_test(restored_after_an_exception),
      cmocka_unit_test(the_cast_cache_ends_with_the_scope),
      cmocka_unit_test(the_cast_cache_comes_back),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
