/* moe predict: detections in pictures, as COCO results in a JSON file and drawn into the pictures. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

/* What a prediction needs from start to end. */
typedef struct predictor {
  moe_session* session;
  moe_config* config;
  moe_loader* loader;
  moe_batch* batch;
  moe_batch* result;
  char** classes;
  size_t class_count;
  int64_t* categories; /* [class_count] category ids */
  const char* out;     /* folder */
  double min_score;
  FILE* json;
  int64_t written; /* detections */
  int64_t pictures;
} predictor;

/* A tensor of a batch in memory that the caller frees; NULL after an error, which it prints. */
static void* read_tensor(const moe_batch* batch, const char* name) {
  size_t bytes = 0;
  if (moe_batch_read(batch, name, NULL, 0, &bytes)) {
    fail_last();
    return NULL;
  }
  void* data = malloc(bytes ? bytes : 1);
  if (!data) {
    fail_text("out of memory");
  } else if (moe_batch_read(batch, name, data, bytes, NULL)) {
    fail_last();
    free(data);
    data = NULL;
  }
  return data;
}

static moe_status name_reader(const void* handle, const char* key, char* buffer, size_t capacity, size_t* needed) {
  return moe_loader_file_name(handle, *(const int64_t*)(const void*)key, buffer, capacity, needed);
}

static char* file_of(const moe_loader* loader, int64_t image_id) {
  return read_text(name_reader, loader, (const char*)&image_id);
}

/* The results of one batch, all in the loader's order. boxes [N, 4] xyxy in pixels of the original, offsets [B + 1]. */
typedef struct results {
  float* boxes;
  float* scores;
  int64_t* labels;
  int64_t* offsets;
  int64_t* image_ids; /* [B] */
  int64_t samples;
} results;

static void free_results(results* r) {
  free(r->boxes);
  free(r->scores);
  free(r->labels);
  free(r->offsets);
  free(r->image_ids);
}

static int read_results(const predictor* p, results* r) {
  moe_tensor_info info = MOE_TENSOR_INFO_INIT;
  const bool whole = (r->boxes = read_tensor(p->result, "boxes")) && (r->scores = read_tensor(p->result, "scores")) &&
                     (r->labels = read_tensor(p->result, "labels")) &&
                     (r->offsets = read_tensor(p->result, "offsets")) &&
                     (r->image_ids = read_tensor(p->batch, "image_ids"));
  if (!whole) return EXIT_FAILED;
  if (moe_batch_info(p->batch, "image_ids", &info)) return fail_last();
  r->samples = info.shape[0];
  return -1;
}

/* The ids of data.category_ids, "[1, 3, 90]", or 0, 1, 2 ... where there are none. */
static int read_categories(predictor* p) {
  char* ids = config_text(p->config, "data.category_ids");
  if (!ids) return fail_last();
  p->categories = malloc((p->class_count + 1) * sizeof *p->categories);
  const char* next = strpbrk(ids, "0123456789");
  for (size_t i = 0; p->categories && i < p->class_count; ++i) {
    char* end = NULL;
    p->categories[i] = next ? strtoll(next, &end, 10) : (int64_t)i;
    if (next) next = strpbrk(end, "0123456789");
  }
  free(ids);
  return p->categories ? -1 : fail_text("out of memory");
}

static void write_detection(predictor* p, const results* r, int64_t row, int64_t image_id, const char* file) {
  const float* box = r->boxes + 4 * row;
  const int64_t label = r->labels[row];
  const bool known = label >= 0 && (size_t)label < p->class_count;
  fprintf(p->json, "%s\n  {\"image_id\": %lld, \"category_id\": %lld, \"bbox\": [", p->written++ ? "," : "",
          (long long)image_id, (long long)(known ? p->categories[label] : label));
  const double sides[4] = {box[0], box[1], (double)box[2] - box[0], (double)box[3] - box[1]};
  for (int i = 0; i < 4; ++i) {
    if (i > 0) fputs(", ", p->json);
    json_number(p->json, sides[i]);
  }
  fputs("], \"score\": ", p->json);
  json_number(p->json, r->scores[row]);
  fputs(", \"category\": ", p->json);
  json_text(p->json, known ? p->classes[label] : "");
  fputs(", \"file_name\": ", p->json);
  json_text(p->json, file);
  fputs("}", p->json);
}

/* Two pictures of one name in different folders: the second one also gets its id. */
static char* picture_path(const predictor* p, const char* file, int64_t image_id) {
  char* stem = stem_of(file);
  char* path = stem ? format_text("%s/%s.png", p->out, stem) : NULL;
  if (path && p->pictures > 0 && file_exists(path)) {
    free(path);
    path = format_text("%s/%s-%lld.png", p->out, stem, (long long)image_id);
  }
  free(stem);
  return path;
}

/* Writes one picture and its detections of at least min_score. */
static int write_sample(predictor* p, const results* r, int64_t index) {
  const int64_t id = r->image_ids[index];
  char* file = file_of(p->loader, id);
  if (!file) return fail_last();
  char* path = picture_path(p, file, id);
  int64_t shown = 0;
  double highest = 0;
  for (int64_t row = r->offsets[index]; row < r->offsets[index + 1]; ++row) {
    if (r->scores[row] > highest) highest = r->scores[row];
    if (!(r->scores[row] >= p->min_score)) continue;
    write_detection(p, r, row, id, file);
    ++shown;
  }
  int code = -1;
  if (!path) {
    code = fail_text("out of memory");
  } else if (moe_session_draw(p->session, p->batch, p->result, index, p->min_score, path)) {
    code = fail_last();
  } else if (shown > 0) {
    printf("%s: %lld objects -> %s\n", file, (long long)shown, path);
  } else {
    printf("%s: no object of score %g or more, the highest is %.3f -> %s\n", file, p->min_score, highest, path);
  }
  ++p->pictures;
  free(path);
  free(file);
  return code;
}

static int predict_batch(predictor* p) {
  results r = {0};
  if (moe_session_predict(p->session, p->batch, p->result)) return fail_last();
  int code = read_results(p, &r);
  for (int64_t i = 0; code < 0 && i < r.samples; ++i) code = write_sample(p, &r, i);
  free_results(&r);
  return code;
}

/* Broken pictures are left out by the loader; they make the command fail after all others were predicted. */
static int report_broken(const predictor* p, int64_t asked) {
  int64_t broken = 0;
  if (moe_loader_broken(p->loader, &broken)) return fail_last();
  if (broken == 0) return EXIT_OK;
  return fail_text("%lld of %lld pictures could not be read", (long long)broken, (long long)asked);
}

static int predict_all(predictor* p, int64_t asked) {
  int code = -1;
  moe_status status = MOE_OK;
  fputs("[", p->json);
  while (code < 0 && (status = moe_loader_next(p->loader, p->batch)) == MOE_OK) code = predict_batch(p);
  fputs("\n]\n", p->json);
  if (code >= 0) return code;
  return status == MOE_END ? report_broken(p, asked) : fail_last();
}

static int open_json_and_predict(predictor* p, int64_t asked) {
  int code = make_folders(p->out);
  if (code >= 0) return code;
  char* path = format_text("%s/predictions.json", p->out);
  p->json = path ? fopen(path, "w") : NULL;
  if (!p->json) {
    code = fail_text("%s: cannot create the file", path ? path : "predictions.json");
  } else {
    code = predict_all(p, asked);
    const bool failed = ferror(p->json) != 0;
    if (fclose(p->json) || failed) code = fail_text("%s: cannot write", path);
    if (code == EXIT_OK)
      printf("%lld objects in %lld pictures -> %s\n", (long long)p->written, (long long)p->pictures, path);
  }
  free(path);
  return code;
}

/* Moves the settings, data.KEY=VALUE, before the pictures and returns their number. */
static int sort_settings(char** arguments, int count) {
  int settings = 0;
  for (int i = 0; i < count; ++i) {
    if (strncmp(arguments[i], "data.", 5) != 0 || !strchr(arguments[i], '=') || file_exists(arguments[i])) continue;
    char* setting = arguments[i];
    memmove(arguments + settings + 1, arguments + settings, (size_t)(i - settings) * sizeof *arguments);
    arguments[settings++] = setting;
  }
  return settings;
}

static int open_all(const command* self, predictor* p, const char* checkpoint, char** arguments, int settings,
                    int pictures) {
  if (moe_session_open(checkpoint, NULL, &p->session) || moe_session_config(p->session, &p->config)) return fail_last();
  const int code = apply_overrides(self, p->config, arguments, settings);
  if (code >= 0) return code;
  char** paths = arguments + settings;
  if (moe_loader_create_files(p->config, (const char* const*)paths, (size_t)pictures, &p->loader) ||
      moe_loader_set_log(p->loader, print_warning, NULL) || moe_batch_create(&p->batch) ||
      moe_batch_create(&p->result)) {
    return fail_last();
  }
  char* names = session_text(p->session, "model.classes");
  if (!names) return fail_last();
  p->classes = split_lines(names, &p->class_count);
  return p->classes ? read_categories(p) : fail_text("out of memory");
}

static void close_all(predictor* p) {
  free_lines(p->classes);
  free(p->categories);
  moe_batch_free(p->result);
  moe_batch_free(p->batch);
  moe_loader_free(p->loader);
  moe_config_free(p->config);
  moe_session_free(p->session);
}

static int run(const command* self, int argc, char** argv) {
  predictor p = {0};
  p.out = "predictions";
  p.min_score = 0.3;
  const option known[] = {{"--out", OPTION_TEXT, &p.out, 0}, {"--min-score", OPTION_NUMBER, &p.min_score, 0}};
  int count = 0;
  int code = parse_options(self, known, 2, argc, argv, &count);
  if (code >= 0) return code;
  const int settings = count > 1 ? sort_settings(argv + 2, count - 1) : 0, pictures = count - 1 - settings;
  if (pictures < 1) return fail_usage(self, "expected a run folder or checkpoint, then pictures");
  code = open_all(self, &p, argv[1], argv + 2, settings, pictures);
  if (code < 0) code = open_json_and_predict(&p, pictures);
  close_all(&p);
  return code;
}

const command command_predict = {
    "predict", "detections in pictures, as JSON and drawn",
    "usage: moe predict RUN|CHECKPOINT [data.KEY=VALUE ...] IMAGE... [--out DIR] [--min-score S]\n\n"
    "Writes DIR/predictions.json (COCO results: image_id, category_id, bbox [x, y, width, height] in pixels,\n"
    "score; plus category and file_name; category_id is that of the training's COCO json, else the class counted\n"
    "from 0) and each picture with its boxes as PNG, at the size that the model sees (data.size). Large pictures\n"
    "with small objects: data.slice.size=640 also looks at squares of 640 pixels and joins what it finds.\n\n"
    "  --out DIR      folder of the results (predictions)\n"
    "  --min-score S  leaves out detections below (0.3)\n\n"
    "  moe predict runs/first photo.jpg\n"
    "  moe predict runs/first data.slice.size=640 aerial.png\n"
    "  moe predict runs/first data/traffic/image/0004*.jpg --out out --min-score 0.5\n",
    run};
