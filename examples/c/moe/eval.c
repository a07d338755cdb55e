/* moe eval: the official metrics of a checkpoint on the validation split, or of a file of detections. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_METRICS = 1024 };

static void print_table(const moe_metric* metrics, size_t count) {
  for (size_t i = 0; i < count; ++i) printf("%-24s %8.4f\n", metrics[i].name, metrics[i].value);
}

static void print_metrics_json(const moe_metric* metrics, size_t count) {
  printf(", \"metrics\": {");
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) printf(", ");
    json_text(stdout, metrics[i].name);
    printf(": ");
    json_number(stdout, metrics[i].value);
  }
  printf("}}\n");
}

static void print_json(const char* path, int64_t samples, const moe_metric* metrics, size_t count) {
  printf("{\"checkpoint\": ");
  json_text(stdout, path);
  printf(", \"samples\": %lld", (long long)samples);
  print_metrics_json(metrics, count);
}

static void print_files_json(const char* annotations, const char* detections, const moe_metric* metrics, size_t count) {
  printf("{\"annotations\": ");
  json_text(stdout, annotations);
  printf(", \"detections\": ");
  json_text(stdout, detections);
  print_metrics_json(metrics, count);
}

static int evaluate(moe_session* session, moe_loader* loader, const char* path, bool json) {
  moe_metric* metrics = calloc(MOST_METRICS, sizeof *metrics);
  size_t count = 0;
  int64_t samples = 0;
  int code = EXIT_OK;
  if (!metrics) return fail_text("out of memory");
  if (moe_loader_set_log(loader, print_warning, NULL) || moe_loader_size(loader, &samples, NULL) ||
      moe_session_evaluate(session, loader, metrics, MOST_METRICS, &count)) {
    code = fail_last();
  } else if (json) {
    print_json(path, samples, metrics, count);
  } else {
    printf("%s: %lld validation samples\n", path, (long long)samples);
    print_table(metrics, count);
  }
  free(metrics);
  return code;
}

/* The model is the checkpoint's: only how data are read and how it is evaluated may be changed. Returns -1 to go on. */
static int check_keys(const command* self, char** overrides, int count) {
  static const char* const allowed[] = {"data.", "evaluate.", "sample.", "train.batch_size", NULL};
  for (int i = 0; i < count; ++i) {
    if (is_among(overrides[i], allowed)) continue;
    return fail_usage(self, "expected keys data.*, evaluate.*, sample.* or train.batch_size, got \"%.*s\"",
                      (int)strcspn(overrides[i], "="), overrides[i]);
  }
  return -1;
}

/* How data are read is the loader's matter alone. */
static bool changes_session(char** overrides, int count) {
  static const char* const session_keys[] = {"evaluate.", "sample.", NULL};
  for (int i = 0; i < count; ++i) {
    if (is_among(overrides[i], session_keys)) return true;
  }
  return false;
}

static int evaluate_files(const char* annotations, const char* detections, bool json) {
  size_t count = 0;
  if (moe_coco_evaluate(annotations, detections, NULL, NULL, NULL, 0, &count)) return fail_last();
  moe_metric* metrics = calloc(count, sizeof *metrics);
  if (!metrics) return fail_text("out of memory");
  int code = EXIT_OK;
  if (moe_coco_evaluate(annotations, detections, print_warning, NULL, metrics, count, &count)) {
    code = fail_last();
  } else if (json) {
    print_files_json(annotations, detections, metrics, count);
  } else {
    printf("%s against %s\n", detections, annotations);
    print_table(metrics, count);
  }
  free(metrics);
  return code;
}

static int run(const command* self, int argc, char** argv) {
  bool json = false;
  const char *annotations = NULL, *detections = NULL, *save = NULL;
  const option known[] = {{"--json", OPTION_FLAG, &json, 0},
                          {"--save", OPTION_TEXT, &save, 0},
                          {"--annotations", OPTION_TEXT, &annotations, 0},
                          {"--detections", OPTION_TEXT, &detections, 0}};
  int count = 0;
  int code = parse_options(self, known, sizeof known / sizeof *known, argc, argv, &count);
  if (code >= 0) return code;
  if (annotations || detections) {
    if (!annotations || !detections) return fail_usage(self, "expected --annotations and --detections together");
    if (save) return fail_usage(self, "expected no --save beside --annotations");
    if (count > 0) return fail_usage(self, "expected no run beside --annotations, got \"%s\"", argv[1]);
    return evaluate_files(annotations, detections, json);
  }
  if (count < 1) return fail_usage(self, "expected a run folder or a checkpoint");
  if ((code = check_keys(self, argv + 2, count - 1)) >= 0) return code;
  moe_session* session = NULL;
  moe_config* config = NULL;
  moe_loader* loader = NULL;
  code = open_session(self, argv + 1, changes_session(argv + 2, count - 1) ? count : 1, &session);
  if (code < 0 && save && moe_session_set(session, "eval.save", save)) code = fail_last();
  if (code < 0 && moe_session_config(session, &config)) code = fail_last();
  if (code < 0) code = apply_overrides(self, config, argv + 2, count - 1);
  if (code < 0 && moe_loader_create(config, "val", &loader)) code = fail_last();
  if (code < 0) code = evaluate(session, loader, argv[1], json);
  moe_loader_free(loader);
  moe_config_free(config);
  moe_session_free(session);
  return code;
}

const command command_eval = {
    "eval", "metrics of a checkpoint, or of a file of detections",
    "usage: moe eval RUN|CHECKPOINT [KEY=VALUE ...] [--json] [--save DIR]\n"
    "       moe eval --annotations FILE --detections FILE [--json]\n\n"
    "Evaluates the best checkpoint of a run folder (else its last), or a checkpoint file, with the averaged\n"
    "weights if the run keeps them. KEY=VALUE changes where and how data are read (data.*,\n"
    "train.batch_size) and how samples are made and judged (sample.*, evaluate.*), not the model.\n\n"
    "With --annotations (COCO json) and --detections (an array of image_id, category_id, bbox, score) no model is\n"
    "needed: the twelve official numbers as pycocotools computes them, AP and AP50 of each class, and at IoU 0.50\n"
    "precision, recall and F1 over scores and false positives in images without objects.\n\n"
    "  --json      one JSON object in place of the table\n"
    "  --save DIR  also writes what was compared: DIR/annotations.json and DIR/detections.json, in COCO's format\n\n"
    "  moe eval runs/first\n"
    "  moe eval runs/first data.slice.size=640 --save compared\n"
    "  moe eval runs/first/checkpoints/best.safetensors data.root=/data/other --json\n"
    "  moe eval runs/fashion evaluate.samples=500 evaluate.extractor=runs/fashion_classifier\n"
    "  moe eval --annotations instances_val2017.json --detections detections.json\n",
    run};
