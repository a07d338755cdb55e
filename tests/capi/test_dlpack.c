/* DLPack tensors into batches: shared memory, and a deleter that runs exactly once whatever happens. The structs are
 * those of the DLPack 1.x specification, declared here so that the test needs no other header. */
#include "support.h"

typedef struct {
  void* data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} dl_tensor;

struct DLManagedTensorVersioned {
  uint32_t major, minor;
  void* manager_ctx;
  void (*deleter)(struct DLManagedTensorVersioned* self);
  uint64_t flags;
  dl_tensor tensor;
};
typedef struct DLManagedTensorVersioned managed;

static moe_batch* batch;
static int deleted;
static float values[6];
static int64_t shape[2], strides[2];

static void count_deletion(managed* self) {
  CHECK(self->manager_ctx == &deleted);
  ++deleted;
}

static managed good_tensor(void) {
  for (int i = 0; i < 6; ++i) values[i] = (float)i;
  shape[0] = 2, shape[1] = 3, strides[0] = 3, strides[1] = 1;
  deleted = 0;
  return (managed){1, 1, &deleted, count_deletion, 0, {values, 1, 0, 2, 2, 32, 1, shape, strides, 0}};
}

static int set_up(void** state) {
  (void)state;
  return moe_batch_create(&batch);
}

static int tear_down(void** state) {
  (void)state;
  moe_batch_free(batch);
  batch = NULL;
  return 0;
}

static void memory_is_shared_until_the_batch_goes(void** state) {
  (void)state;
  managed tensor = good_tensor();
  OK(moe_batch_bind_dlpack(batch, "x", &tensor));
  values[4] = 40;
  float got[6];
  OK(moe_batch_read(batch, "x", got, sizeof got, NULL));
  assert_true(got[4] == 40);
  assert_int_equal(deleted, 0);
  moe_batch_free(batch);
  batch = NULL;
  assert_int_equal(deleted, 1);
}

static void replacing_and_clearing_delete(void** state) {
  (void)state;
  managed tensor = good_tensor();
  OK(moe_batch_bind_dlpack(batch, "x", &tensor));
  set_floats(batch, "x", values, 2, shape);
  assert_int_equal(deleted, 1);
  tensor = good_tensor();
  OK(moe_batch_bind_dlpack(batch, "x", &tensor));
  OK(moe_batch_clear(batch));
  assert_int_equal(deleted, 1);
}

static void strides_offset_and_no_deleter(void** state) {
  (void)state;
  managed dense = good_tensor();
  dense.tensor.strides = NULL;
  dense.deleter = NULL;
  OK(moe_batch_bind_dlpack(batch, "dense", &dense));
  managed strided = good_tensor();
  shape[0] = 2, shape[1] = 2, strides[0] = 1, strides[1] = 3;
  strided.tensor.byte_offset = sizeof(float);
  OK(moe_batch_bind_dlpack(batch, "strided", &strided));
  float got[4];
  OK(moe_batch_read(batch, "strided", got, sizeof got, NULL));
  assert_memory_equal(got, ((const float[]){1, 4, 2, 5}), sizeof got);
  OK(moe_batch_clear(batch)); /* while the tensors that it holds are there */
  assert_int_equal(deleted, 1);
}

/* Batches only read: a tensor that must not be written, or is a copy, is as good as another. */
static void flags_are_accepted(void** state) {
  (void)state;
  for (uint64_t flags = 1; flags < 4; ++flags) {
    managed tensor = good_tensor();
    tensor.flags = flags;
    OK(moe_batch_bind_dlpack(batch, "x", &tensor));
    OK(moe_batch_clear(batch));
    assert_int_equal(deleted, 1);
  }
}

static void an_empty_tensor_is_deleted_too(void** state) {
  (void)state;
  managed tensor = good_tensor();
  shape[0] = 0;
  tensor.tensor.data = NULL;
  OK(moe_batch_bind_dlpack(batch, "none", &tensor));
  OK(moe_batch_clear(batch));
  assert_int_equal(deleted, 1);
}

/* Every refused tensor has been deleted once when the call returns. */
#define REFUSED(status, part, change)                                    \
  do {                                                                   \
    managed tensor = good_tensor();                                      \
    change;                                                              \
    FAILS((status), (part), moe_batch_bind_dlpack(batch, "x", &tensor)); \
    assert_int_equal(deleted, 1);                                        \
  } while (0)

static void refused_tensors_are_deleted(void** state) {
  (void)state;
  REFUSED(MOE_ERR_VERSION, "DLPack 1.x, got 2.1", tensor.major = 2);
  REFUSED(MOE_ERR_VERSION, "got 0.1", tensor.major = 0);
  REFUSED(MOE_ERR_DTYPE, "dtype", tensor.tensor.code = 5);
  REFUSED(MOE_ERR_DTYPE, "dtype", tensor.tensor.bits = 24);
  REFUSED(MOE_ERR_DTYPE, "lane", tensor.tensor.lanes = 4);
  REFUSED(MOE_ERR_DEVICE, "CUDA", tensor.tensor.device_type = 2);
  REFUSED(MOE_ERR_DEVICE, "got 3", tensor.tensor.device_type = 3);
  REFUSED(MOE_ERR_SHAPE, "[2, -3]", shape[1] = -3);
  REFUSED(MOE_ERR_SHAPE, "strides", strides[0] = -3);
  REFUSED(MOE_ERR_SHAPE, "ndim", tensor.tensor.ndim = 9);
  REFUSED(MOE_ERR_INVALID_ARGUMENT, "data", tensor.tensor.data = NULL);
  REFUSED(MOE_ERR_INVALID_ARGUMENT, "divisible", tensor.tensor.byte_offset = 1);
  managed tensor = good_tensor();
  FAILS(MOE_ERR_INVALID_ARGUMENT, "batch", moe_batch_bind_dlpack(NULL, "x", &tensor));
  assert_int_equal(deleted, 1);
  FAILS(MOE_ERR_INVALID_ARGUMENT, "name", moe_batch_bind_dlpack(batch, NULL, &tensor));
  assert_int_equal(deleted, 2);
  FAILS(MOE_ERR_INVALID_ARGUMENT, "tensor", moe_batch_bind_dlpack(batch, "x", NULL));
  assert_int_equal(deleted, 2);
}

/* A batch's tensor goes out, outlives the batch, and comes back into another one. */
static void a_tensor_goes_out_and_outlives_its_batch(void** state) {
  (void)state;
  for (int i = 0; i < 6; ++i) values[i] = (float)i;
  const int64_t sizes[2] = {2, 3};
  set_floats(batch, "x", values, 2, sizes);
  managed* out = NULL;
  OK(moe_batch_export_dlpack(batch, "x", &out));
  moe_batch_free(batch);
  OK(moe_batch_create(&batch));
  assert_int_equal(out->major, 1);
  assert_int_equal(out->flags, 1); /* read-only, and no copy */
  CHECK(out->tensor.device_type == 1 && out->tensor.ndim == 2 && out->tensor.code == 2 && out->tensor.bits == 32);
  CHECK(out->tensor.shape[0] == 2 && out->tensor.shape[1] == 3 && out->tensor.strides[0] == 3);
  CHECK(((const float*)((const char*)out->tensor.data + out->tensor.byte_offset))[5] == 5);
  OK(moe_batch_bind_dlpack(batch, "y", out)); /* runs the deleter when it lets go: the leak check sees if not */
  float got[6];
  OK(moe_batch_read(batch, "y", got, sizeof got, NULL));
  assert_memory_equal(got, values, sizeof got);
}

static void what_cannot_go_out(void** state) {
  (void)state;
  managed* out = NULL;
  FAILS(MOE_ERR_NOT_FOUND, "expected a tensor \"x\"", moe_batch_export_dlpack(batch, "x", &out));
  assert_null(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(memory_is_shared_until_the_batch_goes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(replacing_and_clearing_delete, set_up, tear_down),
      cmocka_unit_test_setup_teardown(strides_offset_and_no_deleter, set_up, tear_down),
      cmocka_unit_test_setup_teardown(flags_are_accepted, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_empty_tensor_is_deleted_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(refused_tensors_are_deleted, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_tensor_goes_out_and_outlives_its_batch, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_cannot_go_out, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("dlpack", tests, NULL, NULL);
}
