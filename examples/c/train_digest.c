/* A whole training in a folder, that ends by telling the digest of the trained weights: the same settings give the same
 * one from every language (tests/ffi/cross).
 *
 *   train_digest CONFIG FOLDER [KEY=VALUE ...]
 */
#include <moe.h>
#include <stdio.h>
#include <string.h>

static int fail(void) {
  moe_error_info e = MOE_ERROR_INFO_INIT;
  moe_last_error(&e);
  fprintf(stderr, "%s\n", e.text);
  return 1;
}

/* KEY=VALUE; the text is cut at the equals sign. */
static int override(moe_config* config, char* text) {
  char* equals = strchr(text, '=');
  if (!equals) {
    fprintf(stderr, "expected KEY=VALUE, got \"%s\"\n", text);
    return 1;
  }
  *equals = '\0';
  return moe_config_set(config, text, equals + 1) ? fail() : 0;
}

static int train(moe_run* run) {
  moe_run_event event = MOE_RUN_EVENT_INIT;
  moe_session* session = NULL; /* belongs to the run */
  char digest[32];
  moe_status status;
  while ((status = moe_run_next(run, &event)) == MOE_OK) printf("%s\n", event.text);
  if (status != MOE_END || moe_run_session(run, &session) ||
      moe_session_get(session, "state.digest", digest, sizeof digest, NULL)) {
    return fail();
  }
  printf("digest %s\n", digest);
  return 0;
}

int main(int argc, char** argv) {
  moe_config* config = NULL;
  moe_run* run = NULL;
  if (argc < 3) {
    fprintf(stderr, "usage: train_digest CONFIG FOLDER [KEY=VALUE ...]\n");
    return 2;
  }
  int code = moe_config_load(argv[1], &config) ? fail() : 0;
  for (int i = 3; i < argc && code == 0; ++i) code = override(config, argv[i]);
  if (code == 0) code = moe_run_open(config, argv[2], NULL, &run) ? fail() : train(run);
  moe_run_close(run);
  moe_config_free(config);
  return code;
}
