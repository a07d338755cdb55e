/* What the subcommands of `moe` share: options, one-line errors, growing text, JSON. No subcommand knows another. */
#ifndef MOE_COMMON_H
#define MOE_COMMON_H

#define _DEFAULT_SOURCE /* POSIX.1-2008 and the terminal's width, also under -std=c11 */

#include <moe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGINT = 130 };

/* One subcommand: its name, one line for the list, its help text, and what it does. */
typedef struct command {
  const char* name;
  const char* summary;
  const char* help;
  int (*run)(const struct command* self, int argc, char** argv); /* argv[0] is the name; returns an exit code */
} command;

extern const command command_train, command_eval, command_predict, command_sample, command_experts, command_export,
    command_config, command_data, command_info, command_table, command_watch, command_sweep;

/* ------------------------------------------------------------------------------------------------------------- Errors
 */

int fail_last(void);                      /* prints the library's last error as `moe: <text>`; EXIT_FAILED */
int fail_last_usage(const command* self); /* the same as a mistake in the call; EXIT_USAGE */
int fail_text(const char* format, ...);   /* the same with an own text */
int fail_usage(const command* self, const char* format,
               ...); /* `moe train: <text> (see moe train --help)`; EXIT_USAGE */

/* A moe_log_fn: warnings and errors to stderr, notes nowhere. */
void print_warning(int32_t level, const char* message, void* unused);

/* Writes `, did you mean "name"?` for the nearest of the names into out, or nothing. */
void suggest(const char* word, const char* const* names, size_t count, char* out, size_t capacity);

/* ------------------------------------------------------------------------------------------------------------ Options
 */

typedef struct option {
  const char* name; /* "--run" */
  enum { OPTION_FLAG, OPTION_TEXT, OPTION_INTEGER, OPTION_NUMBER, OPTION_SIZE } kind;
  void* target; /* bool, const char *, int64_t, double, or int64_t[2] for WxH; untouched when the option is not given */
  int64_t least; /* of integers and sizes */
} option;

/* Sorts argv into options and positional arguments (moved to the front of argv, after argv[0]). --help and --threads N
 * are known to every command. Returns -1 to go on, or the exit code to end with. */
int parse_options(const command* self, const option* options, size_t count, int argc, char** argv, int* positional);

/* Applies argv[0 .. count - 1], each KEY=VALUE, to a config. Returns -1 to go on. */
int apply_overrides(const command* self, moe_config* config, char** argv, int count);

/* Whether a KEY=VALUE argument is of one of these: a key, or a section when it ends in a dot. NULL-ended. */
bool is_among(const char* argument, const char* const* keys);

/* A session from argv[0], a run folder or a checkpoint, with its weights and the settings of argv[1 .. count - 1] on
 * top. The caller has seen that these leave the model as it is. Returns -1 to go on. */
int open_session(const command* self, char** argv, int count, moe_session** out);

/* --------------------------------------------------------------------------------------------------------------- Text
 */

/* Every text the library writes into a buffer, in memory that the caller frees; NULL after an error. `read` wraps the
 * call. */
typedef moe_status (*text_reader)(const void* handle, const char* key, char* buffer, size_t capacity, size_t* needed);
char* read_text(text_reader read, const void* handle, const char* key);
char* session_text(const moe_session* session, const char* key);
char* config_text(const moe_config* config, const char* key);
char* format_text(const char* format, ...); /* as printf, in memory that the caller frees */

/* The lines of a text as a NULL-ended array; takes the text over, free_lines frees both; NULL without memory. */
char** split_lines(char* text, size_t* count);
void free_lines(char** lines);

const char* base_name(const char* path);
char* stem_of(const char* path); /* "runs/a.yml" -> "a"; the caller frees */
bool file_exists(const char* path);
int make_folders(const char* path); /* with all parents; -1 to go on, else an exit code */

/* --------------------------------------------------------------------------------------------------------------- JSON
 */

void json_text(FILE* file, const char* text); /* quoted and escaped */
void json_number(FILE* file, double value);   /* null when not finite */

#endif
