// Averaged weights: the decay's warm-up, the update against fp64, and the exchange of live and averaged weights.
#include "support/test.h"

#include <ATen/ATen.h>

#include "base/rng.h"
#include "support/fail_alloc.h"
#include "train/ema.h"
#include "train/settings.h"

using namespace moe;

using Named = std::vector<std::pair<std::string, at::Tensor>>;

static Named live_tensors() {
  Rng rng(1, "ema");
  return {{"conv", normal_tensor(rng, {4, 3, 5, 5}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_()},
          {"linear", normal_tensor(rng, {301, 211})},
          {"mean", normal_tensor(rng, {7}).to(at::kDouble)},
          {"count", at::full({}, 3, at::kLong)},
          {"empty", at::empty({0})}};
}

static Named copies(const Named& tensors) {
  Named out;
  for (const auto& [name, tensor] : tensors) out.emplace_back(name, tensor.detach().clone());
  return out;
}

static bool same(const Named& a, const Named& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!a[i].second.equal(b[i].second)) return false;
  }
  return true;
}

static void shift(Named& live, double by) {
  for (auto& [name, tensor] : live) {
    tensor.detach().add_(at::isFloatingType(tensor.scalar_type()) ? at::Scalar(by) : at::Scalar(1));
  }
}

static void test_decay(void**) {
  const Ema ema({0.9999, 2000}, {});
  CHECK_NEAR(ema.decay_at(0, 1, 1), 0, 0);
  CHECK_NEAR(ema.decay_at(1, 1, 1), 4.99825e-4, 1e-9);
  CHECK_NEAR(ema.decay_at(1000, 1, 1), 0.39342999, 1e-8);
  CHECK_NEAR(ema.decay_at(20000, 1, 1), 0.99985460, 1e-8);
}

// Golden values of the formula in NVlabs/edm training/training_loop.py with batch 512 and half-life 500,000 images.
static void test_half_life(void**) {
  const Ema ema({.half_life = 500000}, {});
  CHECK_NEAR(ema.decay_at(1, 512, 512), 0.5 * std::pow(0.5, 19), 1e-12);  // 5 % of 512 images: 20 half-lives
  CHECK_NEAR(ema.decay_at(9, 512, 1000000), 0.99292730, 1e-8);            // 50,000 images
  CHECK_NEAR(ema.decay_at(9, 512, 10000000), 0.99929047, 1e-8);           // the whole half-life
  CHECK_NEAR(std::pow(ema.decay_at(9, 500, 100000000), 1000), 0.5, 1e-9);
}

static void test_update(void**) {
  Named live = live_tensors();
  Ema ema({0.9, 5}, live);
  CHECK(same(ema.averages(), live));
  Named want = copies(live);
  for (int64_t n = 1; n <= 10; ++n) {
    shift(live, 1);
    ema.update(1, 1);
    const double d = ema.decay_at(n, 1, 1);
    for (size_t i = 0; i < want.size(); ++i) {
      const at::Tensor now = live[i].second.detach();
      want[i].second = at::isFloatingType(now.scalar_type())
                           ? want[i].second.to(at::kDouble) * d + now.to(at::kDouble) * (1 - d)
                           : now.clone();
    }
  }
  CHECK(ema.updates() == 10);
  for (size_t i = 0; i < want.size(); ++i) {
    CHECK(at::allclose(ema.averages()[i].second.to(at::kDouble), want[i].second.to(at::kDouble), 1e-6, 1e-6));
  }
  CHECK(ema.averages()[0].second.strides() == live[0].second.strides());
}

static void test_allocates_nothing(void**) {
  const Named live = live_tensors();
  Ema ema({0.9, 5}, live);
  ema.update(1, 1);
  fail_alloc::start(fail_alloc::everything);
  ema.update(1, 1);
  { Ema::Swap swap(&ema); }
  assert_int_equal(fail_alloc::stop(), 0);
}

static void test_swap(void**) {
  Named live = live_tensors();
  Ema ema({0.9, 5}, live);
  shift(live, 2);
  ema.update(1, 1);
  const Named own = copies(live), averages = copies(ema.averages());
  const void* memory = live[0].second.const_data_ptr();
  {
    Ema::Swap swap(&ema);
    CHECK(same(live, averages));
    CHECK(same(ema.averages(), own));
    CHECK_ERROR(MOE_ERR_STATE, "averages already in place", Ema::Swap nested(&ema));
    CHECK(same(live, averages));
  }
  CHECK(same(live, own));
  CHECK(same(ema.averages(), averages));
  CHECK(live[0].second.const_data_ptr() == memory);
  try {
    Ema::Swap swap(&ema);
    throw 1;
  } catch (int) {
  }
  CHECK(same(live, own));
  Ema::Swap nothing(nullptr);
}

static void test_threads(void**) {
  Named results[2];
  const int before = at::get_num_threads();
  for (int threads : {1, 2}) {
    at::set_num_threads(threads);
    Named live = live_tensors();
    Ema ema({0.9, 5}, live);
    for (int i = 0; i < 3; ++i) {
      shift(live, 0.1);
      ema.update(1, 1);
    }
    results[threads - 1] = copies(ema.averages());
  }
  at::set_num_threads(before);
  CHECK(same(results[0], results[1]));
}

static void test_refuses_gaps(void**) {
  CHECK_ERROR(MOE_ERR_INTERNAL, "\"x\": expected dense", Ema({0.9, 5}, {{"x", at::zeros({4, 4}).slice(1, 0, 2)}}));
  CHECK_ERROR(MOE_ERR_INTERNAL, "\"x\": expected dense", Ema({0.9, 5}, {{"x", at::zeros({4}, at::kBFloat16)}}));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_decay), cmocka_unit_test(test_half_life), cmocka_unit_test(test_update),  cmocka_unit_test(test_allocates_nothing),
      cmocka_unit_test(test_swap),  cmocka_unit_test(test_threads), cmocka_unit_test(test_refuses_gaps)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
