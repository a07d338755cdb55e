/* What the C ABI does with files of other programs: COCO evaluation of two files, the check of a data set, exported
 * weights. */
#include "support.h"

static char* folder;

static int set_up(void** state) {
  (void)state;
  folder = make_folder();
  return 0;
}

static int tear_down(void** state) {
  (void)state;
  remove_folder(folder);
  return 0;
}

static const char* write_text(const char* name, const char* text) {
  const char* path = in_folder(folder, name);
  FILE* file = fopen(path, "w");
  CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
  return path;
}

static void count_line(int32_t level, const char* message, void* user) {
  CHECK(message[0] != '\0' && !strchr(message, '\n'));
  if (level >= MOE_LOG_WARNING) ++*(int*)user;
}

static const char annotations[] =
    "{\"images\":[{\"id\":7},{\"id\":9}],\"categories\":[{\"id\":4,\"name\":\"car\"},{\"id\":90,\"name\":\"dog\"}],"
    "\"annotations\":[{\"id\":1,\"image_id\":7,\"category_id\":4,\"bbox\":[10,20,40,50],\"area\":2000,\"iscrowd\":0}]}";
static const char detections[] =
    "[{\"image_id\":7,\"category_id\":4,\"bbox\":[10,20,40,50],\"score\":0.5},"
    "{\"image_id\":9,\"category_id\":5,\"bbox\":[10,20,40,50],\"score\":0.9}]";

static void a_pair_of_files_is_evaluated(void** state) {
  (void)state;
  const char* truth = write_text("a.json", annotations);
  const char* found = write_text("d.json", detections);
  size_t count = 0, again = 0;
  int warnings = 0;
  OK(moe_coco_evaluate(truth, found, count_line, &warnings, NULL, 0, &count));
  CHECK(count == 12 + 2 * 2 + 3 * 4 + 4 * 19 + 1 && warnings == 0);
  moe_metric* metrics = calloc(count, sizeof *metrics);
  FAILS(MOE_ERR_BUFFER_TOO_SMALL, "expected room for",
        moe_coco_evaluate(truth, found, NULL, NULL, metrics, count - 1, NULL));
  CHECK(metrics[0].name[0] == '\0');
  OK(moe_coco_evaluate(truth, found, count_line, &warnings, metrics, count, &again));
  CHECK(again == count && warnings == 1); /* category 5 */
  CHECK(!strcmp(metrics[0].name, "AP") && metrics[0].value == 0.9999999999999998);
  CHECK(!strcmp(metrics[12].name, "AP/car") && !strcmp(metrics[13].name, "AP/dog") && metrics[13].value == -1);
  CHECK(!strcmp(metrics[16].name, "F1") && metrics[16].value == 1);
  free(metrics);
  FAILS(MOE_ERR_NOT_FOUND, "absent.json", moe_coco_evaluate("absent.json", found, NULL, NULL, NULL, 0, &count));
  const char* headless = write_text("b.json", "{\"annotations\":[]}");
  FAILS(MOE_ERR_DATA, "expected the key \"categories\"",
        moe_coco_evaluate(headless, found, NULL, NULL, NULL, 0, &count));
}

static void a_data_set_is_checked(void** state) {
  (void)state;
  const char* root = in_folder(folder, "data");
  tiny_data(root, 3, 2);
  moe_config* config = tiny_config(root);
  moe_data_report report = MOE_DATA_REPORT_INIT;
  int warnings = 0;
  OK(moe_data_check(config, NULL, count_line, &warnings, &report));
  CHECK(report.pictures == 5 && report.problems == 0 && report.excluded == 0 && warnings == 0);
  write_text("data/image/000001.jpg", "");
  const char* list = in_folder(folder, "list.txt");
  OK(moe_data_check(config, list, count_line, &warnings, &report));
  CHECK(report.problems == 1 && report.excluded == 1 && warnings == 1);
  OK(moe_data_check(config, NULL, NULL, NULL, NULL));
  OK(moe_config_set(config, "data.exclude", list));
  moe_loader* loader = NULL;
  int64_t samples = 0;
  OK(moe_loader_create(config, "train", &loader));
  OK(moe_loader_size(loader, &samples, NULL));
  CHECK(samples == 2);
  moe_loader_free(loader);
  FAILS(MOE_ERR_INVALID_ARGUMENT, "list: expected a text", moe_data_check(config, "", NULL, NULL, NULL));
  moe_config_free(config);
}

static void weights_are_exported(void** state) {
  (void)state;
  moe_session* session = tiny_session();
  const char* path = in_folder(folder, "own.safetensors");
  OK(moe_session_export(session, "own", path));
  FAILS(MOE_ERR_UNSUPPORTED, "export to transformers",
        moe_session_export(session, "transformers", in_folder(folder, "t")));
  FAILS(MOE_ERR_INVALID_ARGUMENT, "expected one of own, transformers", moe_session_export(session, "onnx", path));
  moe_config* config = tiny_config(NULL);
  OK(moe_config_set(config, "model.pretrained", path));
  moe_session* other = NULL;
  OK(moe_session_create(config, NULL, &other));
  char* report = session_text(other, "model.pretrained");
  CHECK(!strncmp(report, "loaded ", 7) && !strstr(report, "missing") && !strstr(report, "unexpected"));
  free(report);
  moe_session_free(other);
  moe_config_free(config);
  moe_session_free(session);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_pair_of_files_is_evaluated),
      cmocka_unit_test(a_data_set_is_checked),
      cmocka_unit_test(weights_are_exported),
  };
  return cmocka_run_group_tests_name("files", tests, set_up, tear_down);
}
