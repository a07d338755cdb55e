/* moe sample: pictures from a trained generative model, as one grid in a PNG file and, if asked for, one by one. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

/* A grid has a row for each class, or as many as it takes where the model knows none. Sample (row, column) has the
 * index of its column (of its place, without classes), so a wider grid keeps the pictures of a narrower one. */
typedef struct sampler {
  moe_session* session;
  moe_batch* batch;
  moe_batch* result;
  char** classes;
  size_t class_count;
  int64_t rows, columns, first, seed, batch_size;
  const char* folder;    /* of single pictures; NULL: none */
  int64_t height, width; /* of a picture, known after the first batch */
  int64_t channels;
  float* grid; /* [channels, rows * (height + gap) + gap, columns * (width + gap) + gap] */
} sampler;

enum { GAP = 2 };

static int64_t grid_height(const sampler* s) {
  return s->rows * (s->height + GAP) + GAP;
}
static int64_t grid_width(const sampler* s) {
  return s->columns * (s->width + GAP) + GAP;
}

static int set_integers(moe_batch* batch, const char* name, const int64_t* values, int64_t count) {
  moe_tensor_view view;
  moe_tensor_view_init(&view);
  view.dtype = MOE_I64;
  view.ndim = 1;
  view.shape = &count;
  view.data = values;
  return moe_batch_set(batch, name, &view) ? fail_last() : -1;
}

/* Asks for the samples first .. first + count - 1 of the grid, row by row. */
static int request(const sampler* s, int64_t first, int64_t count, int64_t* numbers) {
  int64_t *index = numbers, *label = numbers + count, *seed = numbers + 2 * count;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t place = first + i;
    index[i] = s->first + (s->class_count ? place % s->columns : place);
    label[i] = place / s->columns;
    seed[i] = s->seed;
  }
  if (moe_batch_clear(s->batch)) return fail_last();
  int code = set_integers(s->batch, "indices", index, count);
  if (code < 0 && s->class_count) code = set_integers(s->batch, "labels", label, count);
  if (code < 0 && s->seed >= 0) code = set_integers(s->batch, "seeds", seed, count);
  return code;
}

/* Learns the size of the pictures from the first batch. */
static int prepare(sampler* s) {
  moe_tensor_info info = MOE_TENSOR_INFO_INIT;
  if (moe_batch_info(s->result, "images", &info)) return fail_last();
  if (s->grid) return -1;
  s->channels = info.shape[1];
  s->height = info.shape[2];
  s->width = info.shape[3];
  const size_t pixels = (size_t)(s->channels * grid_height(s) * grid_width(s));
  s->grid = malloc(pixels * sizeof *s->grid);
  if (!s->grid) return fail_text("out of memory");
  for (size_t i = 0; i < pixels; ++i) s->grid[i] = 1;
  return -1;
}

static void place_picture(sampler* s, const float* picture, int64_t place) {
  const int64_t top = GAP + place / s->columns * (s->height + GAP), left = GAP + place % s->columns * (s->width + GAP);
  for (int64_t c = 0; c < s->channels; ++c) {
    for (int64_t y = 0; y < s->height; ++y) {
      float* to = s->grid + (c * grid_height(s) + top + y) * grid_width(s) + left;
      memcpy(to, picture + (c * s->height + y) * s->width, (size_t)s->width * sizeof *to);
    }
  }
}

static int write_single(const sampler* s, int64_t in_batch, int64_t place) {
  const int64_t number = s->first + (s->class_count ? place % s->columns : place);
  const char* name = s->class_count ? s->classes[place / s->columns] : "sample";
  char* path = format_text("%s/%s-%04lld.png", s->folder, name, (long long)number);
  int code = -1;
  if (!path) {
    code = fail_text("out of memory");
  } else if (moe_session_draw(s->session, s->batch, s->result, in_batch, 0, path)) {
    code = fail_last();
  }
  free(path);
  return code;
}

static int take_batch(sampler* s, int64_t first, int64_t count) {
  size_t bytes = 0;
  int code = prepare(s);
  if (code >= 0) return code;
  if (moe_batch_read(s->result, "images", NULL, 0, &bytes)) return fail_last();
  float* pictures = malloc(bytes);
  if (!pictures) return fail_text("out of memory");
  if (moe_batch_read(s->result, "images", pictures, bytes, NULL)) code = fail_last();
  for (int64_t i = 0; code < 0 && i < count; ++i) {
    place_picture(s, pictures + i * s->channels * s->height * s->width, first + i);
    if (s->folder) code = write_single(s, i, first + i);
  }
  free(pictures);
  return code;
}

static int sample_all(sampler* s) {
  const int64_t total = s->rows * s->columns;
  int64_t* numbers = malloc((size_t)(3 * s->batch_size) * sizeof *numbers);
  int code = numbers ? -1 : fail_text("out of memory");
  for (int64_t first = 0; code < 0 && first < total; first += s->batch_size) {
    const int64_t count = total - first < s->batch_size ? total - first : s->batch_size;
    code = request(s, first, count, numbers);
    if (code < 0 && moe_session_predict(s->session, s->batch, s->result)) code = fail_last();
    if (code < 0) code = take_batch(s, first, count);
  }
  free(numbers);
  return code;
}

/* The grid goes through the library's own drawing: it stands in the place of a prediction. */
static int write_grid(sampler* s, const char* path) {
  const int64_t shape[4] = {1, s->channels, grid_height(s), grid_width(s)}, zero = 0;
  moe_tensor_view view;
  moe_tensor_view_init(&view);
  view.dtype = MOE_F32;
  view.ndim = 4;
  view.shape = shape;
  view.data = s->grid;
  if (moe_batch_clear(s->batch) || moe_batch_clear(s->result) || moe_batch_set(s->result, "images", &view)) {
    return fail_last();
  }
  const int code = set_integers(s->batch, "indices", &zero, 1);
  if (code >= 0) return code;
  if (moe_session_draw(s->session, s->batch, s->result, 0, 0, path)) return fail_last();
  printf("%lld x %lld samples -> %s\n", (long long)s->rows, (long long)s->columns, path);
  return EXIT_OK;
}

static int open_model(const command* self, sampler* s, char** argv, int count) {
  static const char* const allowed[] = {"sample.", NULL};
  for (int i = 1; i < count; ++i) {
    if (!is_among(argv[i], allowed)) {
      return fail_usage(self, "expected keys sample.*, got \"%.*s\"", (int)strcspn(argv[i], "="), argv[i]);
    }
  }
  return open_session(self, argv, count, &s->session);
}

static int open_all(const command* self, sampler* s, char** argv, int count) {
  const int code = open_model(self, s, argv, count);
  if (code >= 0) return code;
  char* names = session_text(s->session, "model.classes");
  if (!names) return fail_last();
  s->classes = split_lines(names, &s->class_count);
  if (!s->classes) return fail_text("out of memory");
  if (s->class_count) s->rows = (int64_t)s->class_count;
  if (moe_batch_create(&s->batch) || moe_batch_create(&s->result)) return fail_last();
  return s->folder ? make_folders(s->folder) : -1;
}

static int run(const command* self, int argc, char** argv) {
  sampler s = {.rows = 6, .columns = 6, .seed = -1, .batch_size = 16};
  const char* out = "samples.png";
  const option known[] = {{"--out", OPTION_TEXT, &out, 0},
                          {"--singles", OPTION_TEXT, &s.folder, 0},
                          {"--columns", OPTION_INTEGER, &s.columns, 1},
                          {"--rows", OPTION_INTEGER, &s.rows, 1},
                          {"--first", OPTION_INTEGER, &s.first, 0},
                          {"--seed", OPTION_INTEGER, &s.seed, 0},
                          {"--batch", OPTION_INTEGER, &s.batch_size, 1}};
  int count = 0;
  int code = parse_options(self, known, sizeof known / sizeof *known, argc, argv, &count);
  if (code >= 0) return code;
  if (count < 1) return fail_usage(self, "expected a run folder or a checkpoint");
  code = open_all(self, &s, argv + 1, count);
  if (code < 0) code = sample_all(&s);
  if (code < 0) code = write_grid(&s, out);
  free(s.grid);
  free_lines(s.classes);
  moe_batch_free(s.result);
  moe_batch_free(s.batch);
  moe_session_free(s.session);
  return code;
}

const command command_sample = {
    "sample", "pictures from a trained generative model",
    "usage: moe sample RUN|CHECKPOINT [KEY=VALUE ...] [--out FILE] [--columns N] [--singles DIR] [--seed S]\n\n"
    "Samples a grid with a row for each class and writes it as PNG (samples.png). KEY=VALUE changes the\n"
    "sampler (sample.*). A picture depends on seed, index (its column) and class alone, so a wider grid\n"
    "holds the same pictures and more.\n\n"
    "  --columns N    pictures of a class (6)\n"
    "  --rows N       rows of a model without classes (6)\n"
    "  --first I      index of the first column (0)\n"
    "  --seed S       seed in place of the run's\n"
    "  --singles DIR  also every picture as DIR/CLASS-INDEX.png\n"
    "  --batch N      samples computed at once (16); changes no picture\n\n"
    "  moe sample runs/fashion --out grid.png\n"
    "  moe sample runs/fashion sample.steps=20 sample.sampler=dpmpp_2m --columns 10\n",
    run};
