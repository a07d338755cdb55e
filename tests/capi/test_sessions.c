/* A foreign program's own loop: feed, step, predict, save and load, statistics, errors that change nothing, stop
 * requests, and two sessions in two threads. */
#define _GNU_SOURCE
#include "support.h"

#include <math.h>
#include <pthread.h>

static moe_session* session;
static moe_batch* batch;

static int set_up(void** state) {
  (void)state;
  session = tiny_session();
  batch = tiny_batch(1);
  return 0;
}

static int tear_down(void** state) {
  (void)state;
  moe_session_free(session);
  moe_batch_free(batch);
  return 0;
}

/* Steps on one batch. */
static moe_step_info train(moe_session* on, int steps) {
  moe_step_info info;
  moe_step_info_init(&info);
  for (int i = 0; i < steps; ++i) {
    OK(moe_session_feed(on, batch));
    OK(moe_session_step(on, &info));
  }
  return info;
}

static void the_loss_falls(void** state) {
  (void)state;
  const moe_step_info first = train(session, 1);
  CHECK(first.step == 1 && first.samples == TINY_IMAGES && first.micro_batches == 1 && first.skipped == 0);
  CHECK(isfinite(first.loss) && first.loss > 0 && first.grad_norm > 0 && first.seconds > 0);
  CHECK(fabs(first.lr - 3e-3) < 1e-9);
  double sum = 0;
  for (int i = 0; i < first.loss_count; ++i) sum += first.loss_value[i];
  CHECK(first.loss_count > 0 && fabs(sum - first.loss) < 1e-6 * first.loss && first.loss_name[0][0] != '\0');
  const moe_step_info last = train(session, 29);
  CHECK(last.step == 30);
  print_message("loss %g after 1 step, %g after 30\n", first.loss, last.loss);
  CHECK(last.loss < 0.7 * first.loss);
}

static void a_window_of_several_micro_batches(void** state) {
  (void)state;
  moe_step_info info;
  moe_step_info_init(&info);
  for (int i = 0; i < 3; ++i) OK(moe_session_feed(session, batch));
  OK(moe_session_step(session, &info));
  CHECK(info.micro_batches == 3 && info.samples == 3 * TINY_IMAGES && info.step == 1);
  OK(moe_session_feed(session, batch));
  OK(moe_session_discard(session));
  FAILS(MOE_ERR_STATE, "step: expected at least one batch", moe_session_step(session, &info));
}

/* Feeds batch 1 with one tensor replaced; nothing of it may reach the window. */
static void refuse(moe_status status, const char* part, const char* name, const moe_tensor_view* view) {
  moe_batch* wrong = tiny_batch(1);
  OK(moe_batch_set(wrong, name, view));
  FAILS(status, part, moe_session_feed(session, wrong));
  moe_batch_free(wrong);
}

static void a_refused_batch_leaves_the_window(void** state) {
  (void)state;
  static float images[TINY_IMAGES * 3 * TINY_SIZE * TINY_SIZE];
  const int64_t image_shape[4] = {TINY_IMAGES, 3, TINY_SIZE, TINY_SIZE},
                flat_shape[3] = {TINY_IMAGES * 3, TINY_SIZE, TINY_SIZE};
  const int64_t three[1] = {3}, box_shape[2] = {3, 3};
  const int64_t far_label[3] = {0, 6, 1}, falling[3] = {0, 4, 3}, short_sum[3] = {0, 1, 2};
  const float boxes[12] = {0};
  OK(moe_session_feed(session, batch));
  refuse(MOE_ERR_SHAPE, "images: expected [B, 3,", "images",
         &(moe_tensor_view){MOE_VIEW_F32, .data = images, .ndim = 3, .shape = flat_shape});
  refuse(MOE_ERR_DTYPE, "images: expected float32, got uint8", "images",
         &(moe_tensor_view){MOE_VIEW_U8, .data = images, .ndim = 4, .shape = image_shape});
  refuse(MOE_ERR_SHAPE, "boxes", "boxes",
         &(moe_tensor_view){MOE_VIEW_F32, .data = boxes, .ndim = 2, .shape = box_shape});
  refuse(MOE_ERR_DATA, "label", "labels",
         &(moe_tensor_view){MOE_VIEW_I64, .data = far_label, .ndim = 1, .shape = three});
  refuse(MOE_ERR_DATA, "offsets", "offsets",
         &(moe_tensor_view){MOE_VIEW_I64, .data = falling, .ndim = 1, .shape = three});
  refuse(MOE_ERR_DATA, "offsets", "offsets",
         &(moe_tensor_view){MOE_VIEW_I64, .data = short_sum, .ndim = 1, .shape = three});
  images[7] = NAN;
  refuse(MOE_ERR_NUMERIC, "images", "images",
         &(moe_tensor_view){MOE_VIEW_F32, .data = images, .ndim = 4, .shape = image_shape});
  moe_batch* empty = NULL;
  OK(moe_batch_create(&empty));
  FAILS(MOE_ERR_NOT_FOUND, "images", moe_session_feed(session, empty));
  moe_batch_free(empty);
  moe_step_info info;
  moe_step_info_init(&info);
  OK(moe_session_step(session, &info));
  assert_int_equal(info.micro_batches, 1);
}

static void a_failed_step_writes_nothing(void** state) {
  (void)state;
  moe_step_info info, before;
  memset(&info, 0xA5, sizeof info);
  info.struct_size = sizeof info;
  memcpy(&before, &info, sizeof info);
  FAILS(MOE_ERR_STATE, "step", moe_session_step(session, &info));
  assert_memory_equal(&info, &before, sizeof info);
}

static void* stop(void* handle) {
  return (void*)(intptr_t)moe_session_request_stop(handle);
}

static void a_stop_from_another_thread_changes_nothing(void** state) {
  (void)state;
  train(session, 2);
  char* before = session_text(session, "state.digest");
  for (int i = 0; i < 64; ++i) OK(moe_session_feed(session, batch));
  pthread_t thread;
  void* status = NULL;
  assert_int_equal(pthread_create(&thread, NULL, stop, session), 0);
  FAILS(MOE_ERR_CANCELLED, "nothing was changed", moe_session_step(session, NULL));
  assert_int_equal(pthread_join(thread, &status), 0);
  CHECK((intptr_t)status == MOE_OK);
  char* after = session_text(session, "state.digest");
  assert_string_equal(before, after);
  free(before);
  free(after);
  CHECK(train(session, 1).step == 3);
}

static void results_come_back(void** state) {
  (void)state;
  train(session, 2);
  moe_batch* result = NULL;
  moe_tensor_info boxes = MOE_TENSOR_INFO_INIT, scores = MOE_TENSOR_INFO_INIT, offsets = MOE_TENSOR_INFO_INIT;
  OK(moe_batch_create(&result));
  OK(moe_session_predict(session, batch, result));
  OK(moe_batch_info(result, "boxes", &boxes));
  OK(moe_batch_info(result, "scores", &scores));
  OK(moe_batch_info(result, "offsets", &offsets));
  CHECK(boxes.ndim == 2 && boxes.shape[1] == 4 && scores.shape[0] == boxes.shape[0] && boxes.shape[0] > 0);
  CHECK(offsets.dtype == MOE_I64 && offsets.shape[0] == TINY_IMAGES + 1);
  FAILS(MOE_ERR_NOT_FOUND, "images", moe_session_predict(session, result, result));
  OK(moe_batch_info(result, "boxes", &boxes)); /* still there */
  moe_batch_free(result);
}

static void drawings_check_both_batches(void** state) {
  (void)state;
  static const float image[TINY_SIZE * TINY_SIZE];
  char* folder = make_folder();
  const char* path = in_folder(folder, "a.png");
  moe_batch *result = NULL, *grey = tiny_batch(1), *framed = tiny_batch(1), *far = tiny_batch(1);
  OK(moe_batch_create(&result));
  OK(moe_session_predict(session, batch, result));
  OK(moe_session_draw(session, batch, result, 0, 0.0, path));
  set_floats(grey, "images", image, 4, (const int64_t[]){1, 1, TINY_SIZE, TINY_SIZE});
  FAILS(MOE_ERR_SHAPE, "images: expected [B, 3,", moe_session_draw(session, grey, result, 0, 0.0, path));
  set_floats(framed, "frames", image, 1, (const int64_t[]){TINY_IMAGES});
  FAILS(MOE_ERR_SHAPE, "frames: expected [B, 4]", moe_session_draw(session, framed, result, 0, 0.0, path));
  set_integers(far, "labels", (const int64_t[]){0, 6, 1}, 3);
  FAILS(MOE_ERR_DATA, "labels", moe_session_draw(session, far, result, 0, 0.0, path));
  set_integers(result, "offsets", (const int64_t[]){0, 0, 1 << 20}, TINY_IMAGES + 1);
  FAILS(MOE_ERR_DATA, "offsets", moe_session_draw(session, batch, result, 1, 0.0, path));
  FAILS(MOE_ERR_NOT_FOUND, "scores", moe_session_draw(session, batch, batch, 0, 0.0, path));
  moe_batch_free(result), moe_batch_free(grey), moe_batch_free(framed), moe_batch_free(far);
  remove_folder(folder);
}

static void a_checkpoint_brings_everything_back(void** state) {
  (void)state;
  char* folder = make_folder();
  const char* path = in_folder(folder, "a.safetensors");
  train(session, 3);
  OK(moe_session_save(session, path));
  char* saved = session_text(session, "state.digest");
  train(session, 2);
  char* later = session_text(session, "state.digest");
  CHECK(strcmp(saved, later) != 0);
  OK(moe_session_load(session, path));
  char* loaded = session_text(session, "state.digest");
  assert_string_equal(saved, loaded);
  moe_session* opened = NULL;
  OK(moe_session_open(path, NULL, &opened));
  train(opened, 2);
  char* again = session_text(opened, "state.digest");
  assert_string_equal(later, again);
  FAILS(MOE_ERR_NOT_FOUND, "none.safetensors", moe_session_load(session, in_folder(folder, "none.safetensors")));
  moe_session_free(opened);
  free(saved), free(later), free(loaded), free(again);
  remove_folder(folder);
}

static void values_by_key(void** state) {
  (void)state;
  train(session, 1);
  char* step = session_text(session, "state.step");
  assert_string_equal(step, "1");
  free(step);
  char* groups = session_text(session, "optimizer.groups");
  char key[128];
  snprintf(key, sizeof key, "optimizer.groups.%.*s.lr", (int)strcspn(groups, "\n"), groups);
  OK(moe_session_set(session, key, "0.002"));
  char* lr = session_text(session, key);
  assert_string_equal(lr, "0.002");
  free(groups), free(lr);
  FAILS(MOE_ERR_INVALID_ARGUMENT, "number", moe_session_set(session, key, "fast"));
  FAILS(MOE_ERR_NOT_FOUND, "state.step", moe_session_get(session, "state.stap", NULL, 0, NULL));
  moe_config* config = NULL;
  OK(moe_session_config(session, &config));
  char hidden[8];
  OK(moe_config_get(config, "model.hidden", hidden, sizeof hidden, NULL));
  assert_string_equal(hidden, "32");
  moe_config_free(config);
}

/* What the router did with `tokens` images adds up, in every way it can be asked. */
static void check_window(int32_t window, int64_t tokens) {
  moe_layer_stat layer = MOE_LAYER_STAT_INIT;
  moe_expert_stat experts[TINY_EXPERTS];
  size_t count = 0;
  OK(moe_session_layer_stats(session, 0, window, &layer));
  OK(moe_session_expert_stats(session, 0, window, experts, TINY_EXPERTS, &count));
  assert_int_equal(count, TINY_EXPERTS);
  assert_int_equal(layer.tokens, tokens);
  int64_t assigned = 0, dead = 0;
  double share = 0, activation = 0, importance = 0;
  for (size_t e = 0; e < count; ++e) {
    assigned += experts[e].tokens;
    dead += experts[e].tokens == 0;
    share += experts[e].share;
    activation += experts[e].activation_rate;
    importance += experts[e].importance;
    CHECK(experts[e].computed >= experts[e].tokens - experts[e].dropped);
    CHECK(experts[e].gate_mean >= 0 && (experts[e].gate_mean > 0) == (experts[e].tokens > 0));
  }
  assert_int_equal(assigned, layer.assignments);
  assert_int_equal(dead, layer.dead_experts);
  CHECK(tokens <= assigned && assigned <= 2 * tokens); /* top_k: 2 */
  CHECK(fabs(share - 1) < 1e-12 && fabs(importance - 1) < 1e-5);
  CHECK(fabs(activation - (double)assigned / (double)tokens) < 1e-12);
  CHECK(layer.token_entropy >= 0 && layer.token_entropy <= 1 + 1e-6);
  CHECK(fabs(layer.mutual_information - (layer.marginal_entropy - layer.token_entropy)) < 1e-12);
  CHECK(layer.confidence <= 1 + 1e-6 && 0 <= layer.margin && layer.margin <= layer.confidence);
  CHECK(layer.gini >= 0 && layer.dominant_share >= 1.0 / TINY_EXPERTS && layer.unrouted == 0 && layer.dropped == 0);
  int64_t together[TINY_EXPERTS * TINY_EXPERTS];
  OK(moe_session_coactivation(session, 0, window, together, TINY_EXPERTS * TINY_EXPERTS, &count));
  assert_int_equal(count, TINY_EXPERTS * TINY_EXPERTS);
  for (int e = 0; e < TINY_EXPERTS; ++e) assert_int_equal(together[e * TINY_EXPERTS + e], experts[e].tokens);
  assert_int_equal(together[1], together[TINY_EXPERTS]);
}

static void expert_statistics_add_up(void** state) {
  (void)state;
  int32_t layers = 0;
  moe_layer_info info = MOE_LAYER_INFO_INIT;
  moe_layer_stat layer = MOE_LAYER_STAT_INIT;
  OK(moe_session_layer_count(session, &layers));
  assert_int_equal(layers, 1);
  OK(moe_session_layer_info(session, 0, &info));
  CHECK(info.experts == TINY_EXPERTS && info.top_k == 2 && info.classes == 6);
  assert_string_equal(info.unit, "image");
  char name[32];
  OK(moe_session_expert_name(session, 0, 0, name, sizeof name, NULL));
  assert_string_equal(name, "vehicles");

  train(session, 3);
  check_window(MOE_WINDOW_LAST_STEP, TINY_IMAGES);
  check_window(MOE_WINDOW_LIFETIME, 3 * TINY_IMAGES);
  check_window(MOE_WINDOW_SINCE_RESET, 3 * TINY_IMAGES);
  OK(moe_session_stats_reset(session));
  OK(moe_session_layer_stats(session, 0, MOE_WINDOW_SINCE_RESET, &layer));
  assert_int_equal(layer.tokens, 0);
  check_window(MOE_WINDOW_LIFETIME, 3 * TINY_IMAGES);
  int64_t routing[6 * TINY_EXPERTS];
  size_t count = 0;
  OK(moe_session_class_routing(session, 0, MOE_WINDOW_LIFETIME, routing, 6 * TINY_EXPERTS, &count));
  assert_int_equal(count, 6 * TINY_EXPERTS);
  int64_t objects = 0;
  for (size_t i = 0; i < count; ++i) objects += routing[i];
  CHECK(objects > 0);
  for (int e = 0; e < TINY_EXPERTS; ++e) assert_int_equal(routing[1 * TINY_EXPERTS + e], 0); /* no truck was fed */
}

typedef struct {
  char digest[64];
  double loss;
  moe_status status;
} outcome;

/* Collects statuses: a failing check of CMocka cannot jump out of a second thread. */
static void* train_alone(void* out) {
  outcome* result = out;
  moe_config* config = tiny_config(NULL);
  moe_session* own = NULL;
  moe_step_info info;
  moe_step_info_init(&info);
  result->status = moe_session_create(config, NULL, &own);
  for (uint32_t i = 0; i < 6 && result->status == MOE_OK; ++i) {
    static pthread_mutex_t drawing = PTHREAD_MUTEX_INITIALIZER; /* tiny_batch() has one canvas */
    pthread_mutex_lock(&drawing);
    moe_batch* fed = tiny_batch(i);
    pthread_mutex_unlock(&drawing);
    result->status = moe_session_feed(own, fed);
    if (result->status == MOE_OK) result->status = moe_session_step(own, &info);
    moe_batch_free(fed);
  }
  result->loss = info.loss;
  if (result->status == MOE_OK)
    result->status = moe_session_get(own, "state.digest", result->digest, sizeof result->digest, NULL);
  moe_session_free(own);
  moe_config_free(config);
  return NULL;
}

static void two_sessions_in_two_threads_train_as_if_alone(void** state) {
  (void)state;
  outcome alone, together[2];
  train_alone(&alone);
  CHECK(alone.status == MOE_OK);
  pthread_t threads[2];
  for (int i = 0; i < 2; ++i) assert_int_equal(pthread_create(&threads[i], NULL, train_alone, &together[i]), 0);
  for (int i = 0; i < 2; ++i) assert_int_equal(pthread_join(threads[i], NULL), 0);
  for (int i = 0; i < 2; ++i) {
    assert_int_equal(together[i].status, MOE_OK);
    assert_string_equal(together[i].digest, alone.digest);
    CHECK(together[i].loss == alone.loss);
  }
}

typedef struct {
  int lines;
  int whole;
  pthread_t thread;
} log_record;

static void take_line(int32_t level, const char* message, void* user) {
  log_record* record = user;
  record->lines += 1;
  record->whole += level >= MOE_LOG_DEBUG && level <= MOE_LOG_ERROR && message[0] != '\0' && !strchr(message, '\n') &&
                   pthread_equal(pthread_self(), record->thread);
}

static void log_lines_reach_the_caller(void** state) {
  (void)state;
  char* folder = make_folder();
  const char* path = in_folder(folder, "weights.safetensors");
  OK(moe_session_save(session, path));
  moe_config* config = tiny_config(NULL);
  OK(moe_config_set(config, "model.pretrained", path));
  log_record record = {0, 0, pthread_self()};
  moe_session_options options = MOE_SESSION_OPTIONS_INIT;
  options.log_fn = take_line;
  options.log_user = &record;
  moe_session* other = NULL;
  OK(moe_session_create(config, &options, &other));
  CHECK(record.lines > 0 && record.whole == record.lines);
  moe_session_free(other);
  moe_config_free(config);
  remove_folder(folder);
}

int main(void) {
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      EACH(the_loss_falls),
      EACH(a_window_of_several_micro_batches),
      EACH(a_refused_batch_leaves_the_window),
      EACH(a_failed_step_writes_nothing),
      EACH(a_stop_from_another_thread_changes_nothing),
      EACH(results_come_back),
      EACH(drawings_check_both_batches),
      EACH(a_checkpoint_brings_everything_back),
      EACH(values_by_key),
      EACH(expert_statistics_add_up),
      cmocka_unit_test(two_sessions_in_two_threads_train_as_if_alone),
      EACH(log_lines_reach_the_caller),
  };
  return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
