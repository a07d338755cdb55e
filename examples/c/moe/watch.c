/* moe watch: how a run goes, from its metrics.jsonl: a line each time that it has got further, and its curves as a
 * picture. It reads the files alone, so it may look at a run that another process trains. */
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CURVES = 4, PANEL_WIDTH = 420, PANEL_HEIGHT = 240, MARGIN = 44 };

/* One number over the optimizer steps. */
typedef struct curve {
  const char* title;
  double *steps, *values;
  size_t count, capacity;
} curve;

typedef struct history {
  curve curves[CURVES]; /* loss, first metric, images per second, entropy of the routers */
  char metric[64];      /* its name */
  double best;          /* of it */
} history;

enum { LOSS, METRIC, RATE, ENTROPY };

/* --------------------------------------------------------------------------------------------------------------
 * Reading
 */

static int add_point(curve* c, double step, double value) {
  if (c->count == c->capacity) {
    const size_t capacity = c->capacity ? 2 * c->capacity : 256;
    double* steps = realloc(c->steps, capacity * sizeof *steps);
    if (steps) c->steps = steps;
    double* values = realloc(c->values, capacity * sizeof *values);
    if (values) c->values = values;
    if (!steps || !values) return fail_text("out of memory");
    c->capacity = capacity;
  }
  c->steps[c->count] = step;
  c->values[c->count++] = value;
  return -1;
}

static void free_history(history* h) {
  for (int i = 0; i < CURVES; ++i) {
    free(h->curves[i].steps);
    free(h->curves[i].values);
  }
}

/* The number behind "key": from `text` on; the place behind it, or NULL. */
static const char* number_after(const char* text, const char* key, double* out) {
  const size_t length = strlen(key);
  for (const char* at = text; (at = strchr(at, '"')); ++at) {
    if (strncmp(at + 1, key, length) != 0 || strncmp(at + 1 + length, "\":", 2) != 0) continue;
    char* end = NULL;
    *out = strtod(at + length + 3, &end);
    return end == at + length + 3 ? NULL : end;
  }
  return NULL;
}

/* The mean over the mixture layers that the line tells of; false without any. */
static bool mean_entropy(const char* line, double* out) {
  double sum = 0, value = 0;
  int layers = 0;
  for (const char* at = line; (at = number_after(at, "token_entropy", &value)); ++layers) sum += value;
  if (layers > 0) *out = sum / layers;
  return layers > 0;
}

static int add_step(history* h, const char* line, double step) {
  double value = 0;
  int code = -1;
  if (number_after(line, "loss", &value)) code = add_point(&h->curves[LOSS], step, value);
  if (code < 0 && number_after(line, "images_per_second", &value)) code = add_point(&h->curves[RATE], step, value);
  if (code < 0 && mean_entropy(line, &value)) code = add_point(&h->curves[ENTROPY], step, value);
  return code;
}

static int add_evaluation(history* h, const char* line, double step) {
  static const char start[] = "\"metrics\":{\"";
  const char* name = strstr(line, start);
  double value = 0;
  if (!name) return -1;
  name += sizeof start - 1;
  snprintf(h->metric, sizeof h->metric, "%.*s", (int)strcspn(name, "\""), name);
  if (!number_after(name - 1, h->metric, &value)) return -1;
  h->curves[METRIC].title = h->metric;
  if (h->curves[METRIC].count == 0 || value > h->best) h->best = value;
  return add_point(&h->curves[METRIC], step, value);
}

/* The last line may be cut: another process is writing it. */
static int read_history(const char* path, history* h) {
  *h =
      (history){.curves = {{.title = "loss"}, {.title = "metric"}, {.title = "images/s"}, {.title = "router entropy"}}};
  FILE* file = fopen(path, "r");
  if (!file) return fail_text("%s: expected the metrics of a run, got no such file", path);
  char* line = NULL;
  size_t capacity = 0;
  int code = -1;
  for (ssize_t length; code < 0 && (length = getline(&line, &capacity, file)) > 0;) {
    double step = 0;
    if (line[length - 1] != '\n' || !number_after(line, "step", &step)) continue;
    if (strstr(line, "\"event\":\"step\"")) code = add_step(h, line, step);
    if (strstr(line, "\"event\":\"eval\"")) code = add_evaluation(h, line, step);
  }
  free(line);
  fclose(file);
  return code;
}

typedef enum run_state { RUN_GOES, RUN_DONE, RUN_STOPPED } run_state;

/* A run that has ended says so in the last line of its log. */
static run_state read_state(const char* folder) {
  char* path = format_text("%s/train.log", folder);
  FILE* file = path ? fopen(path, "r") : NULL;
  char tail[1024] = "";
  if (file && fseek(file, -(long)(sizeof tail - 1), SEEK_END) != 0) rewind(file);
  const size_t length = file ? fread(tail, 1, sizeof tail - 1, file) : 0;
  tail[length] = '\0';
  if (length > 0 && tail[length - 1] == '\n') tail[length - 1] = '\0';
  const char* last = strrchr(tail, '\n');
  if (file) fclose(file);
  free(path);
  if (!last) last = tail;
  return strstr(last, " done: ") ? RUN_DONE : strstr(last, " stopped at step ") ? RUN_STOPPED : RUN_GOES;
}

/* -------------------------------------------------------------------------------------------------------------
 * Printing
 */

static double last_of(const curve* c) {
  return c->count > 0 ? c->values[c->count - 1] : NAN;
}

static void print_status(const history* h) {
  const curve* loss = &h->curves[LOSS];
  printf("step %.0f  loss %.3f  %.1f images/s", loss->count > 0 ? loss->steps[loss->count - 1] : 0, last_of(loss),
         last_of(&h->curves[RATE]));
  if (h->curves[ENTROPY].count > 0) printf("  router entropy %.3f", last_of(&h->curves[ENTROPY]));
  if (h->curves[METRIC].count > 0) printf("  %s %.4f, best %.4f", h->metric, last_of(&h->curves[METRIC]), h->best);
  printf("\n");
  fflush(stdout);
}

/* ----------------------------------------------------------------------------------------------------------------
 * Curves
 */

static void bounds(const double* values, size_t count, double* low, double* high) {
  *low = HUGE_VAL;
  *high = -HUGE_VAL;
  for (size_t i = 0; i < count; ++i) {
    if (!isfinite(values[i])) continue;
    if (values[i] < *low) *low = values[i];
    if (values[i] > *high) *high = values[i];
  }
  if (*low > *high) *low = *high = 0;
  if (*low == *high) *high = *low + 1;
}

static void draw_panel(FILE* file, const curve* c, int left, int top) {
  const int width = PANEL_WIDTH - 2 * MARGIN, height = PANEL_HEIGHT - 2 * MARGIN;
  double first, last, low, high;
  bounds(c->steps, c->count, &first, &last);
  bounds(c->values, c->count, &low, &high);
  fprintf(file, "<g transform=\"translate(%d %d)\">\n", left + MARGIN, top + MARGIN);
  fprintf(file, "<rect width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#bbb\"/>\n", width, height);
  fprintf(file, "<text x=\"%d\" y=\"-10\" text-anchor=\"middle\">%s</text>\n", width / 2, c->title);
  fprintf(file, "<text x=\"-6\" y=\"10\" text-anchor=\"end\">%.3g</text>\n", high);
  fprintf(file, "<text x=\"-6\" y=\"%d\" text-anchor=\"end\">%.3g</text>\n", height, low);
  fprintf(file, "<text x=\"0\" y=\"%d\">%.0f</text>\n", height + 16, first);
  fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">step %.0f</text>\n", width, height + 16, last);
  fprintf(file, "<polyline fill=\"none\" stroke=\"#1764ab\" stroke-width=\"1.5\" points=\"");
  for (size_t i = 0; i < c->count; ++i) {
    if (!isfinite(c->values[i])) continue;
    fprintf(file, "%.2f,%.2f ", width * (c->steps[i] - first) / (last - first),
            height * (high - c->values[i]) / (high - low));
  }
  fprintf(file, "\"/>\n</g>\n");
}

/* Written beside and renamed, so that a viewer never sees half a picture. */
static int plot(const history* h, const char* path) {
  char* temporary = format_text("%s.tmp", path);
  FILE* file = temporary ? fopen(temporary, "w") : NULL;
  int code = -1;
  if (!file) {
    code = fail_text("%s: cannot create the file", path);
  } else {
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            2 * PANEL_WIDTH, 2 * PANEL_HEIGHT);
    for (int i = 0; i < CURVES; ++i) draw_panel(file, &h->curves[i], i % 2 * PANEL_WIDTH, i / 2 * PANEL_HEIGHT);
    fprintf(file, "</svg>\n");
    const bool failed = ferror(file) != 0;
    if (fclose(file) || failed || rename(temporary, path)) code = fail_text("%s: cannot write", path);
  }
  free(temporary);
  return code;
}

/* ------------------------------------------------------------------------------------------------------------- Command
 */

/* Looks once. *seen: points so far, so that only a run that has got further prints a line. */
static int look(const char* metrics, const char* picture, size_t* seen) {
  history h;
  int code = read_history(metrics, &h);
  const size_t points = h.curves[LOSS].count + h.curves[METRIC].count;
  if (code < 0 && points != *seen) {
    print_status(&h);
    if (picture) code = plot(&h, picture);
    *seen = points;
  }
  free_history(&h);
  return code;
}

static int run(const command* self, int argc, char** argv) {
  const char* picture = NULL;
  int64_t interval = 10;
  bool once = false;
  const option known[] = {{"--plot", OPTION_TEXT, &picture, 0},
                          {"--interval", OPTION_INTEGER, &interval, 1},
                          {"--once", OPTION_FLAG, &once, 0}};
  int count = 0;
  int code = parse_options(self, known, 3, argc, argv, &count);
  if (code >= 0) return code;
  if (count != 1) return fail_usage(self, "expected one run folder");
  char* metrics = format_text("%s/metrics.jsonl", argv[1]);
  if (!metrics) return fail_text("out of memory");
  size_t seen = 0;
  run_state state = RUN_GOES;
  for (bool last = false; code < 0 && !last;) {
    state = read_state(argv[1]); /* before looking: what came until then is in the files */
    last = once || state != RUN_GOES;
    code = look(metrics, picture, &seen);
    if (code < 0 && !last) sleep((unsigned)interval);
  }
  if (code < 0 && state == RUN_STOPPED) printf("stopped; it goes on with: moe train --resume %s\n", argv[1]);
  free(metrics);
  return code < 0 ? EXIT_OK : code;
}

const command command_watch = {
    "watch", "how a run goes, while it goes",
    "usage: moe watch RUN [--interval S] [--plot FILE.svg] [--once]\n\n"
    "Prints step, loss, speed, entropy of the routers (0 certain, 1 undecided), last and best metric each time that\n"
    "the run has got further, until it is done or stopped. It reads the run folder alone: the training is another "
    "process.\n\n"
    "  --interval S  seconds between two looks (10)\n"
    "  --plot FILE   also draws loss, metric, speed and entropy over the steps, as SVG\n"
    "  --once        looks once\n\n"
    "  moe watch runs/first\n"
    "  moe watch runs/first --once --plot curves.svg\n",
    run};
