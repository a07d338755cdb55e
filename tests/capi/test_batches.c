/* Tensor views into batches: every type, strides, offsets, and every way a view can be wrong. */
#include "support.h"

static moe_batch* batch;

static int set_up(void** state) {
  (void)state;
  return moe_batch_create(&batch);
}

static int tear_down(void** state) {
  (void)state;
  moe_batch_free(batch);
  return 0;
}

static void every_type_comes_back_bit_for_bit(void** state) {
  (void)state;
  static const struct {
    moe_dtype dtype;
    size_t bytes;
  } types[] = {{MOE_I8, 1},  {MOE_I16, 2}, {MOE_I32, 4}, {MOE_I64, 8},  {MOE_U8, 1},
               {MOE_F16, 2}, {MOE_F32, 4}, {MOE_F64, 8}, {MOE_BF16, 2}, {MOE_BOOL, 1}};
  _Alignas(8) uint8_t data[6 * 8];
  for (size_t t = 0; t < sizeof types / sizeof types[0]; ++t) {
    for (size_t i = 0; i < sizeof data; ++i) data[i] = types[t].dtype == MOE_BOOL ? i % 3 == 0 : (uint8_t)(i * 7 + 1);
    const moe_tensor_view view = {
        .struct_size = sizeof view, .dtype = types[t].dtype, .ndim = 2, .data = data, .shape = (const int64_t[]){2, 3}};
    OK(moe_batch_set(batch, "x", &view));
    moe_tensor_info info = MOE_TENSOR_INFO_INIT;
    OK(moe_batch_info(batch, "x", &info));
    CHECK(info.dtype == types[t].dtype && info.ndim == 2 && info.shape[0] == 2 && info.shape[1] == 3);
    assert_int_equal(info.bytes, 6 * types[t].bytes);
    assert_string_equal(info.name, "x");
    uint8_t got[sizeof data];
    OK(moe_batch_read(batch, "x", got, info.bytes, NULL));
    assert_memory_equal(got, data, info.bytes);
  }
}

static void any_byte_but_zero_is_true(void** state) {
  (void)state;
  const uint8_t data[4] = {0, 1, 2, 255};
  const moe_tensor_view view = {
      .struct_size = sizeof view, .dtype = MOE_BOOL, .ndim = 1, .data = data, .shape = (const int64_t[]){4}};
  OK(moe_batch_set(batch, "mask", &view));
  uint8_t got[4];
  OK(moe_batch_read(batch, "mask", got, sizeof got, NULL));
  assert_memory_equal(got, ((const uint8_t[]){0, 1, 1, 1}), 4);
}

static void read_floats(const char* name, float* out, size_t count) {
  size_t needed = 0;
  OK(moe_batch_read(batch, name, out, count * sizeof(float), &needed));
  assert_int_equal(needed, count * sizeof(float));
}

static void strides_and_offsets_are_followed(void** state) {
  (void)state;
  const float data[6] = {0, 1, 2, 3, 4, 5};
  float got[6];
  /* The transpose of [2, 3]. */
  OK(moe_batch_set(batch, "t",
                   &(moe_tensor_view){MOE_VIEW_F32, .data = data, .ndim = 2, .shape = (const int64_t[]){3, 2},
                                      .strides = (const int64_t[]){1, 3}}));
  read_floats("t", got, 6);
  assert_memory_equal(got, ((const float[]){0, 3, 1, 4, 2, 5}), sizeof got);
  /* Every second element, from the second on. */
  OK(moe_batch_set(batch, "s",
                   &(moe_tensor_view){MOE_VIEW_F32, .data = data, .ndim = 1, .shape = (const int64_t[]){3},
                                      .strides = (const int64_t[]){2}, .byte_offset = sizeof(float)}));
  read_floats("s", got, 3);
  assert_memory_equal(got, ((const float[]){1, 3, 5}), 3 * sizeof(float));
  /* One row twice: stride 0. */
  OK(moe_batch_set(batch, "b",
                   &(moe_tensor_view){MOE_VIEW_F32, .data = data, .ndim = 2, .shape = (const int64_t[]){2, 2},
                                      .strides = (const int64_t[]){0, 1}}));
  read_floats("b", got, 4);
  assert_memory_equal(got, ((const float[]){0, 1, 0, 1}), 4 * sizeof(float));
}

static void a_view_is_copied(void** state) {
  (void)state;
  float data[2] = {1, 2};
  set_floats(batch, "x", data, 1, (const int64_t[]){2});
  data[0] = 9;
  float got[2];
  read_floats("x", got, 2);
  assert_true(got[0] == 1);
}

static void scalars_and_empty_tensors(void** state) {
  (void)state;
  const float one = 1;
  float got = 0;
  OK(moe_batch_set(batch, "scalar", &(moe_tensor_view){MOE_VIEW_F32, .data = &one}));
  read_floats("scalar", &got, 1);
  assert_true(got == 1);
  OK(moe_batch_set(batch, "none", &(moe_tensor_view){MOE_VIEW_F32, .ndim = 2, .shape = (const int64_t[]){0, 4}}));
  size_t needed = 7;
  OK(moe_batch_read(batch, "none", &got, 0, &needed));
  assert_int_equal(needed, 0);
}

static void names_keep_their_order(void** state) {
  (void)state;
  const float x = 0;
  int32_t count = -1;
  moe_tensor_info info = MOE_TENSOR_INFO_INIT;
  set_floats(batch, "b", &x, 0, NULL);
  set_floats(batch, "a", &x, 0, NULL);
  set_floats(batch, "b", &x, 0, NULL);
  OK(moe_batch_count(batch, &count));
  assert_int_equal(count, 2);
  OK(moe_batch_info_at(batch, 0, &info));
  assert_string_equal(info.name, "b");
  OK(moe_batch_info_at(batch, 1, &info));
  assert_string_equal(info.name, "a");
  FAILS(MOE_ERR_INVALID_ARGUMENT, "index: expected 0 to 1, got 2", moe_batch_info_at(batch, 2, &info));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "got -1", moe_batch_info_at(batch, -1, &info));
  FAILS(MOE_ERR_NOT_FOUND, "expected a tensor \"c\", got b, a", moe_batch_info(batch, "c", &info));
  OK(moe_batch_clear(batch));
  OK(moe_batch_count(batch, &count));
  assert_int_equal(count, 0);
  FAILS(MOE_ERR_NOT_FOUND, "expected a tensor \"a\", got none", moe_batch_read(batch, "a", NULL, 0, NULL));
}

static void wrong_names(void** state) {
  (void)state;
  const float x = 0;
  const moe_tensor_view view = {MOE_VIEW_F32, .data = &x};
  char name[65];
  memset(name, 'n', 64);
  name[64] = '\0';
  FAILS(MOE_ERR_INVALID_ARGUMENT, "1 to 63 characters, got 64", moe_batch_set(batch, name, &view));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "at least one character", moe_batch_set(batch, "", &view));
  name[63] = '\0';
  OK(moe_batch_set(batch, name, &view));
}

/* Each line spoils one field of a good view. */
static void wrong_views_change_nothing(void** state) {
  (void)state;
  static const float data[8] = {0};
  const int64_t shape[2] = {2, 3}, negative[2] = {2, -3}, huge[2] = {INT64_MAX / 2, 4}, vast[2] = {INT64_C(1) << 57, 2};
  const int64_t empty_huge[3] = {0, INT64_MAX, INT64_MAX}, strides[2] = {3, -1}, far[2] = {INT64_MAX / 2, 1};
  const struct {
    moe_status status;
    const char* part;
    moe_tensor_view view;
  } cases[] = {
      {MOE_ERR_DTYPE,
       "moe_dtype",
       {.struct_size = sizeof(moe_tensor_view), .dtype = 0x0802, .ndim = 2, .data = data, .shape = shape}},
      {MOE_ERR_DTYPE, "got 0", {.struct_size = sizeof(moe_tensor_view), .ndim = 2, .data = data, .shape = shape}},
      {MOE_ERR_DEVICE,
       "lacks",
       {MOE_VIEW_F32, .device_type = MOE_DEVICE_CUDA, .ndim = 2, .data = data, .shape = shape}},
      {MOE_ERR_DEVICE, "got 8", {MOE_VIEW_F32, .device_type = 8, .ndim = 2, .data = data, .shape = shape}},
      {MOE_ERR_DEVICE, "device_index", {MOE_VIEW_F32, .device_index = 1, .ndim = 2, .data = data, .shape = shape}},
      {MOE_ERR_INVALID_ARGUMENT, "reserved", {MOE_VIEW_F32, .reserved = 1, .ndim = 2, .data = data, .shape = shape}},
      {MOE_ERR_SHAPE, "0 to 8, got 9", {MOE_VIEW_F32, .ndim = 9, .data = data, .shape = shape}},
      {MOE_ERR_SHAPE, "got -1", {MOE_VIEW_F32, .ndim = -1, .data = data, .shape = shape}},
      {MOE_ERR_SHAPE, "[2, -3]", {MOE_VIEW_F32, .ndim = 2, .data = data, .shape = negative}},
      {MOE_ERR_SHAPE, "2^63", {MOE_VIEW_F32, .ndim = 2, .data = data, .shape = huge}},
      {MOE_ERR_SHAPE, "2^63", {MOE_VIEW_F32, .ndim = 3, .data = data, .shape = empty_huge}},
      {MOE_ERR_SHAPE,
       "strides >= 0, got [3, -1]",
       {MOE_VIEW_F32, .ndim = 2, .data = data, .shape = shape, .strides = strides}},
      {MOE_ERR_SHAPE, "2^63", {MOE_VIEW_F32, .ndim = 2, .data = data, .shape = shape, .strides = far}},
      {MOE_ERR_INVALID_ARGUMENT, "shape: expected a pointer", {MOE_VIEW_F32, .ndim = 2, .data = data}},
      {MOE_ERR_INVALID_ARGUMENT, "data: expected a pointer to 6", {MOE_VIEW_F32, .ndim = 2, .shape = shape}},
      {MOE_ERR_INVALID_ARGUMENT,
       "divisible by 4",
       {MOE_VIEW_F32, .ndim = 2, .data = data, .shape = shape, .byte_offset = 2}},
      {MOE_ERR_INVALID_ARGUMENT,
       "byte_offset",
       {MOE_VIEW_F32, .ndim = 2, .data = data, .shape = shape, .byte_offset = UINT64_MAX - 3}},
      {MOE_ERR_OUT_OF_MEMORY,
       "out of memory",
       {MOE_VIEW_F32, .ndim = 2, .data = data, .shape = vast, .strides = (const int64_t[]){0, 0}}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    FAILS(cases[i].status, cases[i].part, moe_batch_set(batch, "x", &cases[i].view));
  }
  int32_t count = -1;
  OK(moe_batch_count(batch, &count));
  assert_int_equal(count, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(every_type_comes_back_bit_for_bit, set_up, tear_down),
      cmocka_unit_test_setup_teardown(any_byte_but_zero_is_true, set_up, tear_down),
      cmocka_unit_test_setup_teardown(strides_and_offsets_are_followed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_view_is_copied, set_up, tear_down),
      cmocka_unit_test_setup_teardown(scalars_and_empty_tensors, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_keep_their_order, set_up, tear_down),
      cmocka_unit_test_setup_teardown(wrong_names, set_up, tear_down),
      cmocka_unit_test_setup_teardown(wrong_views_change_nothing, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("batches", tests, NULL, NULL);
}
