/* moe experts: what every expert of every mixture layer did in a window of the training, with totals that add up. */
#include "experts_table.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char* name;
  int32_t window;
} windows[] = {{"lifetime", MOE_WINDOW_LIFETIME},
               {"epoch", MOE_WINDOW_SINCE_RESET},
               {"step", MOE_WINDOW_LAST_STEP},
               {"eval", MOE_WINDOW_LAST_EVAL}};
enum { WINDOWS = sizeof windows / sizeof *windows };

/* One layer with everything that is shown of it. */
typedef struct layer {
  moe_layer_info info;
  moe_layer_stat total;
  char** names;             /* [experts] */
  moe_expert_stat* experts; /* [experts] */
  int64_t* counts;          /* [row_count, experts] */
  int32_t row_count;
} layer;

/* What the rows of the tables are: classes, or ranges of steps of the noise schedule. */
typedef struct rows {
  const char* unit; /* "class" or "steps" */
  char** names;
  size_t count;
  int64_t* by_steps; /* [layers, count, experts], counted here; NULL for classes */
} rows;

typedef struct expert_key {
  int32_t layer;
  int32_t expert;
} expert_key;

static moe_status name_reader(const void* handle, const char* key, char* buffer, size_t capacity, size_t* needed) {
  const expert_key* k = (const void*)key;
  return moe_session_expert_name(handle, k->layer, k->expert, buffer, capacity, needed);
}

static void free_layer(layer* l) {
  for (int32_t e = 0; l->names && e < l->info.experts; ++e) free(l->names[e]);
  free(l->names);
  free(l->experts);
  free(l->counts);
}

/* Of classes as many as the layer keeps: none where its tokens have no class. */
static moe_status read_counts(const moe_session* session, int32_t index, int32_t window, const rows* r, layer* l) {
  const size_t experts = (size_t)l->info.experts, cells = experts * (size_t)l->row_count;
  if (cells == 0) return MOE_OK;
  if (!r->by_steps) return moe_session_class_routing(session, index, window, l->counts, cells, NULL);
  memcpy(l->counts, r->by_steps + (size_t)index * cells, cells * sizeof *l->counts);
  return MOE_OK;
}

static int read_layer(const moe_session* session, int32_t index, int32_t window, const rows* r, layer* l) {
  l->info = (moe_layer_info)MOE_LAYER_INFO_INIT;
  l->total = (moe_layer_stat)MOE_LAYER_STAT_INIT;
  if (moe_session_layer_info(session, index, &l->info)) return fail_last();
  l->row_count = r->by_steps ? (int32_t)r->count : l->info.classes;
  const size_t experts = (size_t)l->info.experts, cells = experts * (size_t)l->row_count;
  l->names = calloc(experts + 1, sizeof *l->names);
  l->experts = calloc(experts + 1, sizeof *l->experts);
  l->counts = calloc(cells + 1, sizeof *l->counts);
  if (!l->names || !l->experts || !l->counts) return fail_text("out of memory");
  for (int32_t e = 0; e < l->info.experts; ++e) {
    const expert_key key = {index, e};
    if (!(l->names[e] = read_text(name_reader, session, (const char*)&key))) return fail_last();
  }
  if (moe_session_expert_stats(session, index, window, l->experts, experts, NULL) ||
      moe_session_layer_stats(session, index, window, &l->total) ||
      read_counts(session, index, window, r, l)) {
    return fail_last();
  }
  return -1;
}

/* -------------------------------------------------------------------------------------------------------------- Tables
 */

enum { BAR = 24 };

static void print_bar(double share) {
  const int length = (int)(share * BAR + 0.5);
  for (int i = 0; i < length && i < BAR; ++i) fputs("█", stdout);
  fputc('\n', stdout);
}

static void print_experts(const layer* l) {
  moe_expert_stat sum = {0};
  printf("  %-16s %10s %7s %7s %6s %11s %10s %8s\n", "expert", "tokens", "share", "active", "gate", "importance",
         "computed", "dropped");
  for (int32_t e = 0; e < l->info.experts; ++e) {
    const moe_expert_stat* s = &l->experts[e];
    printf("  %-16s %10lld %6.1f%% %6.1f%% %6.3f %11.3f %10lld %8lld  ", l->names[e], (long long)s->tokens,
           100 * s->share, 100 * s->activation_rate, s->gate_mean, s->importance, (long long)s->computed,
           (long long)s->dropped);
    print_bar(s->share);
    sum.tokens += s->tokens;
    sum.share += s->share;
    sum.computed += s->computed;
    sum.dropped += s->dropped;
  }
  printf("  %-16s %10lld %6.1f%% %37lld %8lld\n", "total", (long long)sum.tokens, 100 * sum.share,
         (long long)sum.computed, (long long)sum.dropped);
}

static void print_layer(const layer* l, const char* window) {
  const moe_layer_stat* t = &l->total;
  printf("%s: %s, %d experts, at most %d per %s; window: %s\n", l->info.name, l->info.kind, l->info.experts,
         l->info.top_k, l->info.unit, window);
  print_experts(l);
  printf(
      "  %lld %ss, %lld assignments; dead experts %d, token entropy %.3f, marginal entropy %.3f, load cv %.3f, "
      "max violation %.3f, NMI of class and expert %.3f\n",
      (long long)t->tokens, l->info.unit, (long long)t->assignments, t->dead_experts, t->token_entropy,
      t->marginal_entropy, t->load_cv, t->max_violation, t->class_nmi);
}

/* The table of the wanted rows; without rows (a layer that keeps no classes) nothing is counted. */
static routing_table table_of(const layer* l, const rows* r) {
  return (routing_table){l->info.name, r->unit, r->names, l->names, l->counts, l->row_count, l->info.experts};
}

/* ---------------------------------------------------------------------------------------------------------------- JSON
 */

static void json_field(const char* name, double value) {
  printf(", \"%s\": ", name);
  json_number(stdout, value);
}

static void json_expert(const layer* l, int32_t e) {
  const moe_expert_stat* s = &l->experts[e];
  printf("%s{\"name\": ", e ? ", " : "");
  json_text(stdout, l->names[e]);
  printf(", \"tokens\": %lld, \"computed\": %lld, \"dropped\": %lld", (long long)s->tokens, (long long)s->computed,
         (long long)s->dropped);
  json_field("share", s->share);
  json_field("activation_rate", s->activation_rate);
  json_field("gate_mean", s->gate_mean);
  json_field("importance", s->importance);
  printf("}");
}

static void json_layer(const layer* l, const rows* r) {
  const moe_layer_stat* t = &l->total;
  printf("{\"name\": ");
  json_text(stdout, l->info.name);
  printf(", \"kind\": ");
  json_text(stdout, l->info.kind);
  printf(", \"unit\": ");
  json_text(stdout, l->info.unit);
  printf(", \"top_k\": %d, \"tokens\": %lld, \"assignments\": %lld, \"dead_experts\": %d", l->info.top_k,
         (long long)t->tokens, (long long)t->assignments, t->dead_experts);
  json_field("token_entropy", t->token_entropy);
  json_field("marginal_entropy", t->marginal_entropy);
  json_field("load_cv", t->load_cv);
  json_field("max_violation", t->max_violation);
  json_field("mutual_information", t->mutual_information);
  json_field("gini", t->gini);
  json_field("dominant_share", t->dominant_share);
  json_field("confidence", t->confidence);
  json_field("margin", t->margin);
  json_field("class_nmi", t->class_nmi);
  printf(", \"dropped\": %lld, \"unrouted\": %lld", (long long)t->dropped, (long long)t->unrouted);
  printf(", \"experts\": [");
  for (int32_t e = 0; e < l->info.experts; ++e) json_expert(l, e);
  printf("], \"%s\": ", r->unit[0] == 's' ? "steps" : "classes");
  const routing_table table = table_of(l, r);
  json_routing(&table);
  printf("}");
}

/* --------------------------------------------------------------------------------------------------------------- Views
 */

typedef struct view {
  const char* window;
  const char* by;
  const char* picture; /* path of an SVG file; NULL: none */
  bool json;
} view;

static int32_t window_of(const char* name) {
  for (int i = 0; i < WINDOWS; ++i) {
    if (strcmp(name, windows[i].name) == 0) return windows[i].window;
  }
  return -1;
}

static void show_rows(const layer* l, const rows* r) {
  const routing_table table = table_of(l, r);
  if (l->row_count > 0) {
    print_routing(&table);
  } else {
    printf("  no class table: a %s of this layer has no class\n", l->info.unit);
  }
}

static int show_layer(const moe_session* session, int32_t index, const view* v, const rows* r, svg* picture) {
  layer l = {0};
  const int code = read_layer(session, index, window_of(v->window), r, &l);
  const routing_table table = table_of(&l, r);
  if (code < 0 && v->json) {
    if (index > 0) printf(", ");
    json_layer(&l, r);
  } else if (code < 0) {
    if (index > 0) printf("\n");
    print_layer(&l, v->window);
    if (v->by) show_rows(&l, r);
  }
  if (code < 0 && picture) svg_panel(picture, &table);
  free_layer(&l);
  return code;
}

static void print_head(const moe_session* session, const char* path, const view* v, int32_t layers) {
  char* step = session_text(session, "state.step");
  if (v->json) {
    printf("{\"checkpoint\": ");
    json_text(stdout, path);
    printf(", \"step\": %s, \"window\": \"%s\", \"layers\": [", step ? step : "null", v->window);
  } else {
    printf("%s, step %s%s\n\n", path, step ? step : "?", layers == 0 ? ": a dense model without experts" : "");
  }
  free(step);
}

/* Panels are as wide as the layer with the most experts. */
static int open_picture(const moe_session* session, const char* path, int32_t layers, size_t row_count, svg** out) {
  int32_t experts = 1;
  for (int32_t i = 0; i < layers; ++i) {
    moe_layer_info info = MOE_LAYER_INFO_INIT;
    if (moe_session_layer_info(session, i, &info)) return fail_last();
    experts = info.experts > experts ? info.experts : experts;
  }
  *out = svg_open(path, layers > 0 ? layers : 1, (int32_t)row_count, experts);
  return *out ? -1 : EXIT_FAILED;
}

static int show(const moe_session* session, const char* path, const view* v, const rows* r) {
  int32_t layers = 0;
  svg* picture = NULL;
  if (moe_session_layer_count(session, &layers)) return fail_last();
  int code = v->picture ? open_picture(session, v->picture, layers, r->count, &picture) : -1;
  if (code >= 0) return code;
  print_head(session, path, v, layers);
  for (int32_t i = 0; code < 0 && i < layers; ++i) code = show_layer(session, i, v, r, picture);
  if (v->json) printf("]}\n");
  if (picture && !svg_close(picture)) return EXIT_FAILED;
  return code < 0 ? EXIT_OK : code;
}

/* --------------------------------------------------------------------------------------------------------- Evaluations
 */

enum { MOST_METRICS = 1024 };

static int open_val(const moe_session* session, moe_loader** loader) {
  moe_config* config = NULL;
  int code = -1;
  if (moe_session_config(session, &config) || moe_loader_create(config, "val", loader) ||
      moe_loader_set_log(*loader, print_warning, NULL)) {
    code = fail_last();
  }
  moe_config_free(config);
  return code;
}

/* A checkpoint keeps the training's windows; that of an evaluation is made here, by evaluating. */
static int evaluate(moe_session* session) {
  moe_loader* loader = NULL;
  moe_metric* metrics = calloc(MOST_METRICS, sizeof *metrics);
  size_t count = 0;
  int code = metrics ? open_val(session, &loader) : fail_text("out of memory");
  if (code < 0 && moe_session_evaluate(session, loader, metrics, MOST_METRICS, &count)) code = fail_last();
  moe_loader_free(loader);
  free(metrics);
  return code;
}

/* A tensor of int64 in memory that the caller frees; NULL after an error. */
static int64_t* read_integers(const moe_batch* batch, const char* name, size_t* count) {
  size_t bytes = 0;
  if (moe_batch_read(batch, name, NULL, 0, &bytes)) return NULL;
  int64_t* values = malloc(bytes + 1);
  if (values && moe_batch_read(batch, name, values, bytes, NULL)) {
    free(values);
    return NULL;
  }
  *count = bytes / sizeof *values;
  return values;
}

/* Names of the ranges between the edges, "0-99". */
static int name_steps(const moe_batch* result, rows* r) {
  size_t edges = 0;
  int64_t* values = read_integers(result, "step_edges", &edges);
  if (!values) return fail_text("--by time: expected a diffusion model, which routes by steps of its noise schedule");
  char* text = format_text("%s", "");
  for (size_t i = 0; text && i + 1 < edges; ++i) {
    char* longer = format_text("%s%lld-%lld\n", text, (long long)values[i], (long long)values[i + 1] - 1);
    free(text);
    text = longer;
  }
  free(values);
  r->names = text ? split_lines(text, &r->count) : NULL;
  return r->names ? -1 : fail_text("out of memory");
}

/* expert_counts [B, ranges, layers, E] of a prediction, summed over its pictures into [layers, ranges, E]. */
static int add_choices(const moe_batch* result, rows* r) {
  moe_tensor_info info = MOE_TENSOR_INFO_INIT;
  size_t count = 0;
  if (moe_batch_info(result, "expert_counts", &info)) return -1; /* a dense model */
  int64_t* values = read_integers(result, "expert_counts", &count);
  const int64_t ranges = info.shape[1], layers = info.shape[2], experts = info.shape[3];
  if (values && !r->by_steps) r->by_steps = calloc((size_t)(ranges * layers * experts), sizeof *r->by_steps);
  if (!values || !r->by_steps) {
    free(values);
    return fail_text("out of memory");
  }
  for (int64_t i = 0; i < (int64_t)count; ++i) {
    const int64_t e = i % experts, layer = i / experts % layers, range = i / experts / layers % ranges;
    r->by_steps[(layer * ranges + range) * experts + e] += values[i];
  }
  free(values);
  return -1;
}

/* Denoises the validation pictures at every range of steps and counts which experts they chose. */
static int count_by_steps(moe_session* session, rows* r) {
  moe_loader* loader = NULL;
  moe_batch *batch = NULL, *result = NULL;
  int code = open_val(session, &loader);
  if (code < 0 && (moe_batch_create(&batch) || moe_batch_create(&result))) code = fail_last();
  moe_status status = MOE_OK;
  while (code < 0 && (status = moe_loader_next(loader, batch)) == MOE_OK) {
    if (moe_session_predict(session, batch, result)) code = fail_last();
    if (code < 0 && !r->names) code = name_steps(result, r);
    if (code < 0) code = add_choices(result, r);
  }
  if (code < 0 && status != MOE_END) code = fail_last();
  moe_batch_free(result);
  moe_batch_free(batch);
  moe_loader_free(loader);
  return code;
}

static int read_rows(moe_session* session, const view* v, rows* r) {
  if (v->by && strcmp(v->by, "time") == 0) {
    r->unit = "steps";
    return count_by_steps(session, r);
  }
  r->unit = "class";
  char* names = session_text(session, "model.classes");
  r->names = names ? split_lines(names, &r->count) : NULL;
  return r->names ? -1 : fail_last();
}

/* ------------------------------------------------------------------------------------------------------------- Command
 */

static int check_view(const command* self, const view* v) {
  if (window_of(v->window) < 0) {
    return fail_usage(self, "--window: expected lifetime, epoch, step or eval, got \"%s\"", v->window);
  }
  if (v->by && strcmp(v->by, "class") != 0 && strcmp(v->by, "time") != 0) {
    return fail_usage(self, "--by: expected class or time, got \"%s\"", v->by);
  }
  return -1;
}

static int run(const command* self, int argc, char** argv) {
  view v = {"lifetime", NULL, NULL, false};
  const option known[] = {{"--window", OPTION_TEXT, &v.window, 0},
                          {"--by", OPTION_TEXT, &v.by, 0},
                          {"--svg", OPTION_TEXT, &v.picture, 0},
                          {"--json", OPTION_FLAG, &v.json, 0}};
  int count = 0;
  int code = parse_options(self, known, sizeof known / sizeof *known, argc, argv, &count);
  if (code >= 0) return code;
  if (count != 1) return fail_usage(self, "expected one run folder or checkpoint");
  if ((code = check_view(self, &v)) >= 0) return code;
  moe_session* session = NULL;
  rows r = {0};
  if (moe_session_open(argv[1], NULL, &session)) return fail_last();
  code = window_of(v.window) == MOE_WINDOW_LAST_EVAL ? evaluate(session) : -1;
  if (code < 0) code = read_rows(session, &v, &r);
  if (code < 0) code = show(session, argv[1], &v, &r);
  free(r.by_steps);
  free_lines(r.names);
  moe_session_free(session);
  return code;
}

const command command_experts = {
    "experts", "what every expert did",
    "usage: moe experts RUN|CHECKPOINT [--window lifetime|epoch|step|eval] [--by class|time] [--svg FILE] [--json]\n\n"
    "For every mixture layer and expert: tokens the router assigned, their share, the rate of tokens that chose\n"
    "the expert, mean gate weight when chosen, mean router probability, tokens really computed, assignments\n"
    "dropped over capacity.\n\n"
    "  --window W  lifetime: all training steps; epoch: since the epoch began; step: the last one;\n"
    "              eval: an evaluation, made now\n"
    "  --by class  also the table of true class by expert\n"
    "  --by time   the table of noise steps by expert of a diffusion model: its validation pictures are\n"
    "              denoised now, each at a step of every range\n"
    "  --svg FILE  the tables (of classes without --by) as a picture: each expert's share of a row\n"
    "  --json      one JSON object with all of it\n\n"
    "  moe experts runs/first\n"
    "  moe experts runs/first --window eval --by class\n"
    "  moe experts runs/fashion --by time --svg experts.svg\n",
    run};
