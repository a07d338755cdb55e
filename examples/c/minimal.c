/* A whole training in a folder, from a settings file: the shortest program there is. Run it again and it resumes.
 *
 *   minimal [CONFIG [FOLDER]]
 */
#include <moe.h>
#include <stdio.h>

static int fail(void) {
  moe_error_info e = MOE_ERROR_INFO_INIT;
  moe_last_error(&e);
  fprintf(stderr, "%s\n", e.text); /* configs/a.yml:12:7: optimizer.lr: expected a number > 0, got "fast" */
  return 1;
}

int main(int argc, char** argv) {
  const char* settings = argc > 1 ? argv[1] : "configs/rtdetr/synthetic.yml";
  const char* folder = argc > 2 ? argv[2] : "runs/first";
  moe_config* config = NULL;
  moe_run* run = NULL;
  moe_run_event event = MOE_RUN_EVENT_INIT;
  moe_status status;

  if (moe_config_load(settings, &config)) return fail();
  if (moe_config_set(config, "train.epochs", "5")) return fail();
  if (moe_run_open(config, folder, NULL, &run)) return fail(); /* new, or resumes what is there */
  while ((status = moe_run_next(run, &event)) == MOE_OK)
    printf("%s\n", event.text); /* step, eval, checkpoint, epoch, done */
  if (status != MOE_END) return fail();
  moe_run_close(run);
  moe_config_free(config);
  return 0;
}
