/* moe data: makes data sets. */
#include "common.h"

#include <string.h>

static void print_line(int32_t level, const char* message, void* user) {
  (void)level;
  fprintf(user, "%s\n", message);
}

static int check_size(const command* self, const char* name, int64_t value, int64_t most) {
  return value <= most
             ? -1
             : fail_usage(self, "%s: expected at most %lld, got %lld", name, (long long)most, (long long)value);
}

static int run(const command* self, int argc, char** argv) {
  moe_generate_options options = MOE_GENERATE_OPTIONS_INIT;
  int64_t train = options.train_images, val = options.val_images, seed = 0, workers = options.threads;
  int64_t size[2] = {options.width, options.height};
  const option known[] = {{"--train", OPTION_INTEGER, &train, 1},
                          {"--val", OPTION_INTEGER, &val, 0},
                          {"--size", OPTION_SIZE, size, 64},
                          {"--seed", OPTION_INTEGER, &seed, 0},
                          {"--workers", OPTION_INTEGER, &workers, 1}};
  int count = 0;
  int code = parse_options(self, known, 5, argc, argv, &count);
  if (code >= 0) return code;
  if (count != 3 || strcmp(argv[1], "synth") != 0) {
    return fail_usage(self, "expected: moe data synth traffic DIR");
  }
  if ((code = check_size(self, "--train", train, 10000000)) >= 0) return code;
  if ((code = check_size(self, "--val", val, 10000000)) >= 0) return code;
  if ((code = check_size(self, "--size", size[0] > size[1] ? size[0] : size[1], 4096)) >= 0) return code;
  if ((code = check_size(self, "--workers", workers, 64)) >= 0) return code;
  options.train_images = (int32_t)train;
  options.val_images = (int32_t)val;
  options.width = (int32_t)size[0];
  options.height = (int32_t)size[1];
  options.threads = (int32_t)workers;
  options.seed = (uint64_t)seed;
  options.log_fn = print_line;
  options.log_user = stdout;
  const moe_status status = moe_data_generate(argv[2], argv[3], &options);
  if (status == MOE_ERR_INVALID_ARGUMENT) return fail_last_usage(self);
  if (status) return fail_last();
  printf("%s: %lld training and %lld validation pictures of %lld x %lld\n", argv[3], (long long)train, (long long)val,
         (long long)size[0], (long long)size[1]);
  return EXIT_OK;
}

const command command_data = {
    "data", "make a data set of rendered scenes",
    "usage: moe data synth traffic DIR [--train N] [--val N] [--size WxH] [--seed S] [--workers N]\n\n"
    "Renders roadside scenes with cars, trucks, buses, pedestrians, bicycles and motorcycles in DAIR-V2X-I layout:\n"
    "image/, label/camera/, data_info.json, split_data.json. The same options give the same bytes.\n\n"
    "  --train N    training pictures (400)\n"
    "  --val N      validation pictures (100)\n"
    "  --size WxH   pixels (640x384)\n"
    "  --seed S     another set of scenes (0)\n"
    "  --workers N  threads that render; they never change a picture (2)\n\n"
    "  moe data synth traffic data/traffic\n"
    "  moe data synth traffic data/small --train 40 --val 10 --size 320x192 --seed 1\n",
    run};
