/* A whole training on a generated data set: events, evaluation, pictures, resume, stop, the run's own session, loaders.
 */
#include "support.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

enum { TRAIN = 6, VAL = 3 };

static char* folder;
static const char* root;
static moe_config* config;

static int set_up(void** state) {
  (void)state;
  folder = make_folder();
  static char kept[256];
  root = strcpy(kept, in_folder(folder, "data"));
  tiny_data(root, TRAIN, VAL);
  config = tiny_config(root);
  return 0;
}

static int tear_down(void** state) {
  (void)state;
  moe_config_free(config);
  remove_folder(folder);
  return 0;
}

static void the_same_options_give_the_same_bytes(void** state) {
  (void)state;
  const char* again = in_folder(folder, "again");
  tiny_data(again, TRAIN, VAL);
  char command[600];
  snprintf(command, sizeof command, "diff -r '%s' '%s'", root, again);
  assert_int_equal(system(command), 0);
  FAILS(MOE_ERR_STATE, root, moe_data_generate("traffic", root, NULL));
}

static void a_loader_gives_every_sample_once(void** state) {
  (void)state;
  moe_loader* loader = NULL;
  moe_batch* batch = NULL;
  int64_t samples = 0, batches = 0, broken = -1;
  OK(moe_batch_create(&batch));
  OK(moe_loader_create(config, "val", &loader));
  OK(moe_loader_size(loader, &samples, &batches));
  CHECK(samples == VAL && batches == 2);
  for (int epoch = 0; epoch < 2; ++epoch) {
    int64_t seen = 0, id = -1;
    moe_status status = MOE_OK;
    while ((status = moe_loader_next(loader, batch)) == MOE_OK) {
      moe_tensor_info info = MOE_TENSOR_INFO_INIT;
      OK(moe_batch_info(batch, "images", &info));
      CHECK(info.dtype == MOE_F32 && info.shape[2] == TINY_SIZE && info.shape[3] == TINY_SIZE);
      seen += info.shape[0];
      int64_t ids[2];
      OK(moe_batch_read(batch, "image_ids", ids, sizeof ids, NULL));
      id = ids[0];
    }
    CHECK(status == MOE_END && seen == VAL);
    int32_t count = -1;
    OK(moe_batch_count(batch, &count));
    assert_int_equal(count, 0);
    char name[256];
    OK(moe_loader_file_name(loader, id, name, sizeof name, NULL));
    CHECK(access(name, R_OK) == 0);
  }
  FAILS(MOE_ERR_NOT_FOUND, "image_id", moe_loader_file_name(loader, -5, NULL, 0, NULL));
  OK(moe_loader_broken(loader, &broken));
  assert_int_equal(broken, 0);
  moe_loader_free(loader);
  moe_batch_free(batch);
}

static void keep_warning(int32_t level, const char* message, void* user) {
  if (level < MOE_LOG_WARNING) return;
  char* lines = user;
  strncat(lines, message, 1000 - strlen(lines));
}

/* The first picture of the split loses its second half. */
static void a_loader_tells_what_it_cannot_read(void** state) {
  (void)state;
  moe_loader* loader = NULL;
  moe_batch* batch = NULL;
  moe_config* own = NULL;
  char name[256], lines[1200] = "";
  const char* damaged = in_folder(folder, "damaged");
  tiny_data(damaged, TRAIN, VAL);
  own = tiny_config(damaged);
  OK(moe_config_set(own, "data.max_broken", "1"));
  OK(moe_batch_create(&batch));
  OK(moe_loader_create(own, "val", &loader));
  OK(moe_loader_next(loader, batch));
  int64_t ids[2], broken = 0;
  OK(moe_batch_read(batch, "image_ids", ids, sizeof ids, NULL));
  OK(moe_loader_file_name(loader, ids[0], name, sizeof name, NULL));
  moe_loader_free(loader);
  FILE* file = fopen(name, "rb");
  fseek(file, 0, SEEK_END);
  const long size = ftell(file);
  fclose(file);
  CHECK(truncate(name, size / 2) == 0);

  OK(moe_loader_create(own, "val", &loader));
  OK(moe_loader_set_log(loader, keep_warning, lines));
  while (moe_loader_next(loader, batch) == MOE_OK) {
  }
  OK(moe_loader_broken(loader, &broken));
  assert_int_equal(broken, 1);
  CHECK(strstr(lines, "broken sample left out") && strstr(lines, name));
  moe_loader_free(loader);
  moe_batch_free(batch);
  moe_config_free(own);
}

/* Runs to the end, or for `most` events; counts them by kind. */
static void follow(moe_run* run, int most, int counts[MOE_EVENT_DONE + 1]) {
  moe_run_event event = MOE_RUN_EVENT_INIT;
  memset(counts, 0, (MOE_EVENT_DONE + 1) * sizeof *counts);
  for (int i = 0; i < most; ++i) {
    const moe_status status = moe_run_next(run, &event);
    if (status == MOE_END) return;
    OK(status);
    CHECK(event.kind >= MOE_EVENT_STEP && event.kind <= MOE_EVENT_DONE && event.text[0] != '\0');
    CHECK(event.epochs == 2 && event.steps == 2 * TRAIN / 2 && event.step <= event.steps);
    CHECK(isnan(event.metric) == (event.kind != MOE_EVENT_EVAL && event.kind != MOE_EVENT_DONE));
    counts[event.kind] += 1;
  }
}

static char* run_digest(moe_run* run) {
  moe_session* session = NULL;
  OK(moe_run_session(run, &session));
  return session_text(session, "state.digest");
}

static void a_run_resumed_equals_one_that_was_not(void** state) {
  (void)state;
  moe_run* run = NULL;
  moe_session* session = NULL;
  int counts[MOE_EVENT_DONE + 1];
  const char *whole = in_folder(folder, "whole"), *parts = in_folder(folder, "parts");
  OK(moe_run_open(config, whole, NULL, &run));
  follow(run, 1000, counts);
  CHECK(counts[MOE_EVENT_STEP] == TRAIN && counts[MOE_EVENT_EPOCH] == 2 && counts[MOE_EVENT_DONE] == 1);
  CHECK(counts[MOE_EVENT_EVAL] >= 2 && counts[MOE_EVENT_CHECKPOINT] >= 2);
  char* want = run_digest(run);
  OK(moe_run_session(run, &session));
  moe_session_free(session); /* the run's own: nothing happens */
  free(session_text(session, "state.step"));
  moe_run_close(run);

  OK(moe_run_open(config, parts, NULL, &run));
  follow(run, 2, counts);
  OK(moe_run_request_stop(run));
  moe_run_event event = MOE_RUN_EVENT_INIT;
  moe_status status = MOE_OK;
  while (status == MOE_OK) status = moe_run_next(run, &event);
  assert_int_equal(status, MOE_ERR_CANCELLED);
  moe_run_close(run);
  moe_run_options options = MOE_RUN_OPTIONS_INIT;
  options.mode = MOE_RUN_RESUME;
  OK(moe_run_open(NULL, parts, &options, &run));
  follow(run, 1000, counts);
  char* got = run_digest(run);
  assert_string_equal(got, want);
  moe_run_close(run);
  free(want), free(got);
}

typedef struct stopper {
  moe_run* run;
  atomic_bool go;
} stopper;

static void* stop_when_told(void* given) {
  stopper* it = given;
  while (!atomic_load(&it->go)) usleep(1000);
  OK(moe_run_request_stop(it->run));
  return NULL;
}

/* A thousand epochs of training stop within the step that the other thread's request finds it in. */
static void another_thread_stops_a_run(void** state) {
  (void)state;
  moe_config* lengthy = NULL;
  moe_run* run = NULL;
  moe_run_event event = MOE_RUN_EVENT_INIT;
  pthread_t thread;
  stopper it = {0};
  OK(moe_config_clone(config, &lengthy));
  OK(moe_config_set(lengthy, "train.epochs", "1000"));
  OK(moe_run_open(lengthy, in_folder(folder, "lengthy"), NULL, &run));
  it.run = run;
  CHECK(pthread_create(&thread, NULL, stop_when_told, &it) == 0);
  OK(moe_run_next(run, &event));
  atomic_store(&it.go, true);
  moe_status status = MOE_OK;
  while (status == MOE_OK) status = moe_run_next(run, &event);
  CHECK(pthread_join(thread, NULL) == 0);
  assert_int_equal(status, MOE_ERR_CANCELLED);
  CHECK(event.step >= 1 && event.step < event.steps);
  OK(moe_run_next(run, &event)); /* and goes on */
  moe_run_close(run);
  moe_config_free(lengthy);
}

static void folders_and_modes(void** state) {
  (void)state;
  moe_run *run = NULL, *second = NULL;
  moe_run_options options = MOE_RUN_OPTIONS_INIT;
  const char* path = in_folder(folder, "modes");
  options.mode = MOE_RUN_RESUME;
  FAILS(MOE_ERR_STATE, "resume", moe_run_open(config, path, &options, &run));
  options.mode = MOE_RUN_NEW;
  OK(moe_run_open(config, path, &options, &run));
  FAILS(MOE_ERR_STATE, "modes", moe_run_open(config, path, NULL, &second));
  moe_run_close(run);
  run = NULL;
  FAILS(MOE_ERR_STATE, "modes", moe_run_open(config, path, &options, &run));
  moe_config* other = NULL;
  OK(moe_config_clone(config, &other));
  OK(moe_config_set(other, "model.hidden", "64"));
  OK(moe_run_open(other, path, NULL, &run)); /* nothing was trained yet */
  moe_run_close(run);
  OK(moe_run_open(config, path, NULL, &run));
  moe_run_event event = MOE_RUN_EVENT_INIT;
  OK(moe_run_next(run, &event));
  OK(moe_run_request_stop(run));
  assert_int_equal(moe_run_next(run, &event), MOE_ERR_CANCELLED); /* with a checkpoint */
  moe_run_close(run);
  run = NULL;
  FAILS(MOE_ERR_CONFIG, "model.hidden", moe_run_open(other, path, NULL, &run));
  moe_config_free(other);
  CHECK(run == NULL && second == NULL);
}

/* The first eight bytes of every PNG file, and more behind them. */
static bool is_png(const char* path) {
  unsigned char start[8] = {0};
  FILE* file = fopen(path, "rb");
  if (!file) return false;
  const size_t got = fread(start, 1, sizeof start, file);
  fseek(file, 0, SEEK_END);
  const long size = ftell(file);
  fclose(file);
  return got == 8 && memcmp(start, "\x89PNG\r\n\x1a\n", 8) == 0 && size > 100;
}

static void evaluation_and_pictures(void** state) {
  (void)state;
  moe_session* session = NULL;
  moe_loader* loader = NULL;
  moe_batch *batch = NULL, *result = NULL;
  moe_metric metrics[64];
  size_t count = 0, again = 0;
  OK(moe_session_create(config, NULL, &session));
  OK(moe_loader_create(config, "val", &loader));
  OK(moe_session_evaluate(session, loader, NULL, 0, &count));
  CHECK(count >= 2 && count <= 64);
  OK(moe_session_evaluate(session, loader, metrics, 64, &again));
  assert_int_equal(again, count);
  assert_string_equal(metrics[0].name, "AP");
  for (size_t i = 0; i < count; ++i)
    CHECK(metrics[i].name[0] != '\0' && metrics[i].value >= -1 && metrics[i].value <= 1);
  moe_layer_stat stat = MOE_LAYER_STAT_INIT;
  OK(moe_session_layer_stats(session, 0, MOE_WINDOW_LAST_EVAL, &stat));
  assert_int_equal(stat.tokens, VAL);
  OK(moe_session_layer_stats(session, 0, MOE_WINDOW_LIFETIME, &stat));
  assert_int_equal(stat.tokens, 0);

  OK(moe_batch_create(&batch));
  OK(moe_batch_create(&result));
  OK(moe_loader_next(loader, batch));
  OK(moe_session_predict(session, batch, result));
  const char* picture = in_folder(folder, "picture.png");
  OK(moe_session_draw(session, batch, result, 1, 0.0, picture));
  CHECK(is_png(picture));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "index: expected 0 to 1, got 2",
        moe_session_draw(session, batch, result, 2, 0.5, picture));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "NaN", moe_session_draw(session, batch, result, 0, NAN, picture));
  CHECK(moe_session_draw(session, batch, result, 0, 0.5, in_folder(folder, "no/such/folder/a.png")) != MOE_OK);
  moe_batch_free(result);
  moe_batch_free(batch);
  moe_loader_free(loader);
  moe_session_free(session);
}

static void prediction_on_image_files(void** state) {
  (void)state;
  moe_loader *val = NULL, *files = NULL;
  moe_batch *batch = NULL, *result = NULL;
  moe_session* session = NULL;
  OK(moe_batch_create(&batch));
  OK(moe_batch_create(&result));
  OK(moe_loader_create(config, "val", &val));
  OK(moe_loader_next(val, batch));
  int64_t ids[2];
  char name[256];
  OK(moe_batch_read(batch, "image_ids", ids, sizeof ids, NULL));
  OK(moe_loader_file_name(val, ids[0], name, sizeof name, NULL));
  const char* paths[] = {name};
  OK(moe_loader_create_files(config, paths, 1, &files));
  OK(moe_session_create(config, NULL, &session));
  OK(moe_loader_next(files, batch));
  OK(moe_session_predict(session, batch, result));
  moe_tensor_info info = MOE_TENSOR_INFO_INIT;
  OK(moe_batch_info(result, "scores", &info));
  CHECK(info.ndim == 1 && info.shape[0] > 0);
  FAILS(MOE_ERR_NOT_FOUND, "boxes", moe_session_feed(session, batch));
  const char* absent[] = {"/nowhere/a.png"};
  FAILS(MOE_ERR_NOT_FOUND, "/nowhere/a.png", moe_loader_create_files(config, absent, 1, &val));
  moe_session_free(session);
  moe_loader_free(files);
  moe_loader_free(val);
  moe_batch_free(result);
  moe_batch_free(batch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_same_options_give_the_same_bytes),
      cmocka_unit_test(a_loader_gives_every_sample_once),
      cmocka_unit_test(a_loader_tells_what_it_cannot_read),
      cmocka_unit_test(a_run_resumed_equals_one_that_was_not),
      cmocka_unit_test(another_thread_stops_a_run),
      cmocka_unit_test(folders_and_modes),
      cmocka_unit_test(evaluation_and_pictures),
      cmocka_unit_test(prediction_on_image_files),
  };
  return cmocka_run_group_tests_name("runs", tests, set_up, tear_down);
}
