/* Kills a training with SIGKILL ten times, three of them inside a checkpoint write, opens it again each time with
 * another number of loader workers, and compares the weights of the end with those of a run that was never stopped: bit
 * for bit.
 *
 * The library lives in child processes only: this program starts itself again with a verb. Built once for each system:
 * with KILL_DIFFUSION it trains a diffusion UNet, else a detector. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <moe.h>

extern char** environ;
static char folder[256];
static char self[512];

enum { KILLS = 10 };

#ifdef KILL_DIFFUSION
static const char* yaml =
    "task: diffusion\n"
    "seed: 7\n"
    "data: {root: %s/scenes, workers: %s, classes: [a, b, c], size: [16, 16]}\n"
    "model: {unet: {channels: 16, multipliers: [1, 2], embedding: 32}, experts: {count: 4, top_k: 2, noise: 0.1}}\n"
    "train: {epochs: 3, batch_size: 4, accumulate: 2, checkpoint_every: 2, log_every: 1, eval_every: 1}\n"
    "schedule: {kind: cosine, warmup_steps: 2}\n"
    "ema: {decay: 0.99, warmup: 10}\n";
#else
static const char* yaml =
    "task: rtdetr\n"
    "seed: 7\n"
    "data: {root: %s/scenes, size: [64, 96], workers: %s}\n"
    "model: {backbone: {depth: 18, width: 0.25}, hidden: 64, heads: 4, queries: 30,\n"
    "        encoder: {ffn: 64}, decoder: {layers: 2, ffn: 64},\n"
    "        experts: {kind: class_partitioned, groups: by_size, top_k: 2, queries: 20}}\n"
    "train: {epochs: 3, batch_size: 4, accumulate: 2, checkpoint_every: 2, log_every: 1, eval_every: 1}\n"
    "optimizer: {groups: {pretrained: {lr: 1e-5}, new: {lr: 1e-4}}}\n"
    "schedule: {kind: cosine, warmup_steps: 2}\n"
    "ema: {decay: 0.99, warmup: 10}\n";
#endif

/* ------------------------------------------------------------------------------------------------------------ in the
 * child */

static int report(const char* what) {
  moe_error_info e = MOE_ERROR_INFO_INIT;
  moe_last_error(&e);
  fprintf(stderr, "%s: %s\n", what, e.text);
  return 1;
}

#ifdef KILL_DIFFUSION
/* Records of CIFAR-10: a label and 3072 bytes. */
static int write_records(const char* root, const char* name, int count) {
  char path[320];
  snprintf(path, sizeof path, "%s/scenes/%s", root, name);
  FILE* file = fopen(path, "wb");
  if (!file) return 1;
  for (int i = 0; i < count; ++i) {
    fputc(i % 3, file);
    for (int j = 0; j < 3072; ++j) fputc((j * (i % 3 + 1) + 40 * i + (j / 32) * (i % 7)) & 255, file);
  }
  return fclose(file);
}

static int child_generate(const char* root) {
  char path[300];
  snprintf(path, sizeof path, "%s/scenes", root);
  return mkdir(path, 0777) || write_records(root, "data_batch_1.bin", 132) || write_records(root, "test_batch.bin", 8);
}
#else
static int child_generate(const char* root) {
  moe_generate_options options = MOE_GENERATE_OPTIONS_INIT;
  options.train_images = 36;
  options.val_images = 6;
  options.width = 192;
  options.height = 128;
  char path[300];
  snprintf(path, sizeof path, "%s/scenes", root);
  return moe_data_generate("traffic", path, &options) ? report("generate") : 0;
}
#endif

/* Trains to the end and writes the digest of everything into <run>.digest. */
static int child_train(const char* root, const char* run_name, const char* workers) {
  char text[2048], run_path[300], digest_path[320], digest[32];
  moe_config* config = NULL;
  moe_run* run = NULL;
  moe_session* session = NULL;
  moe_run_event event = MOE_RUN_EVENT_INIT;
  moe_status status;
  FILE* file;
  snprintf(text, sizeof text, yaml, root, workers);
  snprintf(run_path, sizeof run_path, "%s/%s", root, run_name);
  if (moe_set_threads(2)) return report("threads");
  if (moe_config_parse(text, strlen(text), NULL, &config)) return report("config");
  if (moe_run_open(config, run_path, NULL, &run)) return report("open");
  while ((status = moe_run_next(run, &event)) == MOE_OK) continue;
  if (status != MOE_END) return report("next");
  if (moe_run_session(run, &session)) return report("session");
  if (moe_session_get(session, "state.digest", digest, sizeof digest, NULL)) return report("digest");
  snprintf(digest_path, sizeof digest_path, "%s.digest", run_path);
  file = fopen(digest_path, "w");
  if (!file) return 1;
  fprintf(file, "%s\n", digest);
  fclose(file);
  moe_run_close(run);
  moe_config_free(config);
  return 0;
}

/* ----------------------------------------------------------------------------------------------------------- in the
 * parent */

static pid_t start(const char* verb, const char* run_name, const char* workers) {
  char* arguments[] = {self, (char*)verb, folder, (char*)run_name, (char*)workers, NULL};
  pid_t child = 0;
  assert_int_equal(posix_spawn(&child, self, NULL, NULL, arguments, environ), 0);
  return child;
}

static void sleep_ms(long ms) {
  struct timespec time = {ms / 1000, (ms % 1000) * 1000000};
  nanosleep(&time, NULL);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int exit_code(pid_t child) {
  int state = 0;
  assert_int_equal(waitpid(child, &state, 0), child);
  return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

/* True when a half-written checkpoint lies in the run folder. */
static int writing(const char* run_name) {
  char path[320];
  snprintf(path, sizeof path, "%s/%s/checkpoints", folder, run_name);
  DIR* directory = opendir(path);
  if (!directory) return 0;
  int found = 0;
  for (struct dirent* entry; (entry = readdir(directory));) found |= strstr(entry->d_name, ".tmp") != NULL;
  closedir(directory);
  return found;
}

static int is_over(pid_t child) {
  siginfo_t info = {0};
  return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

/* Waits for a random moment of the run, or for a checkpoint write, and kills. A tenth of the run on average, loading of
 * the library included. False when the run had ended before. */
static int kill_at_random(pid_t child, const char* run_name, int in_write, double run_seconds, unsigned* seed) {
  if (in_write) {
    while (!writing(run_name) && !is_over(child)) continue;
  } else {
    const double wait = run_seconds * (0.04 + 0.16 * rand_r(seed) / (double)RAND_MAX);
    const double at = now() + wait;
    while (now() < at && !is_over(child)) sleep_ms(1);
  }
  const int alive = !is_over(child);
  kill(child, SIGKILL);
  assert_int_equal(exit_code(child), alive ? 128 + SIGKILL : 0);
  return alive;
}

static void read_digest(const char* run_name, char* out) {
  char path[320];
  snprintf(path, sizeof path, "%s/%s.digest", folder, run_name);
  FILE* file = fopen(path, "r");
  assert_non_null(file);
  assert_int_equal(fscanf(file, "%31s", out), 1);
  fclose(file);
}

static void assert_ends_like(const char* run_name, const char* whole) {
  char digest[32];
  read_digest(run_name, digest);
  assert_string_equal(digest, whole);
}

/* Ten kills of running trainings, whatever the machine's speed: a run that ended before its kill is compared, and the
 * kills go on in another one. */
static void test_killed_ten_times(void** state) {
  (void)state;
  static const char* workers[] = {"0", "1", "2", "3"};
  char whole[32], run_name[32];
  unsigned seed = 20261122;
  assert_int_equal(exit_code(start("generate", "", "")), 0);
  const double begin = now();
  assert_int_equal(exit_code(start("train", "whole", "1")), 0);
  const double seconds = now() - begin;
  read_digest("whole", whole);

  int killed = 0, in_write = 0, ended = 0;
  while (killed < KILLS) {
    snprintf(run_name, sizeof run_name, "killed-%d", ended);
    const pid_t child = start("train", run_name, workers[killed % 4]);
    if (kill_at_random(child, run_name, killed % 3 == 0, seconds, &seed)) {
      in_write += writing(run_name);
      ++killed;
    } else {
      assert_ends_like(run_name, whole);
      ++ended;
    }
  }
  printf("%d kills, %d in a checkpoint write, %d runs ended between; a whole run takes %.1f s\n", killed, in_write,
         ended, seconds);
  assert_true(in_write >= 1);
  snprintf(run_name, sizeof run_name, "killed-%d", ended);
  assert_int_equal(exit_code(start("train", run_name, "2")), 0);
  assert_ends_like(run_name, whole);
}

int main(int count, char** arguments) {
  if (count == 5 && !strcmp(arguments[1], "generate")) return child_generate(arguments[2]);
  if (count == 5 && !strcmp(arguments[1], "train")) return child_train(arguments[2], arguments[3], arguments[4]);
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  strcpy(folder, "/tmp/moe-kill-XXXXXX");
  if (length < 0 || !mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_ten_times)};
  const int failed = cmocka_run_group_tests_name("kill", tests, NULL, NULL);
  char command[300];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command) ? 1 : failed;
}
