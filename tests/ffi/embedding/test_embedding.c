/* What docs/embedding.md promises to a program that lives long: silence, untouched signals, threads that go with their
 * caller, memory that does not grow, errors of a thread, ways to leave, children by fork and exec. Checks that need a
 * process of their own start this program again with a word.
 */
#include "../../capi/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS = 3 };

static char own_path[4096];

static void train_steps(moe_session* session, int steps) {
  for (int i = 0; i < steps; ++i) {
    moe_batch* batch = tiny_batch((uint32_t)i + 1);
    OK(moe_session_feed(session, batch));
    OK(moe_session_step(session, NULL));
    moe_batch_free(batch);
  }
}

/* A line of /proc/self/status that begins with `key`, as a number. */
static long long proc_status(const char* key, int base) {
  char line[256];
  long long value = -1;
  FILE* file = fopen("/proc/self/status", "r");
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, key, strlen(key)) == 0) value = strtoll(line + strlen(key) + 1, NULL, base);
  }
  fclose(file);
  return value;
}

/* Runs this program again with one word; returns its exit code, or 128 + the signal that ended it. */
static int run_again(const char* word) {
  const pid_t child = fork();
  if (child == 0) {
    execl(own_path, own_path, word, (char*)NULL);
    _exit(99);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Both outputs go to a file while a session trains and fails. */
static void nothing_is_printed(void** state) {
  (void)state;
  char* folder = make_folder();
  const int out = open(in_folder(folder, "out"), O_RDWR | O_CREAT, 0600), old[2] = {dup(1), dup(2)};
  fflush(stdout), fflush(stderr);
  dup2(out, 1), dup2(out, 2);
  moe_session* session = tiny_session();
  train_steps(session, 1);
  const moe_status failed = moe_session_load(session, "/nowhere");
  moe_session_free(session);
  fflush(stdout), fflush(stderr);
  dup2(old[0], 1), dup2(old[1], 2);
  struct stat info;
  CHECK(fstat(out, &info) == 0 && info.st_size == 0 && failed == MOE_ERR_NOT_FOUND);
  close(out), close(old[0]), close(old[1]);
  remove_folder(folder);
}

static void signals_stay_as_they_are(void** state) {
  (void)state;
  const long long caught = proc_status("SigCgt", 16), ignored = proc_status("SigIgn", 16),
                  blocked = proc_status("SigBlk", 16);
  moe_session* session = tiny_session();
  train_steps(session, 1);
  CHECK(proc_status("SigCgt", 16) == caught && proc_status("SigIgn", 16) == ignored);
  CHECK(proc_status("SigBlk", 16) == blocked);
  moe_session_free(session);
}

static void* train_alone(void* digest) {
  moe_session* session = tiny_session();
  train_steps(session, STEPS);
  char* text = session_text(session, "state.digest");
  strcpy(digest, text);
  free(text);
  moe_session_free(session);
  return NULL;
}

/* Two sessions at once end with the bits of one alone, and their threads' helpers are gone with them. */
static void sessions_of_different_threads_are_apart(void** state) {
  (void)state;
  char want[32], got[2][32];
  pthread_t threads[2];
  train_alone(want);
  const long long before = proc_status("Threads", 10);
  for (int i = 0; i < 2; ++i) CHECK(pthread_create(&threads[i], NULL, train_alone, got[i]) == 0);
  for (int i = 0; i < 2; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  assert_string_equal(got[0], want);
  assert_string_equal(got[1], want);
  for (int i = 0; i < 100 && proc_status("Threads", 10) > before; ++i) usleep(10000);
  CHECK(proc_status("Threads", 10) <= before);
}

static void* fail_in_a_thread(void* out) {
  moe_error_info* error = out;
  moe_last_error(error); /* none yet, whatever other threads met */
  if (error->status != MOE_OK) return NULL;
  moe_session_step(NULL, NULL);
  moe_last_error(error);
  return NULL;
}

static void errors_belong_to_a_thread(void** state) {
  (void)state;
  moe_config* config = NULL;
  moe_error_info here = MOE_ERROR_INFO_INIT, there = MOE_ERROR_INFO_INIT;
  pthread_t thread;
  CHECK(moe_config_load("nowhere.yml", &config) == MOE_ERR_NOT_FOUND);
  CHECK(pthread_create(&thread, NULL, fail_in_a_thread, &there) == 0 && pthread_join(thread, NULL) == 0);
  moe_last_error(&here);
  CHECK(here.status == MOE_ERR_NOT_FOUND && there.status == MOE_ERR_INVALID_ARGUMENT);
}

/* After a warm-up, sessions come and go without the process growing. */
static void memory_does_not_grow(void** state) {
  (void)state;
  long long warm = 0;
  for (int i = 0; i < 24; ++i) {
    moe_session* session = tiny_session();
    train_steps(session, 1);
    moe_session_free(session);
    if (i == 11) warm = proc_status("VmRSS", 10);
  }
  const long long grown = proc_status("VmRSS", 10) - warm;
  if (grown > 8192) print_error("12 more sessions took %lld KiB\n", grown);
  CHECK(grown <= 8192);
}

static void* step_for_ever(void* session) {
  for (uint32_t i = 1;; ++i) {
    moe_batch* batch = tiny_batch(1);
    moe_session_feed(session, batch);
    moe_session_step(session, NULL);
    moe_batch_free(batch);
  }
  return NULL;
}

/* exit() with open handles. */
static int leave(void) {
  moe_session* session = tiny_session();
  train_steps(session, 1);
  exit(7);
}

/* _exit() while another thread trains. */
static int leave_in_the_middle(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, step_for_ever, tiny_session());
  usleep(200000);
  _exit(7);
}

/* A thread that trains is asked to stop, and joined, before the process ends. */
static void* step_until_stopped(void* session) {
  moe_batch* batch = tiny_batch(1);
  moe_status status = MOE_OK;
  while (status == MOE_OK) {
    status = moe_session_feed(session, batch);
    if (status == MOE_OK) status = moe_session_step(session, NULL);
  }
  moe_batch_free(batch);
  return status == MOE_ERR_CANCELLED ? session : NULL;
}

static int stop_join_and_leave(void) {
  moe_session* session = tiny_session();
  pthread_t thread;
  void* cancelled = NULL;
  pthread_create(&thread, NULL, step_until_stopped, session);
  usleep(200000);
  moe_session_request_stop(session);
  pthread_join(thread, &cancelled);
  exit(cancelled == session ? 7 : 1);
}

static void ways_to_leave(void** state) {
  (void)state;
  assert_int_equal(run_again("leave"), 7);
  assert_int_equal(run_again("leave_in_the_middle"), 7);
  assert_int_equal(run_again("stop_join_and_leave"), 7);
}

/* The folder's lock is not inherited by a program that a child becomes. */
static void children_do_not_hold_a_run(void** state) {
  (void)state;
  char* folder = make_folder();
  tiny_data(in_folder(folder, "data"), 4, 2);
  moe_config* config = tiny_config(in_folder(folder, "data"));
  moe_run *run = NULL, *second = NULL;
  OK(moe_run_open(config, in_folder(folder, "run"), NULL, &run));
  const pid_t child = fork();
  if (child == 0) {
    execlp("sleep", "sleep", "60", (char*)NULL);
    _exit(99);
  }
  usleep(200000);
  FAILS(MOE_ERR_STATE, "run", moe_run_open(config, in_folder(folder, "run"), NULL, &second));
  moe_run_close(run);
  OK(moe_run_open(config, in_folder(folder, "run"), NULL, &second));
  moe_run_close(second);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  moe_config_free(config);
  remove_folder(folder);
}

/* A forked child may end by exit() too: what it inherited is left alone. */
static int fork_and_exit(void) {
  moe_session* session = tiny_session();
  train_steps(session, 1);
  const pid_t child = fork();
  if (child == 0) {
    const moe_status refused = moe_session_step(session, NULL);
    moe_session_free(session);
    exit(refused == MOE_ERR_STATE ? 7 : 8);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) return 1;
  train_steps(session, 1); /* the parent goes on */
  moe_session_free(session);
  return 0;
}

static void a_forked_child_may_exit(void** state) {
  (void)state;
  assert_int_equal(run_again("fork"), 0);
}

static moe_session* volatile stopped_session;

static void on_alarm(int number) {
  (void)number;
  moe_session_request_stop(stopped_session);
}

/* SIGALRM asks for a stop while steps are running: one of them is cancelled, and the next one works. */
static void a_signal_handler_may_stop(void** state) {
  (void)state;
  moe_session* session = stopped_session = tiny_session();
  moe_status status = MOE_OK;
  signal(SIGALRM, on_alarm);
  ualarm(50000, 0);
  for (int i = 0; i < 10000 && status == MOE_OK; ++i) {
    moe_batch* batch = tiny_batch(1);
    status = moe_session_feed(session, batch);
    if (status == MOE_OK) status = moe_session_step(session, NULL);
    moe_batch_free(batch);
  }
  signal(SIGALRM, SIG_DFL);
  assert_int_equal(status, MOE_ERR_CANCELLED);
  train_steps(session, 1);
  moe_session_free(session);
}

/* The parts that need a process of their own, by name. */
static int run_part(const char* word) {
  if (strcmp(word, "leave") == 0) return leave();
  if (strcmp(word, "leave_in_the_middle") == 0) return leave_in_the_middle();
  if (strcmp(word, "stop_join_and_leave") == 0) return stop_join_and_leave();
  return fork_and_exit();
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_printed),
      cmocka_unit_test(signals_stay_as_they_are),
      cmocka_unit_test(sessions_of_different_threads_are_apart),
      cmocka_unit_test(errors_belong_to_a_thread),
      cmocka_unit_test(memory_does_not_grow),
      cmocka_unit_test(ways_to_leave),
      cmocka_unit_test(children_do_not_hold_a_run),
      cmocka_unit_test(a_forked_child_may_exit),
      cmocka_unit_test(a_signal_handler_may_stop),
  };
  if (argc > 1) return run_part(argv[1]);
  if (!realpath(argv[0], own_path)) return 1;
  return cmocka_run_group_tests_name("embedding", tests, NULL, NULL);
}
