/* moe config: the settings that a file stands for, and the reference page of all settings. */
#include "common.h"

#include <stdlib.h>

static moe_status dump(const void* handle, const char* flags, char* buffer, size_t capacity, size_t* needed) {
  return moe_config_dump(handle, flags ? MOE_DUMP_ORIGINS : MOE_DUMP_VALUES, buffer, capacity, needed);
}

static moe_status describe(const void* handle, const char* task, char* buffer, size_t capacity, size_t* needed) {
  (void)handle;
  return moe_config_describe(task, buffer, capacity, needed);
}

static int print_text(char* text) {
  if (!text) return fail_last();
  fputs(text, stdout);
  free(text);
  return EXIT_OK;
}

static int print_config(const command* self, char** argv, int count, bool origins) {
  moe_config* config = NULL;
  if (moe_config_load(argv[0], &config)) return fail_last();
  int code = apply_overrides(self, config, argv + 1, count - 1);
  if (code < 0) code = print_text(read_text(dump, config, origins ? "origins" : NULL));
  moe_config_free(config);
  return code;
}

static int run(const command* self, int argc, char** argv) {
  bool origins = false, schema = false;
  const option known[] = {{"--origins", OPTION_FLAG, &origins, 0}, {"--schema", OPTION_FLAG, &schema, 0}};
  int count = 0;
  const int code = parse_options(self, known, 2, argc, argv, &count);
  if (code >= 0) return code;
  if (schema) {
    if (count > 1 || origins) return fail_usage(self, "expected: moe config --schema [TASK]");
    return print_text(read_text(describe, NULL, count == 1 ? argv[1] : NULL));
  }
  if (count < 1) return fail_usage(self, "expected a settings file");
  return print_config(self, argv + 1, count, origins);
}

const command command_config = {
    "config", "print the settings that a file stands for, or the reference page",
    "usage: moe config FILE [KEY=VALUE ...] [--origins]\n"
    "       moe config --schema [TASK]\n\n"
    "Prints every setting, inherited and default ones included, as YAML that loads back to the same settings.\n\n"
    "  --origins  say where each value comes from\n"
    "  --schema   print the reference page in Markdown: key, type, default, range or choices, meaning, version\n\n"
    "  moe config configs/rtdetr/synthetic.yml optimizer.lr=2e-4 --origins\n"
    "  moe config --schema rtdetr\n",
    run};
