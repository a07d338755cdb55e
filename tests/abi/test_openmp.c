/* libmoe beside another library that uses OpenMP, linked before or after it (two programs of this source): one OpenMP run time
 * serves both, both compute what they compute alone, in turns and at the same time, and neither changes the other's thread count. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "../capi/support.h"
#include "openmp_neighbour.h"

enum { STEPS = 4, N = 100000 };
static const int64_t squares = (int64_t)(N - 1) * N / 2 * (2 * N - 1) / 3;

static double step(moe_session *session, uint32_t seed) {
  moe_step_info info;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  moe_batch *batch = tiny_batch(seed);
  OK(moe_session_feed(session, batch));
  OK(moe_session_step(session, &info));
  moe_batch_free(batch);
  return info.loss;
}

/* Losses of STEPS steps of a fresh session; between them, `between` is called. */
static void losses(void (*between)(void), double out[STEPS]) {
  moe_session *session = tiny_session();
  for (uint32_t i = 0; i < STEPS; ++i) {
    if (between) between();
    out[i] = step(session, i + 1);
  }
  moe_session_free(session);
}

static void expect_same_bits(void (*between)(void)) {
  double alone[STEPS], beside[STEPS];
  losses(NULL, alone);
  losses(between, beside);
  assert_memory_equal(alone, beside, sizeof alone);
}

static void use_neighbour(void) {
  assert_int_equal(neighbour_squares(N), squares);
}

static void test_one_run_time(void **state) {
  (void)state;
  char line[4096], first[4096] = "";
  use_neighbour();
  FILE *maps = fopen("/proc/self/maps", "r");
  while (fgets(line, sizeof line, maps)) {
    const char *path = strchr(line, '/');
    if (!path || !(strstr(path, "/libgomp") || strstr(path, "/libomp") || strstr(path, "/libiomp"))) continue;
    if (!*first) strcpy(first, path);
    assert_string_equal(first, path);
  }
  fclose(maps);
  assert_true(*first != '\0');
  print_message("OpenMP run time: %s", first);
}

static void test_in_turns(void **state) {
  (void)state;
  expect_same_bits(use_neighbour);
}

static atomic_bool stop;

static void *neighbour_loop(void *count) {
  while (!atomic_load(&stop)) {
    use_neighbour();
    ++*(int64_t *)count;
  }
  return NULL;
}

static void test_at_the_same_time(void **state) {
  (void)state;
  double alone[STEPS], beside[STEPS];
  int64_t rounds = 0;
  pthread_t thread;
  losses(NULL, alone);
  atomic_store(&stop, false);
  assert_int_equal(pthread_create(&thread, NULL, neighbour_loop, &rounds), 0);
  losses(NULL, beside);
  atomic_store(&stop, true);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_memory_equal(alone, beside, sizeof alone);
  assert_true(rounds > 0);
}

static void three_threads_for_the_neighbour(void) {
  neighbour_set_threads(3);
  use_neighbour();
}

static void test_neighbour_sets_its_threads(void **state) {
  (void)state;
  OK(moe_set_threads(2));
  expect_same_bits(three_threads_for_the_neighbour);
}

static void test_moe_sets_its_threads(void **state) {
  (void)state;
  neighbour_set_threads(3);
  OK(moe_set_threads(1));
  double unused[STEPS];
  losses(use_neighbour, unused);
  assert_int_equal(neighbour_threads(), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_run_time),     cmocka_unit_test(test_in_turns),
      cmocka_unit_test(test_at_the_same_time), cmocka_unit_test(test_neighbour_sets_its_threads),
      cmocka_unit_test(test_moe_sets_its_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
