/* The numbers of a sweep: read from what each run wrote, kept in a small text file beside it, put together in tables.
 */
#include "sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------- Results
 */

/* A number of this name, replaced or appended. */
static int put(result* r, const char* name, size_t length, double value) {
  moe_metric* grown = realloc(r->numbers, (r->count + 1) * sizeof *grown);
  if (!grown) return fail_text("out of memory");
  r->numbers = grown;
  moe_metric* last = &grown[r->count++];
  memset(last, 0, sizeof *last);
  memcpy(last->name, name, length < sizeof last->name ? length : sizeof last->name - 1);
  last->value = value;
  return -1;
}

static const moe_metric* find(const result* r, const char* name) {
  for (size_t i = 0; i < r->count; ++i) {
    if (strcmp(r->numbers[i].name, name) == 0) return &r->numbers[i];
  }
  return NULL;
}

/* The line of a file that `wanted` chose last, without its newline; NULL: none. The caller frees. */
static char* last_line(const char* path, const char* start) {
  FILE* file = fopen(path, "r");
  char *line = NULL, *kept = NULL;
  size_t room = 0;
  while (file && getline(&line, &room, file) > 0) {
    if (strncmp(line, start, strlen(start)) != 0) continue;
    free(kept);
    kept = format_text("%.*s", (int)strcspn(line, "\n"), line);
  }
  free(line);
  if (file) fclose(file);
  return kept;
}

/* {"event":"eval",...,"metrics":{"skill":0.1,"eps_mse":0.2},...}: libmoe writes it, so that this much of JSON is
 * enough. */
static int add_metrics(result* r, const char* folder) {
  char* path = format_text("%s/metrics.jsonl", folder);
  char* line = path ? last_line(path, "{\"event\":\"eval\"") : NULL;
  const char* at = line ? strstr(line, "\"metrics\":{") : NULL;
  int code = at ? -1 : fail_text("%s: expected the line of an evaluation, got none", path ? path : folder);
  at = at ? at + strlen("\"metrics\":{") : "";
  while (code < 0 && *at == '"') {
    const char* end = at + 1;
    while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
    if (end[0] != '"' || end[1] != ':') break;
    char* next = NULL;
    const double value = strtod(end + 2, &next);
    code = put(r, at + 1, (size_t)(end - at - 1), next == end + 2 ? NAN : value);
    at = strchr(end + 2, ',');
    if (!at || (strchr(end + 2, '}') && strchr(end + 2, '}') < at)) break;
    ++at;
  }
  free(line);
  free(path);
  return code;
}

/* "total  PARAMETERS  ACTIVE  MACS M" */
static int add_costs(result* r, const moe_session* session) {
  char* summary = session_text(session, "model.summary");
  if (!summary) return fail_last();
  const char* total = strstr(summary, "\ntotal ");
  double parameters = 0, active = 0, millions = 0;
  int code = -1;
  if (total && sscanf(total, " total %lf %lf %lf", &parameters, &active, &millions) == 3) {
    code = put(r, "parameters", 10, parameters);
    if (code < 0) code = put(r, "active", 6, active);
    if (code < 0) code = put(r, "multiply_adds", 13, millions * 1e6);
  }
  free(summary);
  return code;
}

static int by_value(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

/* Which comma-separated field has this name; -1: none. */
static int field_of(const char* line, const char* name) {
  const size_t length = strlen(name);
  for (int field = 0;; ++field) {
    const size_t here = strcspn(line, ",\n");
    if (here == length && strncmp(line, name, length) == 0) return field;
    if (line[here] != ',') return -1;
    line += here + 1;
  }
}

/* The median over the step events of metrics.csv: the first ones are slow. */
static int add_step_time(result* r, const char* folder) {
  char* path = format_text("%s/metrics.csv", folder);
  FILE* file = path ? fopen(path, "r") : NULL;
  char* line = NULL;
  size_t room = 0, count = 0;
  double* times = NULL;
  const int field = file && getline(&line, &room, file) > 0 ? field_of(line, "step_ms") : -1;
  while (field >= 0 && getline(&line, &room, file) > 0) {
    const char* at = line;
    for (int i = 0; at && i < field; ++i) at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL;
    double* grown = at ? realloc(times, (count + 1) * sizeof *times) : NULL;
    if (!grown) continue;
    times = grown;
    times[count++] = strtod(at, NULL);
  }
  if (count) qsort(times, count, sizeof *times, by_value);
  const int code = count ? put(r, "step_ms", 7, times[count / 2]) : -1;
  free(times);
  free(line);
  if (file) fclose(file);
  free(path);
  return code;
}

/* Whole or not at all: a sweep may be killed at any moment. */
static int write_result(const result* r, const char* folder) {
  char *path = format_text("%s/result.txt", folder), *temporary = format_text("%s/result.txt.tmp", folder);
  FILE* file = path && temporary ? fopen(temporary, "w") : NULL;
  for (size_t i = 0; file && i < r->count; ++i) fprintf(file, "%.17g %s\n", r->numbers[i].value, r->numbers[i].name);
  const bool written = file && fclose(file) == 0 && rename(temporary, path) == 0;
  const int code = written ? -1 : fail_text("%s/result.txt: cannot write", folder);
  free(temporary);
  free(path);
  return code;
}

int keep_result(moe_session* session, const char* folder) {
  result r = {NULL, 0};
  int code = add_costs(&r, session);
  if (code < 0) code = add_step_time(&r, folder);
  if (code < 0) code = add_metrics(&r, folder);
  if (code < 0) code = write_result(&r, folder);
  free(r.numbers);
  return code;
}

/* Of a run that is not done: nothing. */
static int read_result(const char* folder, result* r) {
  char *path = format_text("%s/result.txt", folder), *line = NULL;
  FILE* file = path ? fopen(path, "r") : NULL;
  size_t room = 0;
  int code = -1;
  while (code < 0 && file && getline(&line, &room, file) > 0) {
    char* name = NULL;
    const double value = strtod(line, &name);
    if (name == line || *name != ' ') continue;
    code = put(r, name + 1, strcspn(name + 1, "\n"), value);
  }
  free(line);
  if (file) fclose(file);
  free(path);
  return code;
}

/* -------------------------------------------------------------------------------------------------------------- Tables
 */

typedef struct tables {
  const plan* all;
  result* results; /* [all->count] */
  result columns;  /* every name that occurs, in order */
} tables;

static int read_results(tables* t) {
  t->results = calloc(t->all->count + 1, sizeof *t->results);
  if (!t->results) return fail_text("out of memory");
  for (size_t i = 0; i < t->all->count; ++i) {
    int code = read_result(t->all->runs[i].folder, &t->results[i]);
    for (size_t j = 0; code < 0 && j < t->results[i].count; ++j) {
      const char* name = t->results[i].numbers[j].name;
      if (!find(&t->columns, name)) code = put(&t->columns, name, strlen(name), 0);
    }
    if (code >= 0) return code;
  }
  return -1;
}

static void free_tables(tables* t) {
  for (size_t i = 0; t->results && i < t->all->count; ++i) free(t->results[i].numbers);
  free(t->results);
  free(t->columns.numbers);
}

/* A name in a CSV file: class names may hold anything. */
static void csv_text(FILE* file, const char* text) {
  if (!strpbrk(text, ",\"\n")) {
    fputs(text, file);
    return;
  }
  fputc('"', file);
  for (; *text; ++text) fprintf(file, *text == '"' ? "\"\"" : "%c", *text);
  fputc('"', file);
}

static FILE* open_table(const char* folder, const char* name) {
  char* path = format_text("%s/%s", folder, name);
  FILE* file = path ? fopen(path, "w") : NULL;
  if (!file) fail_text("%s/%s: cannot write", folder, name);
  free(path);
  return file;
}

static int write_runs(const tables* t, const char* folder) {
  FILE* file = open_table(folder, "results.csv");
  if (!file) return EXIT_FAILED;
  fputs("row,seed", file);
  for (size_t c = 0; c < t->columns.count; ++c) fputc(',', file), csv_text(file, t->columns.numbers[c].name);
  for (size_t i = 0; i < t->all->count; ++i) {
    if (!t->results[i].count) continue;
    fputc('\n', file);
    csv_text(file, t->all->runs[i].row);
    fprintf(file, ",%s", t->all->runs[i].seed);
    for (size_t c = 0; c < t->columns.count; ++c) {
      const moe_metric* found = find(&t->results[i], t->columns.numbers[c].name);
      fputc(',', file);
      if (found) fprintf(file, "%.9g", found->value);
    }
  }
  fputc('\n', file);
  return fclose(file) ? fail_text("%s/results.csv: cannot write", folder) : -1;
}

/* Mean and sample deviation of one number over the seeds of the row that begins at run `first`. */
typedef struct spread {
  int count;
  double mean, deviation;
} spread;

static bool same_row(const tables* t, size_t first, size_t i) {
  return i < t->all->count && strcmp(t->all->runs[i].row, t->all->runs[first].row) == 0;
}

static spread spread_of(const tables* t, size_t first, const char* name) {
  spread s = {0, 0, 0};
  double squares = 0;
  for (size_t i = first; same_row(t, first, i); ++i) {
    const moe_metric* found = find(&t->results[i], name);
    if (!found) continue;
    const double before = s.mean;
    s.mean += (found->value - s.mean) / ++s.count;
    squares += (found->value - before) * (found->value - s.mean);
  }
  s.deviation = s.count > 1 ? sqrt(squares / (s.count - 1)) : 0;
  return s;
}

static size_t next_row(const tables* t, size_t first) {
  size_t i = first;
  while (same_row(t, first, i)) ++i;
  return i;
}

static int done_of(const tables* t, size_t first) {
  int done = 0;
  for (size_t i = first; same_row(t, first, i); ++i) done += t->results[i].count > 0;
  return done;
}

static int write_rows(const tables* t, const char* folder) {
  FILE* file = open_table(folder, "table.csv");
  if (!file) return EXIT_FAILED;
  fputs("row,runs", file);
  for (size_t c = 0; c < t->columns.count; ++c) {
    const char* name = t->columns.numbers[c].name;
    fputc(',', file), csv_text(file, name), fputc(',', file), csv_text(file, name), fputs("_deviation", file);
  }
  for (size_t i = 0; i < t->all->count; i = next_row(t, i)) {
    fputc('\n', file);
    csv_text(file, t->all->runs[i].row);
    fprintf(file, ",%d", done_of(t, i));
    for (size_t c = 0; c < t->columns.count; ++c) {
      const spread s = spread_of(t, i, t->columns.numbers[c].name);
      if (s.count > 0) {
        fprintf(file, ",%.9g,%.9g", s.mean, s.deviation);
      } else {
        fputs(",,", file);
      }
    }
  }
  fputc('\n', file);
  return fclose(file) ? fail_text("%s/table.csv: cannot write", folder) : -1;
}

static void markdown_cell(FILE* file, const tables* t, size_t row, const char* name) {
  const spread s = spread_of(t, row, name);
  const bool millions = !strcmp(name, "parameters") || !strcmp(name, "active") || !strcmp(name, "multiply_adds");
  if (s.count == 0) {
    fputs("  |", file);
  } else if (millions) {
    fprintf(file, " %.2f M |", s.mean * 1e-6);
  } else if (s.count == 1) {
    fprintf(file, " %.4g |", s.mean);
  } else {
    fprintf(file, " %.4g ± %.2g |", s.mean, s.deviation);
  }
}

static void markdown(FILE* file, const tables* t, const char* const* names, size_t count) {
  fputs("| | runs |", file);
  for (size_t c = 0; c < count; ++c) fprintf(file, " %s |", names[c]);
  fputs("\n|---|---|", file);
  for (size_t c = 0; c < count; ++c) fputs("---|", file);
  for (size_t i = 0; i < t->all->count; i = next_row(t, i)) {
    fprintf(file, "\n| %s | %d |", t->all->runs[i].row, done_of(t, i));
    for (size_t c = 0; c < count; ++c) markdown_cell(file, t, i, names[c]);
  }
  fputc('\n', file);
}

enum { COSTS = 4, FIRST_METRICS = 4, MOST_COLUMNS = 64 };

/* Costs and step time, then the wanted metrics, or the first ones. */
static size_t choose_columns(const tables* t, char** metrics, const char** names) {
  size_t count = 0;
  for (size_t c = 0; c < t->columns.count && count < COSTS; ++c) {
    const char* name = t->columns.numbers[c].name;
    if (strcmp(name, "parameters") == 0 || strcmp(name, "active") == 0 || strcmp(name, "multiply_adds") == 0 ||
        strcmp(name, "step_ms") == 0) {
      names[count++] = name;
    }
  }
  const size_t costs = count;
  for (size_t m = 0; metrics[m] && count < MOST_COLUMNS; ++m) names[count++] = metrics[m];
  for (size_t c = costs; !metrics[0] && c < t->columns.count && c < costs + FIRST_METRICS; ++c) {
    names[count++] = t->columns.numbers[c].name;
  }
  return count;
}

static int write_markdown(const tables* t, const char* folder, char** metrics) {
  const char* names[MOST_COLUMNS];
  const size_t count = choose_columns(t, metrics, names);
  FILE* file = open_table(folder, "table.md");
  if (!file) return EXIT_FAILED;
  markdown(file, t, names, count);
  markdown(stdout, t, names, count);
  return fclose(file) ? fail_text("%s/table.md: cannot write", folder) : -1;
}

int write_tables(const char* folder, const plan* all, char** metrics) {
  tables t = {all, NULL, {NULL, 0}};
  int code = read_results(&t);
  if (code < 0) code = write_runs(&t, folder);
  if (code < 0) code = write_rows(&t, folder);
  if (code < 0) code = write_markdown(&t, folder, metrics);
  free_tables(&t);
  return code;
}
