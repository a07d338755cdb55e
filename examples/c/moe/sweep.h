/* What the two halves of `moe sweep` share: the numbers of one finished run, and the tables over many. */
#ifndef MOE_SWEEP_H
#define MOE_SWEEP_H

#include "common.h"

/* One cell of the plan: a row of the table with one seed. */
typedef struct planned {
  char* row;      /* name of the row, "no_moe" or "full lr=1e-3" */
  char* settings; /* "KEY=VALUE KEY=VALUE" on top of the file's */
  char* seed;
  char* folder; /* of the run */
} planned;

typedef struct plan {
  planned* runs;
  size_t count;
} plan;

/* Named numbers of a run, in order. */
typedef struct result {
  moe_metric* numbers;
  size_t count;
} result;

/* What a run that is over left behind: costs from its session's summary, time a step from metrics.csv, the metrics of
 * its last evaluation from metrics.jsonl. Written to RUN/result.txt, whose presence says that the run is done. -1 to go
 * on. */
int keep_result(moe_session* session, const char* folder);

/* Writes FOLDER/results.csv (a line a run), table.csv and table.md (a line a row: mean and deviation over its seeds),
 * and prints the last. metrics: those of the table, NULL-ended; none: the first four. -1 to go on. */
int write_tables(const char* folder, const plan* all, char** metrics);

#endif
