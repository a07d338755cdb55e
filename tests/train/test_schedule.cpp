// Learning-rate factors against torch.optim.lr_scheduler (tests/fixtures/schedule/make.py) and by hand.
#include "support/test.h"

#include "base/files.h"
#include "train/schedule.h"
#include "train/settings.h"

using namespace moe;

static Schedule make(const std::string& schedule, int64_t steps_per_epoch, int64_t total) {
  return Schedule(settings("schedule: " + schedule), steps_per_epoch, total);
}

// A line: name, steps per epoch, total steps, settings, factors; separated by tabs.
static void test_against_torch(void**) {
  const char* source = std::getenv("MOE_SOURCE_DIR");
  const std::string path = std::string(source ? source : ".") + "/tests/fixtures/schedule/torch.tsv";
  int64_t lines = 0;
  for (const std::string& line : split(trim(read_file(path)), '\n')) {
    const std::vector<std::string> fields = split(line, '\t');
    CHECK(fields.size() == 5);
    const Schedule schedule = make(fields[3], *parse_int(fields[1]), *parse_int(fields[2]));
    const std::vector<std::string> factors = split(fields[4], ' ');
    for (size_t step = 0; step < factors.size(); ++step) {
      CHECK_NEAR(schedule.factor(static_cast<int64_t>(step)), *parse_double(factors[step]), 1e-12);
    }
    ++lines;
  }
  CHECK(lines >= 10);
}

static void test_warmup(void**) {
  const Schedule schedule = make("{warmup_steps: 4, warmup_start: 0.2}", 0, 0);
  CHECK_NEAR(schedule.factor(0), 0.4, 1e-12);
  CHECK_NEAR(schedule.factor(3), 1, 1e-12);
  CHECK_NEAR(schedule.factor(1000000), 1, 0);
  CHECK_NEAR(make("{warmup_steps: 2000}", 0, 0).factor(0), 1.0 / 2000, 1e-12);
}

static void test_ends_and_beyond(void**) {
  const Schedule cosine = make("{kind: cosine, warmup_steps: 10, final_factor: 0.1}", 10, 110);
  CHECK_NEAR(cosine.factor(10), 1, 1e-12);
  CHECK_NEAR(cosine.factor(60), 0.55, 1e-12);
  CHECK_NEAR(cosine.factor(110), 0.1, 1e-12);
  CHECK_NEAR(cosine.factor(10000), 0.1, 1e-12);
  const Schedule cycle = make("{kind: one_cycle, final_factor: 0.1}", 10, 100);
  CHECK_NEAR(cycle.factor(0), 0.04, 1e-12);
  CHECK_NEAR(cycle.factor(29), 1, 1e-12);
  CHECK_NEAR(cycle.factor(99), 0.1, 1e-12);
  CHECK_NEAR(cycle.factor(1000), 0.1, 1e-12);
}

static void test_odd_lengths_are_finite(void**) {
  for (const char* kind : {"step", "multi_step", "cosine", "one_cycle"}) {
    for (int64_t total : {1, 2, 3, 4, 10}) {
      const Schedule schedule = make(text("{kind: ", kind, ", warmup_steps: 5, milestones: [0.01]}"), 1, total);
      for (int64_t step = 0; step < 12; ++step) {
        const double factor = schedule.factor(step);
        CHECK(factor >= 0 && factor <= 1);
      }
    }
  }
}

static void test_unknown_length(void**) {
  CHECK_ERROR(MOE_ERR_STATE, "schedule.kind", make("{kind: cosine}", 0, 0).factor(0));
  CHECK_ERROR(MOE_ERR_STATE, "schedule.kind", make("{kind: one_cycle}", 10, 0).factor(0));
  CHECK_ERROR(MOE_ERR_STATE, "schedule.kind", make("{kind: step}", 0, 10).factor(0));
  CHECK_ERROR(MOE_ERR_STATE, "schedule.kind", make("{kind: multi_step}", 0, 10).factor(0));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_against_torch),   cmocka_unit_test(test_warmup),
      cmocka_unit_test(test_ends_and_beyond), cmocka_unit_test(test_odd_lengths_are_finite),
      cmocka_unit_test(test_unknown_length),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
