/* What the experts of a model do while it trains: after every epoch a table of each mixture layer, from inside the
 * program.
 *
 *   expert_stats [CONFIG [FOLDER]]
 */
#include <moe.h>
#include <stdio.h>

enum { MOST_EXPERTS = 64 };

static int fail(void) {
  moe_error_info e = MOE_ERROR_INFO_INIT;
  moe_last_error(&e);
  fprintf(stderr, "%s\n", e.text);
  return 1;
}

static void print_bar(double share) {
  for (int i = 0; i < (int)(40 * share + 0.5); ++i) putchar('#');
  putchar('\n');
}

/* One line per expert; the assignments add up to those of the layer. */
static moe_status print_layer(const moe_session* session, int32_t index, int32_t window) {
  moe_layer_info layer = MOE_LAYER_INFO_INIT;
  moe_layer_stat total = MOE_LAYER_STAT_INIT;
  moe_expert_stat experts[MOST_EXPERTS];
  size_t count = 0;
  char name[64];
  moe_status status;
  if ((status = moe_session_layer_info(session, index, &layer)) != MOE_OK) return status;
  if ((status = moe_session_layer_stats(session, index, window, &total)) != MOE_OK) return status;
  if ((status = moe_session_expert_stats(session, index, window, experts, MOST_EXPERTS, &count)) != MOE_OK)
    return status;
  printf("  %s: %lld %ss, %lld assignments, entropy of a decision %.2f, of the load %.2f\n", layer.name,
         (long long)total.tokens, layer.unit, (long long)total.assignments, total.token_entropy,
         total.marginal_entropy);
  for (size_t e = 0; e < count; ++e) {
    if ((status = moe_session_expert_name(session, index, (int32_t)e, name, sizeof name, NULL)) != MOE_OK)
      return status;
    printf("  %-14s %8lld  %5.1f%%  gate %.2f  ", name, (long long)experts[e].tokens, 100 * experts[e].share,
           experts[e].gate_mean);
    print_bar(experts[e].share);
  }
  return MOE_OK;
}

static moe_status print_experts(moe_run* run, int32_t window) {
  moe_session* session = NULL; /* belongs to the run */
  int32_t layers = 0;
  moe_status status = moe_run_session(run, &session);
  if (status == MOE_OK) status = moe_session_layer_count(session, &layers);
  for (int32_t i = 0; status == MOE_OK && i < layers; ++i) status = print_layer(session, i, window);
  return status;
}

static moe_status train(moe_run* run) {
  moe_run_event event = MOE_RUN_EVENT_INIT;
  moe_status status;
  while ((status = moe_run_next(run, &event)) == MOE_OK) {
    printf("%s\n", event.text);
    if (event.kind == MOE_EVENT_EPOCH) status = print_experts(run, MOE_WINDOW_SINCE_RESET);
    if (event.kind == MOE_EVENT_EVAL) status = print_experts(run, MOE_WINDOW_LAST_EVAL);
    if (status != MOE_OK) return status;
  }
  if (status != MOE_END) return status;
  printf("the whole training:\n");
  return print_experts(run, MOE_WINDOW_LIFETIME);
}

int main(int argc, char** argv) {
  moe_config* config = NULL;
  moe_run* run = NULL;
  if (moe_config_load(argc > 1 ? argv[1] : "configs/rtdetr/synthetic.yml", &config)) return fail();
  if (moe_run_open(config, argc > 2 ? argv[2] : "runs/expert_stats", NULL, &run)) return fail();
  const int code = train(run) == MOE_OK ? 0 : fail();
  moe_run_close(run);
  moe_config_free(config);
  return code;
}
