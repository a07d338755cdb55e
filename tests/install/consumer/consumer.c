/* Trains on the scenes of a settings file and prints the number of steps.
 *   consumer SETTINGS RUN_FOLDER */
#include <moe.h>
#include <stdio.h>

static int fail(void) {
  moe_error_info error = MOE_ERROR_INFO_INIT;
  moe_last_error(&error);
  fprintf(stderr, "%s\n", error.text);
  return 1;
}

int main(int argc, char **argv) {
  moe_config *config = NULL;
  moe_run *run = NULL;
  moe_run_event event = MOE_RUN_EVENT_INIT;
  moe_status status;
  if (argc != 3 || moe_abi_version() != MOE_ABI || moe_version() != MOE_VERSION) return 2;
  if (moe_config_load(argv[1], &config) || moe_run_open(config, argv[2], NULL, &run)) return fail();
  while ((status = moe_run_next(run, &event)) == MOE_OK) continue;
  if (status != MOE_END) return fail();
  printf("%lld steps\n", (long long)event.step);
  moe_run_close(run);
  moe_config_free(config);
  return 0;
}
