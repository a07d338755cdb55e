/* Follows a run to its end; shared by the subcommands that train. */
#ifndef MOE_FOLLOW_H
#define MOE_FOLLOW_H

#include "common.h"

/* Where lines go. On a terminal step events share one line that is rewritten; `open` says that it stands there. */
typedef struct progress {
  bool terminal;
  bool open;
} progress;

progress start_progress(void);

/* A moe_log_fn whose `user` is the progress: notes to stdout, warnings and errors to stderr. */
void print_log(int32_t level, const char* message, void* user);

/* Prints every event until the run ends. Meanwhile the first SIGINT or SIGTERM asks the run to stop, the second ends
 * the process. Returns what moe_run_next() did in the end: MOE_END, MOE_ERR_CANCELLED or an error. */
moe_status follow_run(moe_run* run, progress* out);

#endif
