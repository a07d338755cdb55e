/* A program with its own data and its own loop: pictures with coloured boxes, made here, go as plain arrays into a
 * session. Every step takes a window of two micro-batches; then the model finds the boxes of pictures it has not seen.
 *
 *   feed_batches [STEPS]
 */
#include <moe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, SIDE = 96, BOXES = 2, WINDOW = 2 };

static const char settings[] =
    "task: rtdetr\n"
    "data: {classes: [red, green, blue], size: [96, 96]}\n"
    "model:\n"
    "  backbone: {width: 0.25}\n"
    "  hidden: 32\n"
    "  encoder: {ffn: 64}\n"
    "  decoder: {layers: 2, ffn: 64}\n"
    "  denoising: {queries: 20}\n"
    "  experts: {kind: class_partitioned, groups: by_class, top_k: 2, queries: 20}\n"
    "optimizer: {lr: 2e-3}\n";

/* One micro-batch: images [BATCH, 3, SIDE, SIDE] in 0..1; boxes [N, 4] as cx, cy, w, h in shares of the side; labels
 * [N]; the boxes of picture i are rows offsets[i] to offsets[i + 1] - 1. */
typedef struct scene {
  float images[BATCH][3][SIDE][SIDE];
  float boxes[BATCH * BOXES][4];
  int64_t labels[BATCH * BOXES];
  int64_t offsets[BATCH + 1];
} scene;

static int fail(void) {
  moe_error_info e = MOE_ERROR_INFO_INIT;
  moe_last_error(&e);
  fprintf(stderr, "%s\n", e.text);
  return 1;
}

/* Marsaglia's xorshift: 0 to n - 1. */
static int below(uint32_t* state, int n) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return (int)(*state % (uint32_t)n);
}

static void add_box(scene* s, int picture, int row, uint32_t* state) {
  const int label = below(state, 3), w = 16 + below(state, 24), h = 16 + below(state, 24);
  const int left = below(state, SIDE - w), top = below(state, SIDE - h);
  for (int y = top; y < top + h; ++y) {
    for (int x = left; x < left + w; ++x) {
      for (int c = 0; c < 3; ++c) s->images[picture][c][y][x] = c == label ? 0.9f : 0.1f;
    }
  }
  s->labels[row] = label;
  s->boxes[row][0] = ((float)left + (float)w / 2) / SIDE;
  s->boxes[row][1] = ((float)top + (float)h / 2) / SIDE;
  s->boxes[row][2] = (float)w / SIDE;
  s->boxes[row][3] = (float)h / SIDE;
}

static void make_scene(scene* s, uint32_t* state) {
  memset(s, 0, sizeof *s);
  for (int i = 0, row = 0; i < BATCH; ++i) {
    for (int p = 0; p < 3 * SIDE * SIDE; ++p) (&s->images[i][0][0][0])[p] = 0.4f + 0.001f * (float)below(state, 200);
    for (int b = 0; b < BOXES; ++b) add_box(s, i, row++, state);
    s->offsets[i + 1] = row;
  }
}

static moe_status fill(moe_batch* batch, const scene* s) {
  const int64_t images[] = {BATCH, 3, SIDE, SIDE}, boxes[] = {BATCH * BOXES, 4}, offsets[] = {BATCH + 1};
  const moe_tensor_view views[] = {{MOE_VIEW_F32, .data = s->images, .shape = images, .ndim = 4},
                                   {MOE_VIEW_F32, .data = s->boxes, .shape = boxes, .ndim = 2},
                                   {MOE_VIEW_I64, .data = s->labels, .shape = boxes, .ndim = 1},
                                   {MOE_VIEW_I64, .data = s->offsets, .shape = offsets, .ndim = 1}};
  const char* names[] = {"images", "boxes", "labels", "offsets"};
  moe_status status = MOE_OK;
  for (int i = 0; i < 4 && status == MOE_OK; ++i) status = moe_batch_set(batch, names[i], &views[i]);
  return status;
}

static int train(moe_session* session, moe_batch* batch, scene* s, int steps, uint32_t* state) {
  moe_step_info info;
  moe_step_info_init(&info);
  for (int step = 0; step < steps; ++step) {
    for (int i = 0; i < WINDOW; ++i) {
      make_scene(s, state);
      if (fill(batch, s) || moe_session_feed(session, batch)) return fail();
    }
    if (moe_session_step(session, &info)) return fail(); /* all or nothing */
    printf("step %lld  loss %.3f  gradient %.3f  %.0f ms\n", (long long)info.step, info.loss, info.grad_norm,
           1e3 * info.seconds);
  }
  return 0;
}

/* Prints the best detection of every picture beside its true boxes. */
static int show(moe_session* session, moe_batch* batch, moe_batch* result, const scene* s) {
  static const char* const names[] = {"red", "green", "blue"};
  static float boxes[BATCH * 300][4], scores[BATCH * 300];
  static int64_t labels[BATCH * 300], offsets[BATCH + 1];
  if (moe_session_predict(session, batch, result) || moe_batch_read(result, "boxes", boxes, sizeof boxes, NULL) ||
      moe_batch_read(result, "scores", scores, sizeof scores, NULL) ||
      moe_batch_read(result, "labels", labels, sizeof labels, NULL) ||
      moe_batch_read(result, "offsets", offsets, sizeof offsets, NULL)) {
    return fail();
  }
  for (int i = 0; i < BATCH; ++i) {
    const int64_t best = offsets[i]; /* best first */
    printf("picture %d: true %s and %s; found %s with score %.2f at x %.0f..%.0f, y %.0f..%.0f\n", i,
           names[s->labels[s->offsets[i]]], names[s->labels[s->offsets[i] + 1]], names[labels[best]], scores[best],
           boxes[best][0], boxes[best][2], boxes[best][1], boxes[best][3]);
  }
  return 0;
}

int main(int argc, char** argv) {
  moe_config* config = NULL;
  moe_session* session = NULL;
  moe_batch *batch = NULL, *result = NULL;
  static scene s;
  uint32_t state = 1;
  if (moe_config_parse(settings, sizeof settings - 1, NULL, &config) || moe_session_create(config, NULL, &session) ||
      moe_batch_create(&batch) || moe_batch_create(&result)) {
    return fail();
  }
  int code = train(session, batch, &s, argc > 1 ? atoi(argv[1]) : 150, &state);
  if (code == 0) {
    make_scene(&s, &state);
    code = fill(batch, &s) ? fail() : show(session, batch, result, &s);
  }
  moe_batch_free(result);
  moe_batch_free(batch);
  moe_session_free(session);
  moe_config_free(config);
  return code;
}
