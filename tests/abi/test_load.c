/* libmoe.so opened and closed at run time, as plug-ins and language runtimes do: in a loop, from threads that end, and with its
 * functions called after the last close. Nothing may grow, nothing may crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <dlfcn.h>
#include <moe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 20, ROUNDS = 200, MAX_GROWTH_KB = 1024 };

typedef struct {
  void *handle;
  int32_t (*abi_version)(void);
  moe_status (*build_info)(char *, size_t, size_t *);
  moe_status (*last_error)(moe_error_info *);
  moe_status (*config_parse)(const char *, size_t, const char *, moe_config **);
} library;

static library open_library(void) {
  char path[4096];
  library moe;
  snprintf(path, sizeof path, "%s/lib/libmoe.so", getenv("MOE_BINARY_DIR"));
  moe.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!moe.handle) fail_msg("%s", dlerror());
  *(void **)&moe.abi_version = dlsym(moe.handle, "moe_abi_version");
  *(void **)&moe.build_info = dlsym(moe.handle, "moe_build_info");
  *(void **)&moe.last_error = dlsym(moe.handle, "moe_last_error");
  *(void **)&moe.config_parse = dlsym(moe.handle, "moe_config_parse");
  assert_true(moe.abi_version && moe.build_info && moe.last_error && moe.config_parse);
  return moe;
}

/* A success and an error, so that thread-local state exists when the library is closed. */
static void use(const library *moe) {
  size_t needed = 0;
  moe_config *config = NULL;
  moe_error_info error = MOE_ERROR_INFO_INIT;
  assert_int_equal(moe->abi_version(), MOE_ABI);
  assert_int_equal(moe->build_info(NULL, 0, &needed), MOE_OK);
  assert_true(needed > 100);
  assert_int_equal(moe->config_parse("task: nothing", 13, NULL, &config), MOE_ERR_CONFIG);
  assert_int_equal(moe->last_error(&error), MOE_OK);
  assert_non_null(strstr(error.text, "task"));
}

static void open_use_close(void) {
  const library moe = open_library();
  use(&moe);
  assert_int_equal(dlclose(moe.handle), 0);
}

static void *thread_body(void *unused) {
  open_use_close();
  return unused;
}

static void in_thread(void) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, thread_body, NULL), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static long resident_kb(void) {
  char line[256];
  long kb = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (fgets(line, sizeof line, status)) sscanf(line, "VmRSS: %ld", &kb);
  fclose(status);
  assert_true(kb > 0);
  return kb;
}

static int mappings(void) {
  int lines = 0, c;
  FILE *maps = fopen("/proc/self/maps", "r");
  while ((c = fgetc(maps)) != EOF) lines += c == '\n';
  fclose(maps);
  return lines;
}

/* The heap and arenas may still split a mapping or two; a library mapped anew each time would add hundreds. */
static void expect_no_growth(void (*once)(void)) {
  for (int i = 0; i < WARM_UP; ++i) once();
  const long kb = resident_kb();
  const int before = mappings();
  for (int i = 0; i < ROUNDS; ++i) once();
  const long grown = resident_kb() - kb;
  print_message("%d rounds: %ld KB and %d mappings more\n", ROUNDS, grown, mappings() - before);
  assert_true(grown < MAX_GROWTH_KB);
  assert_true(mappings() - before <= 4);
}

static void test_loop(void **state) {
  (void)state;
  expect_no_growth(open_use_close);
}

static void test_loop_in_threads(void **state) {
  (void)state;
  expect_no_growth(in_thread);
}

/* NODELETE: LibTorch's destructors of threads that live on would otherwise run in unmapped memory. */
static void test_code_stays_after_the_last_close(void **state) {
  (void)state;
  const library moe = open_library();
  assert_int_equal(dlclose(moe.handle), 0);
  use(&moe);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_loop), cmocka_unit_test(test_loop_in_threads),
                                     cmocka_unit_test(test_code_stays_after_the_last_close)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
