/* moe train: a whole training in a run folder, interrupted and resumed at will. */
#include "follow.h"

#include <stdlib.h>

/* ----------------------------------------------------------------------------------------------------------------- Run
 */

/* runs/<stem>-NNNN with the lowest free number; the caller frees. */
static char* free_folder(const char* config_path) {
  char* stem = stem_of(config_path);
  char* folder = NULL;
  for (int number = 1; stem && number <= 9999; ++number) {
    free(folder);
    folder = format_text("runs/%s-%04d", stem, number);
    if (!folder || !file_exists(folder)) break;
  }
  free(stem);
  return folder;
}

static int train(moe_run* run, const char* folder, progress* out) {
  const moe_status status = follow_run(run, out);
  if (status == MOE_END) {
    printf("next: moe eval %s, moe experts %s\n", folder, folder);
    return EXIT_OK;
  }
  if (status != MOE_ERR_CANCELLED) return fail_last();
  moe_session* session = NULL;
  char* step = moe_run_session(run, &session) ? NULL : session_text(session, "state.step");
  printf("stopped after step %s; go on with: moe train --resume %s\n", step ? step : "?", folder);
  free(step);
  return EXIT_SIGINT;
}

static int open_and_train(const moe_config* config, const char* folder, int32_t mode) {
  progress out = start_progress();
  moe_run_options options = MOE_RUN_OPTIONS_INIT;
  moe_run* run = NULL;
  options.mode = mode;
  options.log_fn = print_log;
  options.log_user = &out;
  printf("run folder: %s\n", folder);
  fflush(stdout);
  if (moe_run_open(config, folder, &options, &run)) return fail_last();
  const int code = train(run, folder, &out);
  moe_run_close(run);
  return code;
}

/* Resumes with the run's own settings, or with these plus overrides. */
static int resume(const command* self, const char* folder, char** overrides, int count) {
  char* path = format_text("%s/config.yml", folder);
  moe_config* config = NULL;
  int code = -1;
  if (count > 0) code = moe_config_load(path, &config) ? fail_last() : apply_overrides(self, config, overrides, count);
  if (code < 0) code = open_and_train(config, folder, MOE_RUN_RESUME);
  moe_config_free(config);
  free(path);
  return code;
}

static int start(const command* self, const char* config_path, const char* folder, char** overrides, int count) {
  char* own_folder = folder ? NULL : free_folder(config_path);
  if (!folder && !own_folder) return fail_text("out of memory");
  moe_config* config = NULL;
  int code = moe_config_load(config_path, &config) ? fail_last() : apply_overrides(self, config, overrides, count);
  if (code < 0) code = open_and_train(config, folder ? folder : own_folder, folder ? MOE_RUN_AUTO : MOE_RUN_NEW);
  moe_config_free(config);
  free(own_folder);
  return code;
}

static int run(const command* self, int argc, char** argv) {
  const char *folder = NULL, *resumed = NULL;
  const option known[] = {{"--run", OPTION_TEXT, &folder, 0}, {"--resume", OPTION_TEXT, &resumed, 0}};
  int count = 0;
  const int code = parse_options(self, known, 2, argc, argv, &count);
  if (code >= 0) return code;
  if (folder && resumed) return fail_usage(self, "expected --run or --resume, got both");
  if (resumed) return resume(self, resumed, argv + 1, count);
  if (count < 1) return fail_usage(self, "expected a settings file, or --resume DIR");
  return start(self, argv[1], folder, argv + 2, count - 1);
}

const command command_train = {
    "train", "train in a run folder, or resume one",
    "usage: moe train CONFIG [KEY=VALUE ...] [--run DIR] [--threads N]\n"
    "       moe train --resume DIR [KEY=VALUE ...]\n\n"
    "Trains what the settings file says. KEY=VALUE overrides one setting; `moe config --schema TASK` lists\n"
    "them. The run folder holds config.yml, train.log, metrics.jsonl, metrics.csv and checkpoints/. Ctrl-C\n"
    "finishes the step, writes a checkpoint and exits with 130; a resumed run ends with the same weights as\n"
    "one that was never stopped.\n\n"
    "  --run DIR     the run folder; one that holds a run is resumed\n"
    "                (default: runs/<name of the file>-NNNN, new)\n"
    "  --resume DIR  go on with the run in this folder; only settings that do not change the result so far\n"
    "                may differ\n\n"
    "  moe train configs/rtdetr/synthetic.yml data.root=data/traffic\n"
    "  moe train configs/rtdetr/dair_a.yml train.epochs=50 optimizer.groups.new.lr=2e-4 --run runs/a\n"
    "  moe train --resume runs/a train.epochs=80\n",
    run};
