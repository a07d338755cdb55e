/* Every function with NULL for each required pointer, every struct with a wrong size, every buffer too small by one,
 * and NULL for every destructor: a status and one line, nothing written, nothing crashed. */
#include "support.h"

static struct {
  char* folder;
  moe_config* config;
  moe_batch* batch;
  moe_session* session;
  moe_loader* loader;
  moe_run* run;
} world;

static int set_up(void** state) {
  (void)state;
  world.folder = make_folder();
  const char* root = in_folder(world.folder, "data");
  tiny_data(root, 4, 2);
  world.config = tiny_config(root);
  world.batch = tiny_batch(1);
  OK(moe_session_create(world.config, NULL, &world.session));
  OK(moe_loader_create(world.config, "val", &world.loader));
  OK(moe_run_open(world.config, in_folder(world.folder, "run"), NULL, &world.run));
  return 0;
}

static int tear_down(void** state) {
  (void)state;
  moe_run_close(world.run);
  moe_loader_free(world.loader);
  moe_session_free(world.session);
  moe_batch_free(world.batch);
  moe_config_free(world.config);
  remove_folder(world.folder);
  return 0;
}

#define IS_NULL(call) FAILS(MOE_ERR_INVALID_ARGUMENT, "expected a pointer", call)

static void null_for_configs(void** state) {
  (void)state;
  moe_config* config = NULL;
  IS_NULL(moe_last_error(NULL));
  IS_NULL(moe_config_load(NULL, &config));
  IS_NULL(moe_config_load("a.yml", NULL));
  IS_NULL(moe_config_parse(NULL, 0, NULL, &config));
  IS_NULL(moe_config_parse("task: rtdetr", 12, NULL, NULL));
  IS_NULL(moe_config_clone(NULL, &config));
  IS_NULL(moe_config_clone(world.config, NULL));
  IS_NULL(moe_config_set(NULL, "seed", "1"));
  IS_NULL(moe_config_set(world.config, NULL, "1"));
  IS_NULL(moe_config_set(world.config, "seed", NULL));
  IS_NULL(moe_config_get(NULL, "seed", NULL, 0, NULL));
  IS_NULL(moe_config_get(world.config, NULL, NULL, 0, NULL));
  IS_NULL(moe_config_origin(NULL, "seed", NULL, 0, NULL));
  IS_NULL(moe_config_origin(world.config, NULL, NULL, 0, NULL));
  IS_NULL(moe_config_dump(NULL, MOE_DUMP_VALUES, NULL, 0, NULL));
  CHECK(config == NULL);
}

static void null_for_batches(void** state) {
  (void)state;
  const float x = 0;
  const moe_tensor_view view = {MOE_VIEW_F32, .data = &x};
  moe_tensor_info info = MOE_TENSOR_INFO_INIT;
  int32_t count = 77;
  IS_NULL(moe_batch_create(NULL));
  IS_NULL(moe_batch_set(NULL, "x", &view));
  IS_NULL(moe_batch_set(world.batch, NULL, &view));
  IS_NULL(moe_batch_set(world.batch, "x", NULL));
  IS_NULL(moe_batch_bind_dlpack(world.batch, "x", NULL)); /* test_dlpack.c has the others */
  struct DLManagedTensorVersioned* exported = NULL;
  IS_NULL(moe_batch_export_dlpack(NULL, "x", &exported));
  IS_NULL(moe_batch_export_dlpack(world.batch, NULL, &exported));
  IS_NULL(moe_batch_export_dlpack(world.batch, "images", NULL));
  IS_NULL(moe_batch_count(NULL, &count));
  IS_NULL(moe_batch_count(world.batch, NULL));
  IS_NULL(moe_batch_info_at(NULL, 0, &info));
  IS_NULL(moe_batch_info_at(world.batch, 0, NULL));
  IS_NULL(moe_batch_info(NULL, "images", &info));
  IS_NULL(moe_batch_info(world.batch, NULL, &info));
  IS_NULL(moe_batch_info(world.batch, "images", NULL));
  IS_NULL(moe_batch_read(NULL, "images", NULL, 0, NULL));
  IS_NULL(moe_batch_read(world.batch, NULL, NULL, 0, NULL));
  IS_NULL(moe_batch_clear(NULL));
  CHECK(count == 77 && exported == NULL);
}

static void null_for_loaders(void** state) {
  (void)state;
  const char* paths[] = {NULL};
  moe_loader* loader = NULL;
  int64_t number = 77;
  IS_NULL(moe_loader_create(NULL, "val", &loader));
  IS_NULL(moe_loader_create(world.config, NULL, &loader));
  IS_NULL(moe_loader_create(world.config, "val", NULL));
  IS_NULL(moe_loader_create_files(NULL, paths, 1, &loader));
  IS_NULL(moe_loader_create_files(world.config, NULL, 1, &loader));
  IS_NULL(moe_loader_create_files(world.config, paths, 1, NULL));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "paths[0]", moe_loader_create_files(world.config, paths, 1, &loader));
  IS_NULL(moe_loader_next(NULL, world.batch));
  IS_NULL(moe_loader_next(world.loader, NULL));
  IS_NULL(moe_loader_set_log(NULL, NULL, NULL));
  IS_NULL(moe_loader_size(NULL, &number, &number));
  OK(moe_loader_size(world.loader, NULL, NULL));
  IS_NULL(moe_loader_file_name(NULL, 0, NULL, 0, NULL));
  IS_NULL(moe_loader_broken(NULL, &number));
  IS_NULL(moe_loader_broken(world.loader, NULL));
  IS_NULL(moe_data_generate(NULL, "/tmp/x", NULL));
  IS_NULL(moe_data_generate("traffic", NULL, NULL));
  CHECK(loader == NULL && number == 77);
}

static void null_for_sessions(void** state) {
  (void)state;
  moe_session* session = NULL;
  moe_config* config = NULL;
  moe_metric metric;
  size_t count = 77;
  IS_NULL(moe_session_create(NULL, NULL, &session));
  IS_NULL(moe_session_create(world.config, NULL, NULL));
  IS_NULL(moe_session_open(NULL, NULL, &session));
  IS_NULL(moe_session_open("x.safetensors", NULL, NULL));
  IS_NULL(moe_session_config(NULL, &config));
  IS_NULL(moe_session_config(world.session, NULL));
  IS_NULL(moe_session_describe_batch(NULL, NULL, 0, NULL));
  IS_NULL(moe_session_feed(NULL, world.batch));
  IS_NULL(moe_session_feed(world.session, NULL));
  IS_NULL(moe_session_step(NULL, NULL));
  IS_NULL(moe_session_discard(NULL));
  IS_NULL(moe_session_predict(NULL, world.batch, world.batch));
  IS_NULL(moe_session_predict(world.session, NULL, world.batch));
  IS_NULL(moe_session_predict(world.session, world.batch, NULL));
  IS_NULL(moe_session_evaluate(NULL, world.loader, &metric, 1, &count));
  IS_NULL(moe_session_evaluate(world.session, NULL, &metric, 1, &count));
  IS_NULL(moe_coco_evaluate(NULL, "d.json", NULL, NULL, &metric, 1, &count));
  IS_NULL(moe_coco_evaluate("a.json", NULL, NULL, NULL, &metric, 1, &count));
  IS_NULL(moe_data_check(NULL, NULL, NULL, NULL, NULL));
  IS_NULL(moe_session_export(NULL, "own", "x"));
  IS_NULL(moe_session_export(world.session, NULL, "x"));
  IS_NULL(moe_session_export(world.session, "own", NULL));
  IS_NULL(moe_session_draw(NULL, world.batch, world.batch, 0, 0.5, "x.png"));
  IS_NULL(moe_session_draw(world.session, NULL, world.batch, 0, 0.5, "x.png"));
  IS_NULL(moe_session_draw(world.session, world.batch, NULL, 0, 0.5, "x.png"));
  IS_NULL(moe_session_draw(world.session, world.batch, world.batch, 0, 0.5, NULL));
  IS_NULL(moe_session_save(NULL, "x"));
  IS_NULL(moe_session_save(world.session, NULL));
  IS_NULL(moe_session_load(NULL, "x"));
  IS_NULL(moe_session_load(world.session, NULL));
  IS_NULL(moe_session_get(NULL, "state.step", NULL, 0, NULL));
  IS_NULL(moe_session_get(world.session, NULL, NULL, 0, NULL));
  IS_NULL(moe_session_set(NULL, "state.epoch", "1"));
  IS_NULL(moe_session_set(world.session, NULL, "1"));
  IS_NULL(moe_session_set(world.session, "state.epoch", NULL));
  IS_NULL(moe_session_request_stop(NULL));
  CHECK(session == NULL && config == NULL && count == 77);
}

static void null_for_experts_and_runs(void** state) {
  (void)state;
  moe_layer_info info = MOE_LAYER_INFO_INIT;
  moe_layer_stat stat = MOE_LAYER_STAT_INIT;
  moe_run_event event = MOE_RUN_EVENT_INIT;
  moe_run* run = NULL;
  moe_session* session = NULL;
  int32_t count = 77;
  IS_NULL(moe_session_layer_count(NULL, &count));
  IS_NULL(moe_session_layer_count(world.session, NULL));
  IS_NULL(moe_session_layer_info(NULL, 0, &info));
  IS_NULL(moe_session_layer_info(world.session, 0, NULL));
  IS_NULL(moe_session_expert_name(NULL, 0, 0, NULL, 0, NULL));
  IS_NULL(moe_session_expert_stats(NULL, 0, 0, NULL, 0, NULL));
  IS_NULL(moe_session_layer_stats(NULL, 0, 0, &stat));
  IS_NULL(moe_session_layer_stats(world.session, 0, 0, NULL));
  IS_NULL(moe_session_class_routing(NULL, 0, 0, NULL, 0, NULL));
  IS_NULL(moe_session_coactivation(NULL, 0, 0, NULL, 0, NULL));
  IS_NULL(moe_session_stats_reset(NULL));
  IS_NULL(moe_run_open(NULL, "/tmp/run", NULL, &run));
  IS_NULL(moe_run_open(world.config, NULL, NULL, &run));
  IS_NULL(moe_run_open(world.config, "/tmp/run", NULL, NULL));
  IS_NULL(moe_run_next(NULL, &event));
  IS_NULL(moe_run_next(world.run, NULL));
  IS_NULL(moe_run_request_stop(NULL));
  IS_NULL(moe_run_session(NULL, &session));
  IS_NULL(moe_run_session(world.run, NULL));
  CHECK(run == NULL && session == NULL && count == 77);
}

static void freeing_null_does_nothing(void** state) {
  (void)state;
  for (int twice = 0; twice < 2; ++twice) {
    moe_config_free(NULL);
    moe_batch_free(NULL);
    moe_loader_free(NULL);
    moe_session_free(NULL);
    moe_run_close(NULL);
    moe_tensor_view_init(NULL);
    moe_step_info_init(NULL);
  }
}

/* `it` is a struct full of 0xA5 whose size is wrong; the call must leave every byte of it. */
#define WRONG_SIZES(type, call)                                                   \
  do {                                                                            \
    const uint32_t sizes[] = {0, sizeof(type) - 1, sizeof(type) + 1, UINT32_MAX}; \
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {                 \
      type it, before;                                                            \
      memset(&it, 0xA5, sizeof it);                                               \
      it.struct_size = sizes[i];                                                  \
      memcpy(&before, &it, sizeof it);                                            \
      FAILS(MOE_ERR_INVALID_ARGUMENT, "struct_size: expected", call);             \
      assert_memory_equal(&it, &before, sizeof it);                               \
    }                                                                             \
  } while (0)

static void structs_of_an_unknown_size(void** state) {
  (void)state;
  moe_session* session = NULL;
  moe_run* run = NULL;
  const char* folder = in_folder(world.folder, "never");
  WRONG_SIZES(moe_error_info, moe_last_error(&it));
  WRONG_SIZES(moe_tensor_view, moe_batch_set(world.batch, "x", &it));
  WRONG_SIZES(moe_tensor_info, moe_batch_info(world.batch, "images", &it));
  WRONG_SIZES(moe_tensor_info, moe_batch_info_at(world.batch, 0, &it));
  WRONG_SIZES(moe_generate_options, moe_data_generate("traffic", folder, &it));
  WRONG_SIZES(moe_data_report, moe_data_check(world.config, NULL, NULL, NULL, &it));
  WRONG_SIZES(moe_session_options, moe_session_create(world.config, &it, &session));
  WRONG_SIZES(moe_session_options, moe_session_open("x.safetensors", &it, &session));
  WRONG_SIZES(moe_step_info, moe_session_step(world.session, &it));
  WRONG_SIZES(moe_layer_info, moe_session_layer_info(world.session, 0, &it));
  WRONG_SIZES(moe_layer_stat, moe_session_layer_stats(world.session, 0, 0, &it));
  WRONG_SIZES(moe_run_options, moe_run_open(world.config, folder, &it, &run));
  WRONG_SIZES(moe_run_event, moe_run_next(world.run, &it));
  CHECK(session == NULL && run == NULL);
}

static void init_functions_set_the_size(void** state) {
  (void)state;
  moe_tensor_view view;
  moe_step_info info;
  memset(&view, 0xA5, sizeof view);
  memset(&info, 0xA5, sizeof info);
  moe_tensor_view_init(&view);
  moe_step_info_init(&info);
  CHECK(view.struct_size == sizeof view && view.data == NULL && view.ndim == 0);
  CHECK(info.struct_size == sizeof info && info.loss_count == 0 && info.loss == 0);
}

/* The rule of (buffer, capacity, needed) for a call in these names, counted in `type`. */
#define BUFFER_RULES(type, call)                                \
  do {                                                          \
    type* buffer = NULL;                                        \
    size_t capacity = 0, needed = 0;                            \
    OK(call);                                                   \
    const size_t full = needed;                                 \
    CHECK(full >= 1);                                           \
    unsigned char* pattern = malloc(full * sizeof(type));       \
    memset(pattern, 0xA5, full * sizeof(type));                 \
    buffer = malloc(full * sizeof(type));                       \
    memcpy(buffer, pattern, full * sizeof(type));               \
    capacity = full - 1;                                        \
    needed = 0;                                                 \
    FAILS(MOE_ERR_BUFFER_TOO_SMALL, "expected room for", call); \
    assert_int_equal(needed, full);                             \
    assert_memory_equal(buffer, pattern, full * sizeof(type));  \
    capacity = full;                                            \
    OK(call);                                                   \
    assert_int_equal(needed, full);                             \
    free(buffer);                                               \
    free(pattern);                                              \
    buffer = NULL;                                              \
    FAILS(MOE_ERR_INVALID_ARGUMENT, "got NULL", call);          \
  } while (0)

static int64_t first_image_id(void) {
  static int64_t ids[2] = {-1};
  if (ids[0] >= 0) return ids[0];
  moe_batch* batch = NULL;
  OK(moe_batch_create(&batch));
  OK(moe_loader_next(world.loader, batch));
  OK(moe_batch_read(batch, "image_ids", ids, sizeof ids, NULL));
  moe_batch_free(batch);
  return ids[0];
}

static void buffers_too_small_by_one(void** state) {
  (void)state;
  BUFFER_RULES(char, moe_build_info(buffer, capacity, &needed));
  BUFFER_RULES(char, moe_config_get(world.config, "train.epochs", buffer, capacity, &needed));
  BUFFER_RULES(char, moe_config_origin(world.config, "train.epochs", buffer, capacity, &needed));
  BUFFER_RULES(char, moe_config_dump(world.config, MOE_DUMP_VALUES, buffer, capacity, &needed));
  BUFFER_RULES(char, moe_config_dump(world.config, MOE_DUMP_ORIGINS, buffer, capacity, &needed));
  BUFFER_RULES(char, moe_config_describe(NULL, buffer, capacity, &needed));
  BUFFER_RULES(char, moe_config_describe("rtdetr", buffer, capacity, &needed));
  BUFFER_RULES(unsigned char, moe_batch_read(world.batch, "labels", buffer, capacity, &needed));
  BUFFER_RULES(char, moe_session_describe_batch(world.session, buffer, capacity, &needed));
  BUFFER_RULES(char, moe_session_get(world.session, "model.summary", buffer, capacity, &needed));
  BUFFER_RULES(char, moe_session_expert_name(world.session, 0, 0, buffer, capacity, &needed));
  BUFFER_RULES(moe_expert_stat, moe_session_expert_stats(world.session, 0, 0, buffer, capacity, &needed));
  BUFFER_RULES(int64_t, moe_session_class_routing(world.session, 0, 0, buffer, capacity, &needed));
  BUFFER_RULES(int64_t, moe_session_coactivation(world.session, 0, 0, buffer, capacity, &needed));
  BUFFER_RULES(char, moe_loader_file_name(world.loader, first_image_id(), buffer, capacity, &needed));
  BUFFER_RULES(moe_metric, moe_session_evaluate(world.session, world.loader, buffer, capacity, &needed));
}

static void text_ends_with_a_nul(void** state) {
  (void)state;
  char buffer[16];
  size_t needed = 0;
  memset(buffer, '#', sizeof buffer);
  OK(moe_config_get(world.config, "train.epochs", buffer, sizeof buffer, &needed));
  assert_string_equal(buffer, "2");
  assert_int_equal(needed, 2);
}

static void constants_out_of_range(void** state) {
  (void)state;
  moe_loader* loader = NULL;
  moe_run* run = NULL;
  moe_layer_info info = MOE_LAYER_INFO_INIT;
  moe_layer_stat stat = MOE_LAYER_STAT_INIT;
  moe_session_options session_options = MOE_SESSION_OPTIONS_INIT;
  moe_run_options run_options = MOE_RUN_OPTIONS_INIT;
  moe_session* session = NULL;
  session_options.reserved = 1;
  run_options.mode = 3;
  FAILS(MOE_ERR_INVALID_ARGUMENT, "1 to 1024, got 0", moe_set_threads(0));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "flags", moe_config_dump(world.config, 2, NULL, 0, NULL));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "\"train\" or \"val\", got \"test\"",
        moe_loader_create(world.config, "test", &loader));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "count", moe_loader_create_files(world.config, (const char*[]){"x"}, 0, &loader));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "layer: expected 0 to 0, got 1", moe_session_layer_info(world.session, 1, &info));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "got -1", moe_session_layer_info(world.session, -1, &info));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "expert: expected 0 to 2, got 3",
        moe_session_expert_name(world.session, 0, TINY_EXPERTS, NULL, 0, NULL));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "window", moe_session_layer_stats(world.session, 0, 4, &stat));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "window", moe_session_expert_stats(world.session, 0, -1, NULL, 0, NULL));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "window", moe_session_class_routing(world.session, 0, 9, NULL, 0, NULL));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "window", moe_session_coactivation(world.session, 0, 9, NULL, 0, NULL));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "reserved", moe_session_create(world.config, &session_options, &session));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "mode", moe_run_open(world.config, "/tmp/never", &run_options, &run));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "kind", moe_data_generate("trafic", in_folder(world.folder, "never"), NULL));
  FAILS(MOE_ERR_NOT_FOUND, "rtdetr", moe_config_describe("rtdter", NULL, 0, NULL));
}

static void generate_options_out_of_range(void** state) {
  (void)state;
  const char* folder = in_folder(world.folder, "never");
  const moe_generate_options good = MOE_GENERATE_OPTIONS_INIT;
  for (int field = 0; field < 6; ++field) {
    moe_generate_options options = good;
    int32_t* fields[] = {&options.train_images, &options.val_images, &options.width,
                         &options.height,       &options.threads,    &options.width};
    *fields[field] = field == 5 ? 4097 : -1;
    FAILS(MOE_ERR_INVALID_ARGUMENT, "expected", moe_data_generate("traffic", folder, &options));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(null_for_configs),           cmocka_unit_test(null_for_batches),
      cmocka_unit_test(null_for_loaders),           cmocka_unit_test(null_for_sessions),
      cmocka_unit_test(null_for_experts_and_runs),  cmocka_unit_test(freeing_null_does_nothing),
      cmocka_unit_test(structs_of_an_unknown_size), cmocka_unit_test(init_functions_set_the_size),
      cmocka_unit_test(buffers_too_small_by_one),   cmocka_unit_test(text_ends_with_a_nul),
      cmocka_unit_test(constants_out_of_range),     cmocka_unit_test(generate_options_out_of_range),
  };
  return cmocka_run_group_tests_name("arguments", tests, set_up, tear_down);
}
