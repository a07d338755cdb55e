/* The `moe` command: trains, evaluates and inspects mixture-of-experts models. It uses moe.h and nothing else of
 * libmoe: whatever it does, any program can do. One file per subcommand; this one chooses. */
#include "common.h"

#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static const command* const commands[] = {&command_train,  &command_sweep,   &command_watch,  &command_eval,
                                          &command_predict, &command_sample, &command_experts, &command_table,
                                          &command_export, &command_config,  &command_data,   &command_info};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const command self = {"", "", "", NULL};

/* glibc maps every block above 32 MiB anew and gives it back at once, so the kernel clears the pages of every large
 * tensor in every step. A program that trains keeps its memory instead. The library leaves this to the application: it
 * is the owner of the process. */
static void keep_memory(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 2000000000);
  mallopt(M_TOP_PAD, 256 << 20);
#endif
}

static int print_help(void) {
  printf("moe: train mixture-of-experts models\n\nusage: moe COMMAND [ARGUMENTS]\n\n");
  for (size_t i = 0; i < COMMANDS; ++i) printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
  printf(
      "\nEvery command knows --help and --threads N (default: OMP_NUM_THREADS, else all cores).\n\n"
      "  moe data synth traffic data/traffic\n"
      "  moe train configs/rtdetr/synthetic.yml data.root=data/traffic --run runs/first\n"
      "  moe eval runs/first\n\n"
      "exit codes: 0 ok, 1 failed, 2 wrong usage,\n"
      "            130 interrupted (Ctrl-C finishes the step and writes a checkpoint)\n");
  return EXIT_OK;
}

static int fail_unknown(const char* name) {
  const char* names[COMMANDS];
  char hint[96];
  for (size_t i = 0; i < COMMANDS; ++i) names[i] = commands[i]->name;
  suggest(name, names, COMMANDS, hint, sizeof hint);
  return fail_usage(&self, "unknown command \"%s\"%s", name, hint);
}

int main(int argc, char** argv) {
  keep_memory();
  if (argc < 2) {
    return fail_usage(&self,
                      "expected a command: train, sweep, watch, eval, predict, sample, experts, table, export, config, "
                      "data or info");
  }
  const char* name = argv[1];
  if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) return print_help();
  if (!strcmp(name, "--version")) return printf("moe %s\n", moe_version_string()) < 0;
  for (size_t i = 0; i < COMMANDS; ++i) {
    if (strcmp(name, commands[i]->name) == 0) return commands[i]->run(commands[i], argc - 1, argv + 1);
  }
  return fail_unknown(name);
}
