// The rules of torch.amp.GradScaler.
#include "support/test.h"

#include <limits>

#include "train/scaler.h"

using namespace moe;

static void test_disabled(void**) {
  LossScaler scaler(false);
  scaler.update(true);
  CHECK(scaler.scale() == 1 && scaler.good_steps() == 0 && !scaler.enabled());
}

static void test_growth_and_backoff(void**) {
  LossScaler scaler(true);
  CHECK(scaler.scale() == 65536);
  for (int i = 0; i < 1999; ++i) scaler.update(false);
  CHECK(scaler.scale() == 65536 && scaler.good_steps() == 1999);
  scaler.update(false);
  CHECK(scaler.scale() == 131072 && scaler.good_steps() == 0);
  for (int i = 0; i < 1999; ++i) scaler.update(false);
  scaler.update(true);
  CHECK(scaler.scale() == 65536 && scaler.good_steps() == 0);
  for (int i = 0; i < 2000; ++i) scaler.update(false);
  CHECK(scaler.scale() == 131072);
}

// The scale stays a positive fp32 number however long a run goes on.
static void test_long_runs(void**) {
  LossScaler rising(true, 65536, 1), falling(true);
  for (int i = 0; i < 10000; ++i) {
    rising.update(false);
    falling.update(true);
    CHECK(rising.scale() <= std::numeric_limits<float>::max());
    CHECK(static_cast<float>(falling.scale()) > 0);
  }
  CHECK(rising.scale() == std::ldexp(1.0, 127));
  for (int i = 0; i < 2000; ++i) falling.update(false);
  CHECK(falling.scale() == 2 * static_cast<double>(std::numeric_limits<float>::min()));
}

static void test_restore(void**) {
  LossScaler scaler(true, 65536, 10);
  scaler.restore(128, 9);
  CHECK(scaler.scale() == 128 && scaler.good_steps() == 9);
  for (double bad : {0.0, -1.0, static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
    CHECK_ERROR(MOE_ERR_DATA, "loss scale: expected a finite number > 0", scaler.restore(bad, 0));
  }
  CHECK_ERROR(MOE_ERR_DATA, "good steps >= 0, got -1", scaler.restore(1, -1));
  CHECK(scaler.scale() == 128);
  scaler.update(false);
  CHECK(scaler.scale() == 256);
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_disabled), cmocka_unit_test(test_growth_and_backoff),
                              cmocka_unit_test(test_long_runs), cmocka_unit_test(test_restore)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
