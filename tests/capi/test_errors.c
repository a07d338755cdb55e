/* The last error: one line, with a position, per thread, cut to its field, and no out-parameter written beside it. */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static moe_error_info last(void) {
  moe_error_info error = MOE_ERROR_INFO_INIT;
  OK(moe_last_error(&error));
  return error;
}

static void a_new_thread_has_seen_no_error(void** state) {
  (void)state;
  const moe_error_info error = last();
  assert_int_equal(error.status, MOE_OK);
  assert_string_equal(error.text, "");
}

static void a_wrong_setting_names_its_place(void** state) {
  (void)state;
  const char* yaml = "task: rtdetr\ntrain:\n  epochs: 5\n  batchsize: 4\n";
  moe_config* config = (moe_config*)&config;
  FAILS(MOE_ERR_CONFIG, "here.yml:4:3: ", moe_config_parse(yaml, strlen(yaml), "here.yml", &config));
  const moe_error_info error = last();
  assert_int_equal(error.line, 4);
  assert_int_equal(error.column, 3);
  CHECK(strstr(error.text, "train.batch_size"));
  CHECK(config == (moe_config*)&config);
}

static void malformed_text_names_its_place(void** state) {
  (void)state;
  const char* yaml = "task: rtdetr\ntrain: {epochs: [1, 2\n";
  moe_config* config = NULL;
  FAILS(MOE_ERR_PARSE, "<memory>:", moe_config_parse(yaml, strlen(yaml), NULL, &config));
  CHECK(last().line >= 2 && config == NULL);
}

static void a_success_keeps_the_text(void** state) {
  (void)state;
  moe_config* config = NULL;
  FAILS(MOE_ERR_NOT_FOUND, "no-such.yml", moe_config_load("no-such.yml", &config));
  size_t needed = 0;
  OK(moe_build_info(NULL, 0, &needed));
  assert_int_equal(last().status, MOE_ERR_NOT_FOUND);
}

static void long_text_is_cut_to_one_line(void** state) {
  (void)state;
  char path[3000];
  for (size_t i = 0; i < sizeof path - 1; i += 2) memcpy(path + i, "\xC3\xA9", 2); /* U+00E9, two bytes */
  path[sizeof path - 2] = '\n';
  path[sizeof path - 1] = '\0';
  path[10] = path[11] = '\n';
  moe_config* config = NULL;
  CHECK(moe_config_load(path, &config) != MOE_OK);
  const moe_error_info error = last();
  const size_t length = strlen(error.text);
  CHECK(length <= 1023 && !strchr(error.text, '\n'));
  if (length >= 1022) CHECK((unsigned char)error.text[length - 1] != 0xC3);
}

static void* fail_elsewhere(void* text) {
  moe_error_info error = MOE_ERROR_INFO_INIT;
  moe_last_error(&error);
  if (error.status != MOE_OK) return "a new thread already had an error";
  if (moe_set_threads(0) != MOE_ERR_INVALID_ARGUMENT) return "expected an error";
  moe_last_error(&error);
  snprintf(text, sizeof error.text, "%s", error.text);
  return NULL;
}

static void errors_belong_to_their_thread(void** state) {
  (void)state;
  FAILS(MOE_ERR_INVALID_ARGUMENT, "got 2000", moe_set_threads(2000));
  char other[sizeof((moe_error_info*)0)->text];
  pthread_t thread;
  void* problem = NULL;
  assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, other), 0);
  assert_int_equal(pthread_join(thread, &problem), 0);
  CHECK(problem == NULL);
  CHECK(strstr(other, "got 0") && strstr(last().text, "got 2000"));
}

static void unknown_numbers_have_a_name(void** state) {
  (void)state;
  assert_string_equal(moe_status_name(MOE_OK), "MOE_OK");
  assert_string_equal(moe_status_name(MOE_ERR_INTERNAL), "MOE_ERR_INTERNAL");
  assert_string_equal(moe_status_name(MOE_ERR_INTERNAL + 1), "unknown status");
  assert_string_equal(moe_status_name(-1), "unknown status");
}

static void versions_agree_with_the_header(void** state) {
  (void)state;
  assert_int_equal(moe_version(), MOE_VERSION);
  assert_int_equal(moe_abi_version(), MOE_ABI);
  char text[32];
  snprintf(text, sizeof text, "%d.%d.%d", MOE_VERSION_MAJOR, MOE_VERSION_MINOR, MOE_VERSION_PATCH);
  assert_string_equal(moe_version_string(), text);
}

/* What a forked child saw, as its exit code. */
static int use_in_child(void) {
  moe_batch* batch = NULL;
  moe_error_info error = MOE_ERROR_INFO_INIT;
  if (moe_batch_create(&batch) != MOE_ERR_STATE || batch) return 1;
  if (moe_last_error(&error) != MOE_OK || error.status != MOE_ERR_STATE) return 2;
  return strstr(error.text, "fork") ? 0 : 3;
}

static void a_forked_child_is_refused(void** state) {
  (void)state;
  moe_batch* batch = NULL;
  OK(moe_batch_create(&batch));
  const pid_t child = fork();
  if (child == 0) {
    moe_batch_free(batch); /* harmless */
    _exit(use_in_child());
  }
  int status = -1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  moe_batch_free(batch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_new_thread_has_seen_no_error), cmocka_unit_test(a_wrong_setting_names_its_place),
      cmocka_unit_test(malformed_text_names_its_place), cmocka_unit_test(a_success_keeps_the_text),
      cmocka_unit_test(long_text_is_cut_to_one_line),   cmocka_unit_test(errors_belong_to_their_thread),
      cmocka_unit_test(unknown_numbers_have_a_name),    cmocka_unit_test(versions_agree_with_the_header),
      cmocka_unit_test(a_forked_child_is_refused),
  };
  return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
