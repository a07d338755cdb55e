#include "support.h"

#include <math.h>

void expect_ok(moe_status got, const char* call, const char* file, int line) {
  if (got == MOE_OK) return;
  moe_error_info error = MOE_ERROR_INFO_INIT;
  moe_last_error(&error);
  print_error("%s\n  expected MOE_OK, got %s: %s\n", call, moe_status_name(got), got == MOE_END ? "" : error.text);
  _fail(file, line);
}

void expect_error(moe_status got, moe_status want, const char* part, const char* call, const char* file, int line) {
  moe_error_info error = MOE_ERROR_INFO_INIT;
  moe_last_error(&error);
  const int good_text = strstr(error.text, part) && !strchr(error.text, '\n') && error.text[0] != '\0';
  if (got == want && error.status == want && good_text) return;
  print_error("%s\n  expected %s with \"%s\"\n  got %s: %s\n", call, moe_status_name(want), part, moe_status_name(got),
              error.text);
  _fail(file, line);
}

void expect_true(int condition, const char* text, const char* file, int line) {
  if (condition) return;
  print_error("check failed: %s\n", text);
  _fail(file, line);
}

char* make_folder(void) {
  char* folder = strdup("/tmp/moe-capi-XXXXXX");
  CHECK(mkdtemp(folder));
  return folder;
}

void remove_folder(char* folder) {
  char command[256];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  CHECK(system(command) == 0);
  free(folder);
}

const char* in_folder(const char* folder, const char* name) {
  static char names[8][256];
  static int next = 0;
  char* out = names[next++ % 8];
  snprintf(out, sizeof names[0], "%s/%s", folder, name);
  return out;
}

/* Three experts (vehicles, people, two-wheelers) over the six classes of roadside scenes. */
static const char tiny_yaml[] =
    "task: rtdetr\n"
    "seed: 7\n"
    "data: {size: [64, 64], workers: 1, augment: {flip: 0}}\n"
    "model:\n"
    "  backbone: {width: 0.125}\n"
    "  hidden: 32\n"
    "  heads: 4\n"
    "  encoder: {ffn: 64}\n"
    "  decoder: {layers: 2, ffn: 64}\n"
    "  denoising: {queries: 8}\n"
    "  experts: {kind: class_partitioned, groups: by_complexity, top_k: 2, queries: 12}\n"
    "optimizer: {lr: 3e-3}\n"
    "train: {batch_size: 2, epochs: 2, log_every: 1, clip_norm: 1}\n";

moe_config* tiny_config(const char* root) {
  moe_config* config = NULL;
  OK(moe_config_parse(tiny_yaml, strlen(tiny_yaml), NULL, &config));
  if (root) {
    OK(moe_config_set(config, "data.root", root));
  }
  return config;
}

moe_session* tiny_session(void) {
  moe_config* config = tiny_config(NULL);
  moe_session* session = NULL;
  OK(moe_session_create(config, NULL, &session));
  moe_config_free(config);
  return session;
}

void set_floats(moe_batch* batch, const char* name, const float* data, int32_t ndim, const int64_t* shape) {
  const moe_tensor_view view = {MOE_VIEW_F32, .data = data, .shape = shape, .ndim = ndim};
  OK(moe_batch_set(batch, name, &view));
}

void set_integers(moe_batch* batch, const char* name, const int64_t* data, int64_t count) {
  const moe_tensor_view view = {MOE_VIEW_I64, .data = data, .shape = &count, .ndim = 1};
  OK(moe_batch_set(batch, name, &view));
}

/* xorshift32: any stream will do that is the same everywhere. */
static float draw(uint32_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return (float)(*state >> 8) / 16777216.0F;
}

/* A rectangle in one of the three colours. box: cxcywh in 0..1. */
static void paint(float* image, const float* box, int64_t channel) {
  for (int y = 0; y < TINY_SIZE; ++y) {
    for (int x = 0; x < TINY_SIZE; ++x) {
      const float u = ((float)x + 0.5F) / TINY_SIZE, v = ((float)y + 0.5F) / TINY_SIZE;
      if (fabsf(u - box[0]) < box[2] / 2 && fabsf(v - box[1]) < box[3] / 2) {
        image[channel * TINY_SIZE * TINY_SIZE + y * TINY_SIZE + x] = 1.0F;
      }
    }
  }
}

moe_batch* tiny_batch(uint32_t seed) {
  enum { BOXES = 3 };
  static const int64_t classes[3] = {0, 3, 4}; /* car, person, bicycle: one of each expert */
  static float images[TINY_IMAGES * 3 * TINY_SIZE * TINY_SIZE];
  uint32_t state = seed * 2654435761U + 1U;
  float boxes[BOXES][4];
  int64_t labels[BOXES];
  const int64_t offsets[TINY_IMAGES + 1] = {0, 2, BOXES};
  for (size_t i = 0; i < sizeof images / sizeof images[0]; ++i) images[i] = 0.2F;
  for (int i = 0; i < BOXES; ++i) {
    for (int j = 0; j < 2; ++j) boxes[i][j] = 0.3F + 0.4F * draw(&state);
    for (int j = 2; j < 4; ++j) boxes[i][j] = 0.2F + 0.3F * draw(&state);
    const int64_t kind = (int64_t)(draw(&state) * 3);
    labels[i] = classes[kind];
    paint(images + (i < 2 ? 0 : 3 * TINY_SIZE * TINY_SIZE), boxes[i], kind);
  }
  moe_batch* batch = NULL;
  OK(moe_batch_create(&batch));
  set_floats(batch, "images", images, 4, (const int64_t[]){TINY_IMAGES, 3, TINY_SIZE, TINY_SIZE});
  set_floats(batch, "boxes", &boxes[0][0], 2, (const int64_t[]){BOXES, 4});
  set_integers(batch, "labels", labels, BOXES);
  set_integers(batch, "offsets", offsets, TINY_IMAGES + 1);
  return batch;
}

void tiny_data(const char* root, int32_t train_images, int32_t val_images) {
  moe_generate_options options = MOE_GENERATE_OPTIONS_INIT;
  options.train_images = train_images;
  options.val_images = val_images;
  options.width = 160;
  options.height = 96;
  options.threads = 2;
  OK(moe_data_generate("traffic", root, &options));
}

char* session_text(moe_session* session, const char* key) {
  size_t needed = 0;
  OK(moe_session_get(session, key, NULL, 0, &needed));
  char* text = malloc(needed);
  OK(moe_session_get(session, key, text, needed, NULL));
  return text;
}
