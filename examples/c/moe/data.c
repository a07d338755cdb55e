/* moe data: makes data sets and checks them. */
#include "common.h"

#include <stdlib.h>
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

static int run_synth(const command* self, int argc, char** argv) {
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
    return fail_usage(self, "expected: moe data synth traffic DIR, or moe data check CONFIG|ROOT");
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

/* -------------------------------------------------------------------------------------------------------------- check
 */

/* Sets a key and says whether that worked. */
static bool set_key(moe_config* config, const char* key, const char* value) {
  return moe_config_set(config, key, value) == MOE_OK;
}

/* A folder in COCO layout: the json of a split, where such sets keep it; NULL. */
static const char* find_annotations(const char* root, const char* split) {
  static const char* const names[] = {"annotations/instances_%s2017.json", "annotations/instances_%s.json",
                                      "annotations/%s.json", "%s.json"};
  static char found[64];
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
    char* name = format_text(names[i], split);
    char* path = name ? format_text("%s/%s", root, name) : NULL;
    const bool here = path && file_exists(path);
    if (here) snprintf(found, sizeof found, "%s", name);
    free(path);
    free(name);
    if (here) return found;
  }
  return NULL;
}

static bool set_coco_split(moe_config* config, const char* root, const char* split, const char* annotations_key,
                           const char* images_key) {
  static const char* const folders[] = {"%s2017", "%s", "images/%s", "images"};
  const char* annotations = find_annotations(root, split);
  if (!annotations) return true;
  if (!set_key(config, annotations_key, annotations)) return false;
  for (size_t i = 0; i < sizeof folders / sizeof *folders; ++i) {
    char* name = format_text(folders[i], split);
    char* path = name ? format_text("%s/%s", root, name) : NULL;
    const bool here = path && file_exists(path);
    const bool set = !here || set_key(config, images_key, name);
    free(path);
    free(name);
    if (here) return set;
  }
  return true;
}

/* Settings for a bare folder: its layout is told from what lies in it. */
static moe_config* config_of_folder(const char* root) {
  static const char text[] = "task: rtdetr\n";
  moe_config* config = NULL;
  if (moe_config_parse(text, sizeof text - 1, NULL, &config)) return NULL;
  char* info = format_text("%s/data_info.json", root);
  char* split = format_text("%s/metadata/data_info.json", root);
  const bool dair = (info && file_exists(info)) || (split && file_exists(split));
  free(info);
  free(split);
  bool good = set_key(config, "data.root", root);
  if (!dair) {
    good = good && set_key(config, "data.format", "coco") && set_key(config, "data.classes", "[]") &&
           set_coco_split(config, root, "train", "data.train.annotations", "data.train.images") &&
           set_coco_split(config, root, "val", "data.val.annotations", "data.val.images");
  }
  if (good) return config;
  moe_config_free(config);
  return NULL;
}

static bool is_settings_file(const char* path) {
  const char* dot = strrchr(path, '.');
  return dot && (!strcmp(dot, ".yml") || !strcmp(dot, ".yaml"));
}

static int check_set(const moe_config* config, const char* name, const char* list) {
  moe_data_report report = MOE_DATA_REPORT_INIT;
  if (moe_data_check(config, list, print_line, stdout, &report)) return fail_last();
  printf("%s: %lld pictures, %lld objects, %lld problems\n", name, (long long)report.pictures,
         (long long)report.objects, (long long)report.problems);
  if (list) printf("%lld pictures to leave out -> data.exclude=%s\n", (long long)report.excluded, list);
  return report.problems ? EXIT_FAILED : EXIT_OK;
}

static int run_check(const command* self, int argc, char** argv) {
  const char* list = NULL;
  const option known[] = {{"--list", OPTION_TEXT, &list, 0}};
  int count = 0;
  int code = parse_options(self, known, 1, argc, argv, &count);
  if (code >= 0) return code;
  if (count < 2) return fail_usage(self, "expected: moe data check CONFIG|ROOT");
  moe_config* config = NULL;
  if (is_settings_file(argv[2])) {
    if (moe_config_load(argv[2], &config)) return fail_last();
  } else if (!(config = config_of_folder(argv[2]))) {
    return fail_last();
  }
  code = apply_overrides(self, config, argv + 3, count - 2);
  if (code < 0) code = check_set(config, argv[2], list);
  moe_config_free(config);
  return code;
}

static int run(const command* self, int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "check") == 0) return run_check(self, argc, argv);
  return run_synth(self, argc, argv);
}

const command command_data = {
    "data", "make a data set of rendered scenes, or check one",
    "usage: moe data synth traffic DIR [--train N] [--val N] [--size WxH] [--seed S] [--workers N]\n"
    "       moe data check CONFIG|ROOT [KEY=VALUE ...] [--list FILE]\n\n"
    "synth renders roadside scenes with cars, trucks, buses, pedestrians, bicycles and motorcycles in DAIR-V2X-I "
    "layout:\n"
    "image/, label/camera/, data_info.json, split_data.json. The same options give the same bytes.\n\n"
    "  --train N    training pictures (400)\n"
    "  --val N      validation pictures (100)\n"
    "  --size WxH   pixels (640x384)\n"
    "  --seed S     another set of scenes (0)\n"
    "  --workers N  threads that render; they never change a picture (2)\n\n"
    "check looks through both splits of a set that a settings file (.yml) names, or of a folder in DAIR-V2X-I or COCO\n"
    "layout: picture files that are missing, empty, cut short or of another size than annotated, labels that cannot\n"
    "be read, boxes without area, types without a class, the annotation id 0, pictures that come twice. It exits\n"
    "with 1 when there are problems.\n\n"
    "  --list FILE  writes the pictures to leave out, for the key data.exclude\n\n"
    "  moe data synth traffic data/traffic\n"
    "  moe data synth traffic data/small --train 40 --val 10 --size 320x192 --seed 1\n"
    "  moe data check configs/rtdetr/synthetic.yml data.root=data/traffic --list exclude.txt\n",
    run};
