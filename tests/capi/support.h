/* What the tests of the C ABI share: checks that print moe_last_error(), a tiny detector, a batch of made-up arrays, a
 * folder of their own. The programs link libmoe.so alone. */
#ifndef MOE_TESTS_CAPI_SUPPORT_H
#define MOE_TESTS_CAPI_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <moe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The call must return MOE_OK. */
#define OK(call) expect_ok((call), #call, __FILE__, __LINE__)
/* The call must return this error, with one line of text that holds `part`. */
#define FAILS(status, part, call) expect_error((call), (status), (part), #call, __FILE__, __LINE__)
/* Like assert_true, but says what was wrong. */
#define CHECK(condition) expect_true(!!(condition), #condition, __FILE__, __LINE__)

void expect_ok(moe_status got, const char* call, const char* file, int line);
void expect_error(moe_status got, moe_status want, const char* part, const char* call, const char* file, int line);
void expect_true(int condition, const char* text, const char* file, int line);

/* Fresh folder below /tmp; remove_folder() deletes it with everything inside and frees the name. */
char* make_folder(void);
void remove_folder(char* folder);
/* folder/name, in one of a few static buffers. */
const char* in_folder(const char* folder, const char* name);

enum { TINY_IMAGES = 2, TINY_SIZE = 64, TINY_EXPERTS = 3 };

/* A mixture of three experts with few weights over 64 x 64 images. root: a data set for its loaders, or NULL. */
moe_config* tiny_config(const char* root);
moe_session* tiny_session(void);
/* Two images with bright rectangles and their boxes; the same seed gives the same batch. */
moe_batch* tiny_batch(uint32_t seed);
/* Writes a generated data set for tiny_config(root). */
void tiny_data(const char* root, int32_t train_images, int32_t val_images);

/* moe_session_get as a string that the caller frees. */
char* session_text(moe_session* session, const char* key);

/* Sets a dense tensor. */
void set_floats(moe_batch* batch, const char* name, const float* data, int32_t ndim, const int64_t* shape);
void set_integers(moe_batch* batch, const char* name, const int64_t* data, int64_t count);

#endif
