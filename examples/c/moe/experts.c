/* moe experts: what every expert of every mixture layer did in a window of the training, with totals that add up. */
#include "common.h"

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
  int64_t* counts;          /* [classes, experts] */
} layer;

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

static int read_layer(const moe_session* session, int32_t index, int32_t window, layer* l) {
  l->info = (moe_layer_info)MOE_LAYER_INFO_INIT;
  l->total = (moe_layer_stat)MOE_LAYER_STAT_INIT;
  if (moe_session_layer_info(session, index, &l->info)) return fail_last();
  const size_t experts = (size_t)l->info.experts, cells = experts * (size_t)l->info.classes;
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
      (cells > 0 && moe_session_class_routing(session, index, window, l->counts, cells, NULL))) {
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

static int64_t class_total(const layer* l, int32_t class) {
  int64_t sum = 0;
  for (int32_t e = 0; e < l->info.experts; ++e) sum += l->counts[(int64_t) class * l->info.experts + e];
  return sum;
}

/* Rows: true classes. Columns: experts. A cell: how often a token of the class went to the expert. */
static void print_classes(const layer* l, char** classes, size_t known) {
  if (l->info.classes == 0) {
    printf("  no class table: a %s of this layer has no class\n", l->info.unit);
    return;
  }
  printf("\n  %-16s", "class");
  for (int32_t e = 0; e < l->info.experts; ++e) printf(" %12.12s", l->names[e]);
  printf(" %12s\n", "total");
  int64_t all = 0;
  for (int32_t c = 0; c < l->info.classes; ++c) {
    printf("  %-16s", (size_t)c < known ? classes[c] : "?");
    for (int32_t e = 0; e < l->info.experts; ++e)
      printf(" %12lld", (long long)l->counts[(int64_t)c * l->info.experts + e]);
    printf(" %12lld\n", (long long)class_total(l, c));
    all += class_total(l, c);
  }
  printf("  %-16s", "total");
  for (int32_t e = 0; e < l->info.experts; ++e) {
    int64_t sum = 0;
    for (int32_t c = 0; c < l->info.classes; ++c) sum += l->counts[(int64_t)c * l->info.experts + e];
    printf(" %12lld", (long long)sum);
  }
  printf(" %12lld\n", (long long)all);
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

static void json_classes(const layer* l, char** classes, size_t known) {
  printf(", \"classes\": {");
  for (int32_t c = 0; c < l->info.classes; ++c) {
    if (c > 0) printf(", ");
    json_text(stdout, (size_t)c < known ? classes[c] : "?");
    printf(": [");
    for (int32_t e = 0; e < l->info.experts; ++e) {
      printf("%s%lld", e ? ", " : "", (long long)l->counts[(int64_t)c * l->info.experts + e]);
    }
    printf("]");
  }
  printf("}");
}

static void json_layer(const layer* l, char** classes, size_t known) {
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
  printf("]");
  json_classes(l, classes, known);
  printf("}");
}

/* ------------------------------------------------------------------------------------------------------------- Command
 */

typedef struct view {
  const char* window;
  const char* by;
  bool json;
} view;

static int32_t window_of(const char* name) {
  for (int i = 0; i < WINDOWS; ++i) {
    if (strcmp(name, windows[i].name) == 0) return windows[i].window;
  }
  return -1;
}

static int show_layer(const moe_session* session, int32_t index, const view* v, char** classes, size_t known) {
  layer l = {0};
  const int code = read_layer(session, index, window_of(v->window), &l);
  if (code < 0 && v->json) {
    if (index > 0) printf(", ");
    json_layer(&l, classes, known);
  } else if (code < 0) {
    if (index > 0) printf("\n");
    print_layer(&l, v->window);
    if (v->by) print_classes(&l, classes, known);
  }
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

static int show(const moe_session* session, const char* path, const view* v) {
  int32_t layers = 0;
  size_t known = 0;
  char* names = session_text(session, "model.classes");
  char** classes = names ? split_lines(names, &known) : NULL;
  if (!classes || moe_session_layer_count(session, &layers)) {
    free_lines(classes);
    return fail_last();
  }
  print_head(session, path, v, layers);
  int code = -1;
  for (int32_t i = 0; code < 0 && i < layers; ++i) code = show_layer(session, i, v, classes, known);
  if (v->json) printf("]}\n");
  free_lines(classes);
  return code < 0 ? EXIT_OK : code;
}

enum { MOST_METRICS = 1024 };

/* A checkpoint keeps the training's windows; that of an evaluation is made here, by evaluating. */
static int evaluate(moe_session* session) {
  moe_config* config = NULL;
  moe_loader* loader = NULL;
  moe_metric* metrics = calloc(MOST_METRICS, sizeof *metrics);
  size_t count = 0;
  int code = -1;
  if (!metrics) return fail_text("out of memory");
  if (moe_session_config(session, &config) || moe_loader_create(config, "val", &loader) ||
      moe_loader_set_log(loader, print_warning, NULL) ||
      moe_session_evaluate(session, loader, metrics, MOST_METRICS, &count)) {
    code = fail_last();
  }
  moe_loader_free(loader);
  moe_config_free(config);
  free(metrics);
  return code;
}

static int run(const command* self, int argc, char** argv) {
  view v = {"lifetime", NULL, false};
  const option known[] = {
      {"--window", OPTION_TEXT, &v.window, 0}, {"--by", OPTION_TEXT, &v.by, 0}, {"--json", OPTION_FLAG, &v.json, 0}};
  int count = 0;
  const int code = parse_options(self, known, 3, argc, argv, &count);
  if (code >= 0) return code;
  if (count != 1) return fail_usage(self, "expected one run folder or checkpoint");
  if (window_of(v.window) < 0) {
    return fail_usage(self, "--window: expected lifetime, epoch, step or eval, got \"%s\"", v.window);
  }
  if (v.by && strcmp(v.by, "class") != 0) return fail_usage(self, "--by: expected class, got \"%s\"", v.by);
  moe_session* session = NULL;
  if (moe_session_open(argv[1], NULL, &session)) return fail_last();
  int result = window_of(v.window) == MOE_WINDOW_LAST_EVAL ? evaluate(session) : -1;
  if (result < 0) result = show(session, argv[1], &v);
  moe_session_free(session);
  return result;
}

const command command_experts = {
    "experts", "what every expert did",
    "usage: moe experts RUN|CHECKPOINT [--window lifetime|epoch|step|eval] [--by class] [--json]\n\n"
    "For every mixture layer and expert: tokens the router assigned, their share, the rate of tokens that chose\n"
    "the expert, mean gate weight when chosen, mean router probability, tokens really computed, assignments\n"
    "dropped over capacity.\n\n"
    "  --window W  lifetime: all training steps; epoch: since the epoch began; step: the last one;\n"
    "              eval: an evaluation, made now\n"
    "  --by class  also the table of true class by expert\n"
    "  --json      one JSON object with all of it\n\n"
    "  moe experts runs/first\n"
    "  moe experts runs/first --window eval --by class\n",
    run};
