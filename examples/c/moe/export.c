/* moe export: the weights of a checkpoint for other programs. */
#include "common.h"

#include <string.h>

static int run(const command* self, int argc, char** argv) {
  const char* format = "transformers";
  const option known[] = {{"--format", OPTION_TEXT, &format, 0}};
  int count = 0;
  int code = parse_options(self, known, 1, argc, argv, &count);
  if (code >= 0) return code;
  if (count != 2) return fail_usage(self, "expected a run folder or a checkpoint, then where to write");
  moe_session* session = NULL;
  if (moe_session_open(argv[1], NULL, &session)) return fail_last();
  const moe_status status = moe_session_export(session, format, argv[2]);
  code = EXIT_OK;
  if (status) {
    code = status == MOE_ERR_INVALID_ARGUMENT ? fail_last_usage(self) : fail_last();
  } else {
    printf("%s -> %s (%s)\n", argv[1], argv[2], format);
  }
  moe_session_free(session);
  return code;
}

const command command_export = {
    "export", "weights of a checkpoint for other programs",
    "usage: moe export RUN|CHECKPOINT PATH [--format FORMAT]\n\n"
    "Writes the weights of the best checkpoint of a run folder (else its last), or of a checkpoint file; averaged\n"
    "ones if the run keeps them.\n\n"
    "  --format transformers  a folder that RTDetrV2ForObjectDetection.from_pretrained opens (rtdetr without\n"
    "                         experts; the default)\n"
    "  --format own           one safetensors file with the model's own names, for rtdetr those of the official\n"
    "                         rtdetrv2_pytorch\n\n"
    "  moe export runs/first exported\n"
    "  moe export runs/first weights.safetensors --format own\n",
    run};
