/* moe table: finished runs beside each other, a line each: what they reach, what they cost, what their experts do. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_METRICS = 1024, LONGEST_LINE = 1 << 16 };

/* One line of the table. */
typedef struct row {
  char* name;
  moe_metric* metrics;
  size_t metric_count;
  double parameters, active_parameters, multiply_adds;
  double samples_per_second;                         /* median over the training; 0: not known */
  int32_t layers;                                    /* mixture layers */
  int32_t experts;                                   /* of the first one */
  double least_share, largest_share;                 /* of an expert, over all layers */
  double token_entropy, marginal_entropy, class_nmi; /* means over the layers */
} row;

static void free_row(row* r) {
  free(r->name);
  free(r->metrics);
}

/* --------------------------------------------------------------------------------------------------------------
 * Reading
 */

static double session_number(const moe_session* session, const char* key) {
  char* text = session_text(session, key);
  const double value = text ? strtod(text, NULL) : 0;
  free(text);
  return value;
}

/* Place of a column in the first line of a CSV file, or -1. */
static int column_of(const char* header, const char* name) {
  const size_t length = strlen(name);
  int column = 0;
  for (const char* at = header;; ++column) {
    const char* end = at + strcspn(at, ",\r\n");
    if ((size_t)(end - at) == length && strncmp(at, name, length) == 0) return column;
    if (*end != ',') return -1;
    at = end + 1;
  }
}

static double cell_of(const char* line, int column) {
  for (; column > 0 && line; --column) line = (line = strchr(line, ',')) ? line + 1 : NULL;
  return line ? strtod(line, NULL) : 0;
}

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

/* The median of images_per_second in the run's metrics.csv: evaluations and pauses do not move it. */
static double median_rate(const char* folder) {
  char* path = format_text("%s/metrics.csv", folder);
  FILE* file = path ? fopen(path, "r") : NULL;
  char* line = malloc(LONGEST_LINE);
  double* rates = NULL;
  size_t count = 0;
  const int column = file && line && fgets(line, LONGEST_LINE, file) ? column_of(line, "images_per_second") : -1;
  while (column >= 0 && fgets(line, LONGEST_LINE, file)) {
    double* more = realloc(rates, (count + 1) * sizeof *rates);
    if (!more) break;
    rates = more;
    rates[count++] = cell_of(line, column);
  }
  if (count > 0) qsort(rates, count, sizeof *rates, compare);
  const double median = count > 0 ? rates[count / 2] : 0;
  free(rates);
  free(line);
  free(path);
  if (file) fclose(file);
  return median;
}

static int add_layer(const moe_session* session, int32_t index, row* r) {
  moe_layer_info info = MOE_LAYER_INFO_INIT;
  moe_layer_stat total = MOE_LAYER_STAT_INIT;
  moe_expert_stat* experts = NULL;
  if (moe_session_layer_info(session, index, &info)) return fail_last();
  if (!(experts = calloc((size_t)info.experts, sizeof *experts))) return fail_text("out of memory");
  int code = -1;
  if (moe_session_layer_stats(session, index, MOE_WINDOW_SINCE_RESET, &total) ||
      moe_session_expert_stats(session, index, MOE_WINDOW_SINCE_RESET, experts, (size_t)info.experts, NULL)) {
    code = fail_last();
  }
  if (index == 0) r->experts = info.experts;
  for (int32_t e = 0; code < 0 && e < info.experts; ++e) {
    if ((index == 0 && e == 0) || experts[e].share < r->least_share) r->least_share = experts[e].share;
    if (experts[e].share > r->largest_share) r->largest_share = experts[e].share;
  }
  r->token_entropy += total.token_entropy / r->layers;
  r->marginal_entropy += total.marginal_entropy / r->layers;
  r->class_nmi += total.class_nmi / r->layers;
  free(experts);
  return code;
}

static int evaluate(moe_session* session, row* r) {
  moe_config* config = NULL;
  moe_loader* loader = NULL;
  int code = -1;
  if (!(r->metrics = calloc(MOST_METRICS, sizeof *r->metrics))) return fail_text("out of memory");
  if (moe_session_config(session, &config) || moe_loader_create(config, "val", &loader) ||
      moe_loader_set_log(loader, print_warning, NULL) ||
      moe_session_evaluate(session, loader, r->metrics, MOST_METRICS, &r->metric_count)) {
    code = fail_last();
  }
  moe_loader_free(loader);
  moe_config_free(config);
  return code;
}

static int read_row(const char* path, row* r) {
  moe_session* session = NULL;
  if (!(r->name = format_text("%s", base_name(path)))) return fail_text("out of memory");
  if (moe_session_open(path, NULL, &session)) return fail_last();
  r->parameters = session_number(session, "model.parameters");
  r->active_parameters = session_number(session, "model.active_parameters");
  r->multiply_adds = session_number(session, "model.multiply_adds");
  r->samples_per_second = median_rate(path);
  int code = moe_session_layer_count(session, &r->layers) ? fail_last() : -1;
  for (int32_t i = 0; code < 0 && i < r->layers; ++i) code = add_layer(session, i, r);
  if (code < 0) code = evaluate(session, r);
  moe_session_free(session);
  return code;
}

/* -------------------------------------------------------------------------------------------------------------
 * Printing
 */

static const moe_metric* find_metric(const row* r, const char* name) {
  for (size_t i = 0; i < r->metric_count; ++i) {
    if (strcmp(r->metrics[i].name, name) == 0) return &r->metrics[i];
  }
  return NULL;
}

/* The metric that best is chosen by, and AP50 with that of each class where there is one. */
static bool is_column(const row* first, size_t metric) {
  const char* name = first->metrics[metric].name;
  return metric == 0 || strncmp(name, "AP50", 4) == 0;
}

static void print_header(const row* first) {
  printf("| run |");
  size_t columns = 1;
  for (size_t i = 0; i < first->metric_count; ++i) {
    if (!is_column(first, i)) continue;
    printf(" %s |", first->metrics[i].name);
    ++columns;
  }
  printf(
      " parameters | active | GFLOP | images/s | experts | share | token entropy | marginal entropy | class NMI |\n|");
  for (columns += 9; columns > 0; --columns) printf("---|");
  printf("\n");
}

/* 0 stands for what is not known. */
static void print_known(const char* format, double value) {
  if (value > 0) {
    printf(format, value);
  } else {
    printf(" - |");
  }
}

static void print_row(const row* first, const row* r) {
  printf("| %s |", r->name);
  for (size_t i = 0; i < first->metric_count; ++i) {
    if (!is_column(first, i)) continue;
    const moe_metric* metric = find_metric(r, first->metrics[i].name);
    if (metric) {
      printf(" %.3f |", metric->value);
    } else {
      printf(" - |");
    }
  }
  printf(" %.2f M |", r->parameters * 1e-6);
  print_known(" %.2f M |", r->active_parameters * 1e-6);
  print_known(" %.2f |", 2e-9 * r->multiply_adds);
  print_known(" %.1f |", r->samples_per_second);
  if (r->layers == 0) {
    printf(" - | - | - | - | - |\n");
    return;
  }
  printf(" %d x %d | %.0f-%.0f %% | %.3f | %.3f | %.3f |\n", r->layers, r->experts, 100 * r->least_share,
         100 * r->largest_share, r->token_entropy, r->marginal_entropy, r->class_nmi);
}

static void print_field(const char* name, double value) {
  printf(", \"%s\": ", name);
  json_number(stdout, value);
}

static void print_json(const row* r, bool last) {
  printf("  {\"run\": ");
  json_text(stdout, r->name);
  printf(", \"metrics\": {");
  for (size_t i = 0; i < r->metric_count; ++i) {
    if (i > 0) printf(", ");
    json_text(stdout, r->metrics[i].name);
    printf(": ");
    json_number(stdout, r->metrics[i].value);
  }
  printf("}");
  print_field("parameters", r->parameters);
  print_field("active_parameters", r->active_parameters);
  print_field("flop", 2 * r->multiply_adds);
  print_field("samples_per_second", r->samples_per_second);
  print_field("layers", r->layers);
  print_field("experts", r->experts);
  print_field("least_share", r->least_share);
  print_field("largest_share", r->largest_share);
  print_field("token_entropy", r->token_entropy);
  print_field("marginal_entropy", r->marginal_entropy);
  print_field("class_nmi", r->class_nmi);
  printf("}%s\n", last ? "" : ",");
}

static void print_table(const row* rows, int count, bool json) {
  if (json) {
    printf("[\n");
  } else {
    print_header(rows);
  }
  for (int i = 0; i < count; ++i) {
    if (json) {
      print_json(&rows[i], i + 1 == count);
    } else {
      print_row(rows, &rows[i]);
    }
  }
  if (json) printf("]\n");
}

static int run(const command* self, int argc, char** argv) {
  bool json = false;
  const option known[] = {{"--json", OPTION_FLAG, &json, 0}};
  int count = 0;
  int code = parse_options(self, known, 1, argc, argv, &count);
  if (code >= 0) return code;
  if (count < 1) return fail_usage(self, "expected run folders or checkpoints");
  row* rows = calloc((size_t)count, sizeof *rows);
  if (!rows) return fail_text("out of memory");
  int good = 0; /* one that cannot be read is told of and left out */
  for (int i = 0; i < count; ++i) {
    const int failed = read_row(argv[1 + i], &rows[good]);
    if (failed < 0) {
      ++good;
    } else {
      code = failed;
      free_row(&rows[good]);
      memset(&rows[good], 0, sizeof *rows);
    }
  }
  if (good > 0) print_table(rows, good, json);
  for (int i = 0; i < good; ++i) free_row(&rows[i]);
  free(rows);
  return code < 0 ? EXIT_OK : code;
}

const command command_table = {
    "table", "runs beside each other: metrics, cost, experts",
    "usage: moe table RUN|CHECKPOINT... [--json]\n\n"
    "Evaluates the best checkpoint of every run and prints a Markdown table with a line each: the metric that\n"
    "best is chosen by, AP50 with that of each class where there is one, parameters, those that one sample uses\n"
    "(of experts their mean size) and its GFLOP (twice the multiply-adds), the median of images per second in\n"
    "training, and of the mixture layers in the last epoch before the checkpoint: layers x experts, the least\n"
    "and the largest share of an expert, and means over the layers of the entropy of a token's distribution and of\n"
    "the mean distribution (1: all experts alike), and of the normalised mutual information of class and expert.\n\n"
    "A run that cannot be read is left out, with a line and exit code 1.\n\n"
    "  --json  an array of objects in place of the table, with all metrics\n\n"
    "  moe table runs/a runs/dense\n",
    run};
