/* Every status of moe.h is reached at least once through the public functions; the last test asserts that none is left
 * out. MOE_ERR_INTERNAL stands for defects, so no call can show it: tests/unit/test_guard.cpp does. */
#include "support.h"

#include <math.h>

static int reached[MOE_ERR_INTERNAL + 1];
static char* folder;
static const char* root;

static void reach(moe_status want, moe_status got) {
  if (got != want) {
    moe_error_info error = MOE_ERROR_INFO_INIT;
    moe_last_error(&error);
    print_error("expected %s, got %s: %s\n", moe_status_name(want), moe_status_name(got), error.text);
  }
  assert_int_equal(want, got);
  reached[got] = 1;
}

static int set_up(void** state) {
  (void)state;
  static char kept[256];
  folder = make_folder();
  root = strcpy(kept, in_folder(folder, "data"));
  tiny_data(root, 1, 1);
  return 0;
}

static int tear_down(void** state) {
  (void)state;
  remove_folder(folder);
  return 0;
}

static void of_configs(void** state) {
  (void)state;
  moe_config* config = NULL;
  const char *unknown = "task: rtdetr\nno_such_key: 1\n", *malformed = "task: [rtdetr\n";
  reach(MOE_ERR_NOT_FOUND, moe_config_load("/nowhere/a.yml", &config));
  reach(MOE_ERR_PARSE, moe_config_parse(malformed, strlen(malformed), NULL, &config));
  reach(MOE_ERR_CONFIG, moe_config_parse(unknown, strlen(unknown), NULL, &config));
  reach(MOE_ERR_INVALID_ARGUMENT, moe_config_load(NULL, &config));
  config = tiny_config(NULL);
  char two[2];
  reach(MOE_ERR_BUFFER_TOO_SMALL, moe_config_get(config, "task", two, sizeof two, NULL));
  reach(MOE_OK, moe_config_get(config, "task", NULL, 0, NULL));
  moe_config_free(config);
}

static void of_batches(void** state) {
  (void)state;
  moe_batch* batch = NULL;
  static const float data[2];
  const int64_t vast[1] = {INT64_C(1) << 58}, still[1] = {0}, negative[1] = {-1}, one[1] = {1};
  OK(moe_batch_create(&batch));
  moe_tensor_view view = {MOE_VIEW_F32, .data = data, .ndim = 1, .shape = vast, .strides = still};
  reach(MOE_ERR_OUT_OF_MEMORY, moe_batch_set(batch, "x", &view));
  view.shape = negative;
  reach(MOE_ERR_SHAPE, moe_batch_set(batch, "x", &view));
  view.shape = one;
  view.device_type = MOE_DEVICE_CUDA;
  reach(MOE_ERR_DEVICE, moe_batch_set(batch, "x", &view));
  view.dtype = 3;
  reach(MOE_ERR_DTYPE, moe_batch_set(batch, "x", &view));
  moe_batch_free(batch);
}

static void of_sessions(void** state) {
  (void)state;
  moe_session* session = tiny_session();
  moe_batch* batch = tiny_batch(1);
  reach(MOE_ERR_STATE, moe_session_step(session, NULL));
  OK(moe_session_feed(session, batch));
  OK(moe_session_request_stop(session));
  reach(MOE_ERR_CANCELLED, moe_session_step(session, NULL));
  const int64_t labels[3] = {0, 99, 0};
  set_integers(batch, "labels", labels, 3);
  reach(MOE_ERR_DATA, moe_session_feed(session, batch));
  const float boxes[12] = {NAN};
  set_floats(batch, "boxes", boxes, 2, (const int64_t[]){3, 4});
  reach(MOE_ERR_NUMERIC, moe_session_feed(session, batch));
  reach(MOE_ERR_IO, moe_session_save(session, in_folder(root, "data_info.json/below-a-file.safetensors")));
  moe_batch_free(batch);
  moe_session_free(session);
}

static void of_loaders(void** state) {
  (void)state;
  moe_config* config = tiny_config(root);
  moe_loader* loader = NULL;
  moe_batch* batch = NULL;
  OK(moe_batch_create(&batch));
  OK(moe_loader_create(config, "val", &loader));
  reach(MOE_OK, moe_loader_next(loader, batch));
  reach(MOE_END, moe_loader_next(loader, batch));
  moe_loader_free(loader);
  /* A training loader has no ground truth in original pixels. */
  OK(moe_loader_create(config, "train", &loader));
  moe_session* session = tiny_session();
  moe_metric metrics[64];
  reach(MOE_ERR_UNSUPPORTED, moe_session_evaluate(session, loader, metrics, 64, NULL));
  moe_session_free(session);
  moe_loader_free(loader);
  moe_batch_free(batch);
  moe_config_free(config);
}

struct DLManagedTensorVersioned {
  uint32_t major, minor;
  void* manager_ctx;
  void (*deleter)(struct DLManagedTensorVersioned* self);
  unsigned char rest[64];
};

static void of_versions(void** state) {
  (void)state;
  moe_batch* batch = NULL;
  struct DLManagedTensorVersioned tensor = {.major = 99};
  OK(moe_batch_create(&batch));
  reach(MOE_ERR_VERSION, moe_batch_bind_dlpack(batch, "x", &tensor));
  moe_batch_free(batch);
}

static void none_is_left_out(void** state) {
  (void)state;
  for (moe_status status = 0; status < MOE_ERR_INTERNAL; ++status) {
    if (!reached[status]) print_error("%s was not reached\n", moe_status_name(status));
    assert_true(reached[status]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(of_configs), cmocka_unit_test(of_batches),  cmocka_unit_test(of_sessions),
      cmocka_unit_test(of_loaders), cmocka_unit_test(of_versions), cmocka_unit_test(none_is_left_out),
  };
  return cmocka_run_group_tests_name("statuses", tests, set_up, tear_down);
}
