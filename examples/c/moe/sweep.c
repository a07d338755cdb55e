/* moe sweep: trains every row of a table with several seeds, one run after the other, and writes the table. A run that
 * is done is not done again, one that was interrupted goes on. */
#include "sweep.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "follow.h"

/* --------------------------------------------------------------------------------------------------------------- Lists
 */

/* A list of a config, such as [full, "no_moe model.experts.kind=fusion"], as lines; NULL after an error. */
static char** list_of(const moe_config* config, const char* key, size_t* count) {
  char* text = config_text(config, key);
  if (!text) {
    fail_last();
    return NULL;
  }
  char* to = text;
  bool quoted = false;
  for (const char* from = text; *from; ++from) {
    if (quoted && *from == '\\' && from[1]) {
      *to++ = *++from;
    } else if (*from == '"') {
      quoted = !quoted;
    } else if (!quoted && *from == ',') {
      *to++ = '\n';
      ++from; /* the blank after it */
    } else if (quoted || (*from != '[' && *from != ']')) {
      *to++ = *from;
    }
  }
  *to = '\0';
  char** lines = split_lines(text, count);
  if (!lines) fail_text("out of memory");
  return lines;
}

/* ---------------------------------------------------------------------------------------------------------------- Plan
 */

static void free_plan(plan* p) {
  for (size_t i = 0; i < p->count; ++i) {
    free(p->runs[i].row);
    free(p->runs[i].settings);
    free(p->runs[i].seed);
    free(p->runs[i].folder);
  }
  free(p->runs);
}

static int append(plan* p, const char* row, const char* settings, const char* seed, const char* folder) {
  planned* grown = realloc(p->runs, (p->count + 1) * sizeof *grown);
  if (!grown) return fail_text("out of memory");
  p->runs = grown;
  planned* last = &grown[p->count++];
  last->row = format_text("%s", row);
  last->settings = format_text("%s", settings);
  last->seed = format_text("%s", seed);
  last->folder = format_text("%s/%s/seed-%s", folder, row, seed);
  for (char* c = last->folder ? last->folder + strlen(folder) + 1 : NULL; c && *c; ++c) {
    const bool own_slash = *c == '/' && strncmp(c, "/seed-", 6) == 0;
    if (!own_slash && !isalnum((unsigned char)*c) && !strchr("-_.=+,", *c)) *c = '_';
  }
  const bool whole = last->row && last->settings && last->seed && last->folder;
  return whole ? -1 : fail_text("out of memory");
}

typedef struct lists {
  char **rows, **axes, **seeds, **metrics;
  size_t row_count, axis_count, seed_count, metric_count;
} lists;

static void free_lists(lists* l) {
  free_lines(l->rows);
  free_lines(l->axes);
  free_lines(l->seeds);
  free_lines(l->metrics);
}

static int read_lists(const moe_config* config, lists* l) {
  l->rows = list_of(config, "sweep.rows", &l->row_count);
  l->axes = l->rows ? list_of(config, "sweep.axes", &l->axis_count) : NULL;
  l->seeds = l->axes ? list_of(config, "sweep.seeds", &l->seed_count) : NULL;
  l->metrics = l->seeds ? list_of(config, "sweep.metrics", &l->metric_count) : NULL;
  return l->metrics ? -1 : EXIT_FAILED;
}

/* Every value of the axes from `axis` on, then every seed. */
static int expand(plan* p, const lists* l, size_t axis, const char* row, const char* settings, const char* folder) {
  int code = -1;
  if (axis == l->axis_count) {
    for (size_t s = 0; code < 0 && s < l->seed_count; ++s) code = append(p, row, settings, l->seeds[s], folder);
    return code;
  }
  const char *equals = strchr(l->axes[axis], '='), *value = equals ? equals + 1 : NULL;
  if (!value) return fail_text("sweep.axes: expected KEY=A|B|C, got \"%s\"", l->axes[axis]);
  const int key = (int)(equals - l->axes[axis]);
  const char* last = l->axes[axis];
  for (const char* c = last; c < equals; ++c) last = *c == '.' ? c + 1 : last;
  while (code < 0 && value) {
    const int length = (int)strcspn(value, "|");
    char* name = format_text("%s%s%.*s=%.*s", row, row[0] ? " " : "", (int)(equals - last), last, length, value);
    char* more = format_text("%s %.*s=%.*s", settings, key, l->axes[axis], length, value);
    code = name && more ? expand(p, l, axis + 1, name, more, folder) : fail_text("out of memory");
    free(name);
    free(more);
    value = value[length] ? value + length + 1 : NULL;
  }
  return code;
}

/* A row is "NAME KEY=VALUE ...". Without rows the axes make the table. */
static int make_plan(plan* p, const lists* l, const char* folder) {
  if (l->row_count == 0) return expand(p, l, 0, l->axis_count ? "" : "base", "", folder);
  int code = -1;
  for (size_t r = 0; code < 0 && r < l->row_count; ++r) {
    const size_t length = strcspn(l->rows[r], " ");
    char* name = format_text("%.*s", (int)length, l->rows[r]);
    code = name ? expand(p, l, 0, name, l->rows[r] + length, folder) : fail_text("out of memory");
    free(name);
  }
  return code;
}

/* ---------------------------------------------------------------------------------------------------------------- Runs
 */

static int set(moe_config* config, const planned* run, const char* setting, size_t length) {
  char* text = format_text("%.*s", (int)length, setting);
  char* equals = text ? strchr(text, '=') : NULL;
  int code = -1;
  if (!equals) {
    code = fail_text("sweep.rows: %s: expected KEY=VALUE, got \"%.*s\"", run->row, (int)length, setting);
  } else {
    *equals = '\0';
    if (moe_config_set(config, text, equals + 1)) code = fail_last();
  }
  free(text);
  return code;
}

static int config_of(const moe_config* base, const planned* run, moe_config** out) {
  if (moe_config_clone(base, out) || moe_config_set(*out, "seed", run->seed)) return fail_last();
  int code = -1;
  for (const char* at = run->settings; code < 0 && *at;) {
    const size_t length = strcspn(at, " ");
    if (length) code = set(*out, run, at, length);
    at += length + (at[length] != '\0');
  }
  return code;
}

/* The settings without the section `sweep`, which says what else is run. */
static char* own_settings(const moe_config* config) {
  size_t needed = 0;
  if (moe_config_dump(config, MOE_DUMP_VALUES, NULL, 0, &needed)) return NULL;
  char* text = malloc(needed);
  if (!text || moe_config_dump(config, MOE_DUMP_VALUES, text, needed, NULL)) {
    free(text);
    return NULL;
  }
  char* section = strncmp(text, "sweep:", 6) == 0 ? text : strstr(text, "\nsweep:");
  if (section) {
    char* end = section + 1;
    while ((end = strchr(end, '\n')) && (end[1] == ' ')) ++end;
    memmove(section, end ? end : "", end ? strlen(end) + 1 : 1);
  }
  return text;
}

/* A run that is done must have been made with the settings that it would get now. */
static int check_done(const planned* run, const moe_config* config) {
  char* path = format_text("%s/config.yml", run->folder);
  moe_config* stored = NULL;
  int code = path ? -1 : fail_text("out of memory");
  if (code < 0 && moe_config_load(path, &stored)) code = fail_last();
  char *before = code < 0 ? own_settings(stored) : NULL, *now = code < 0 ? own_settings(config) : NULL;
  if (code < 0 && (!before || !now)) {
    code = fail_last();
  } else if (code < 0 && strcmp(before, now) != 0) {
    code = fail_text("%s: the run was made with other settings; use another --out, or remove it", run->folder);
  }
  free(before);
  free(now);
  moe_config_free(stored);
  free(path);
  return code;
}

static int train(const planned* run, const moe_config* config) {
  progress out = start_progress();
  moe_run_options options = MOE_RUN_OPTIONS_INIT;
  moe_run* handle = NULL;
  moe_session* session = NULL;
  options.log_fn = print_log;
  options.log_user = &out;
  if (moe_run_open(config, run->folder, &options, &handle)) return fail_last();
  const moe_status status = follow_run(handle, &out);
  int code = -1;
  if (status == MOE_ERR_CANCELLED) {
    printf("stopped in %s; the same command goes on\n", run->folder);
    code = EXIT_SIGINT;
  } else if (status != MOE_END || moe_run_session(handle, &session)) {
    code = fail_last();
  } else {
    code = keep_result(session, run->folder);
  }
  moe_run_close(handle);
  return code;
}

static int run_one(const plan* p, size_t index, const moe_config* base) {
  const planned* run = &p->runs[index];
  char* result = format_text("%s/result.txt", run->folder);
  moe_config* config = NULL;
  int code = result ? config_of(base, run, &config) : fail_text("out of memory");
  if (code < 0) {
    const bool done = file_exists(result);
    printf("run %zu of %zu: %s, seed %s%s\n", index + 1, p->count, run->row, run->seed, done ? ": done before" : "");
    fflush(stdout);
    code = done ? check_done(run, config) : train(run, config);
  }
  moe_config_free(config);
  free(result);
  return code;
}

static int sweep(const moe_config* base, const char* folder, bool list) {
  lists l = {0};
  plan p = {NULL, 0};
  int code = read_lists(base, &l);
  if (code < 0) code = make_plan(&p, &l, folder);
  for (size_t i = 0; code < 0 && list && i < p.count; ++i) {
    printf("%s, seed %s:%s\n", p.runs[i].row, p.runs[i].seed, p.runs[i].settings);
  }
  if (code < 0 && !list) code = make_folders(folder);
  for (size_t i = 0; code < 0 && !list && i < p.count; ++i) code = run_one(&p, i, base);
  if (code < 0 && !list) code = write_tables(folder, &p, l.metrics);
  free_plan(&p);
  free_lists(&l);
  return code < 0 ? EXIT_OK : code;
}

static int run(const command* self, int argc, char** argv) {
  const char* folder = NULL;
  bool list = false;
  const option known[] = {{"--out", OPTION_TEXT, &folder, 0}, {"--list", OPTION_FLAG, &list, 0}};
  int count = 0;
  int code = parse_options(self, known, 2, argc, argv, &count);
  if (code >= 0) return code;
  if (count < 1) return fail_usage(self, "expected a settings file");
  char *stem = stem_of(argv[1]), *own = stem ? format_text("runs/%s", stem) : NULL;
  moe_config* config = NULL;
  if (!own) {
    code = fail_text("out of memory");
  } else if (moe_config_load(argv[1], &config)) {
    code = fail_last();
  } else if ((code = apply_overrides(self, config, argv + 2, count - 1)) < 0) {
    code = sweep(config, folder ? folder : own, list);
  }
  moe_config_free(config);
  free(own);
  free(stem);
  return code;
}

const command command_sweep = {
    "sweep", "train every row of a table with several seeds",
    "usage: moe sweep CONFIG [KEY=VALUE ...] [--out DIR] [--list]\n\n"
    "The settings file says what all runs share, and in its section `sweep` what differs:\n\n"
    "  sweep:\n"
    "    rows: [full, no_moe model.experts.kind=fusion]  # NAME KEY=VALUE ...\n"
    "    axes: [\"optimizer.lr=1e-3|2e-3\"]                # every value with every row\n"
    "    seeds: [0, 1, 2]\n"
    "    metrics: [skill, eps_mse]                       # columns of the printed table\n\n"
    "Rows, values and seeds are trained one after the other, each in DIR/ROW/seed-S. Runs that are done are\n"
    "skipped and an interrupted one goes on, so the same command finishes a sweep that was stopped. DIR then\n"
    "holds results.csv (a line a run), table.csv and table.md (a line a row: mean and deviation over seeds):\n"
    "parameters, active parameters, multiply-adds, time of a step, metrics of the last evaluation.\n\n"
    "  --out DIR  where the runs and tables go (runs/<name of the file>)\n"
    "  --list     print the runs and do nothing\n\n"
    "  moe sweep configs/diffusion/ablation.yml\n"
    "  moe sweep configs/diffusion/ablation.yml train.max_steps=100 sweep.seeds=[0] --out runs/short\n",
    run};
