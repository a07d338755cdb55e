#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ------------------------------------------------------------------------------------------------------------- Errors
 */

int fail_last(void) {
  moe_error_info error = MOE_ERROR_INFO_INIT;
  moe_last_error(&error);
  return fail_text("%s", error.text);
}

int fail_last_usage(const command* self) {
  moe_error_info error = MOE_ERROR_INFO_INIT;
  moe_last_error(&error);
  return fail_usage(self, "%s", error.text);
}

int fail_text(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "moe: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  return EXIT_FAILED;
}

void print_warning(int32_t level, const char* message, void* unused) {
  (void)unused;
  if (level < MOE_LOG_WARNING) return;
  fflush(stdout);
  fprintf(stderr, "moe: %s: %s\n", level == MOE_LOG_WARNING ? "warning" : "error", message);
}

int fail_usage(const command* self, const char* format, ...) {
  const char* space = self->name[0] ? " " : "";
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "moe%s%s: ", space, self->name);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, " (see moe%s%s --help)\n", space, self->name);
  va_end(arguments);
  return EXIT_USAGE;
}

enum { LONGEST_NAME = 31 };

/* Levenshtein distance of two short names; longer ones are far from everything. */
static size_t distance(const char* a, const char* b) {
  const size_t rows = strlen(a), columns = strlen(b);
  size_t row[LONGEST_NAME + 1];
  if (rows > LONGEST_NAME || columns > LONGEST_NAME) return SIZE_MAX;
  for (size_t j = 0; j <= columns; ++j) row[j] = j;
  for (size_t i = 1; i <= rows; ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= columns; ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      const size_t added = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      diagonal = row[j];
      row[j] = replaced < added ? replaced : added;
    }
  }
  return row[columns];
}

void suggest(const char* word, const char* const* names, size_t count, char* out, size_t capacity) {
  size_t best = SIZE_MAX;
  const char* nearest = NULL;
  for (size_t i = 0; i < count; ++i) {
    const size_t d = distance(word, names[i]);
    if (d < best) best = d, nearest = names[i];
  }
  out[0] = '\0';
  if (nearest && best <= (strlen(word) > 8 ? strlen(word) / 3 : 2)) {
    snprintf(out, capacity, ", did you mean \"%s\"?", nearest);
  }
}

/* ------------------------------------------------------------------------------------------------------------ Options
 */

static bool read_integer(const char* text, int64_t least, int64_t* out) {
  char* end = NULL;
  errno = 0;
  const long long value = strtoll(text, &end, 10);
  if (errno || end == text || *end || value < least) return false;
  *out = value;
  return true;
}

static bool read_size(const char* text, int64_t least, int64_t out[2]) {
  const char* cross = strchr(text, 'x');
  char width[24];
  if (!cross || (size_t)(cross - text) >= sizeof width) return false;
  memcpy(width, text, (size_t)(cross - text));
  width[cross - text] = '\0';
  int64_t size[2];
  if (!read_integer(width, least, &size[0]) || !read_integer(cross + 1, least, &size[1])) return false;
  memcpy(out, size, sizeof size);
  return true;
}

static bool read_number(const char* text, double* out) {
  char* end = NULL;
  const double value = strtod(text, &end);
  if (end == text || *end || !isfinite(value)) return false;
  *out = value;
  return true;
}

/* Stores the value of one option. Returns -1 to go on. */
static int set_option(const command* self, const option* o, const char* value) {
  switch (o->kind) {
    case OPTION_FLAG:
      *(bool*)o->target = true;
      return -1;
    case OPTION_TEXT:
      *(const char**)o->target = value;
      return value[0] ? -1 : fail_usage(self, "%s: expected a value, got an empty one", o->name);
    case OPTION_INTEGER:
      if (read_integer(value, o->least, o->target)) return -1;
      return fail_usage(self, "%s: expected an integer >= %lld, got \"%s\"", o->name, (long long)o->least, value);
    case OPTION_NUMBER:
      if (read_number(value, o->target)) return -1;
      return fail_usage(self, "%s: expected a number, got \"%s\"", o->name, value);
    case OPTION_SIZE:
      if (read_size(value, o->least, o->target)) return -1;
      return fail_usage(self, "%s: expected WIDTHxHEIGHT such as 640x384, got \"%s\"", o->name, value);
  }
  return -1;
}

static int fail_unknown_option(const command* self, const option* options, size_t count, const char* name) {
  const char* names[32] = {"--help", "--threads"};
  char hint[96];
  size_t known = 2;
  for (size_t i = 0; i < count && known < 32; ++i) names[known++] = options[i].name;
  suggest(name, names, known, hint, sizeof hint);
  return fail_usage(self, "unknown option \"%s\"%s", name, hint);
}

static const option* find_option(const option* options, size_t count, const char* name, size_t length) {
  for (size_t i = 0; i < count; ++i) {
    if (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0) return &options[i];
  }
  return NULL;
}

/* Reads the option at argv[*next] and its value, and moves *next on. Returns -1 to go on. */
static int read_option(const command* self, const option* options, size_t count, int argc, char** argv, int* next) {
  const char* argument = argv[(*next)++];
  const char* equals = strchr(argument, '=');
  const size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
  const option* found = find_option(options, count, argument, length);
  if (!found) return fail_unknown_option(self, options, count, argument);
  if (found->kind == OPTION_FLAG) {
    return equals ? fail_usage(self, "%s takes no value", found->name) : set_option(self, found, "");
  }
  if (equals) return set_option(self, found, equals + 1);
  if (*next >= argc) return fail_usage(self, "%s: expected a value", found->name);
  return set_option(self, found, argv[(*next)++]);
}

int parse_options(const command* self, const option* options, size_t count, int argc, char** argv, int* positional) {
  option all[32];
  bool help = false, only_positional = false;
  int64_t threads = 0;
  if (count > 0) memcpy(all, options, count * sizeof *options);
  all[count++] = (option){"--help", OPTION_FLAG, &help, 0};
  all[count++] = (option){"--threads", OPTION_INTEGER, &threads, 1};
  *positional = 0;
  for (int next = 1; next < argc;) {
    if (!only_positional && strcmp(argv[next], "--") == 0) {
      only_positional = true;
      ++next;
    } else if (!only_positional && argv[next][0] == '-' && argv[next][1]) {
      if (strcmp(argv[next], "-h") == 0) argv[next] = "--help";
      const int code = read_option(self, all, count, argc, argv, &next);
      if (code >= 0) return code;
    } else {
      argv[++*positional] = argv[next++];
    }
  }
  if (help) return fputs(self->help, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
  if (threads > 0 && moe_set_threads(threads > INT32_MAX ? INT32_MAX : (int32_t)threads)) return fail_last();
  return -1;
}

int apply_overrides(const command* self, moe_config* config, char** argv, int count) {
  for (int i = 0; i < count; ++i) {
    char* equals = strchr(argv[i], '=');
    if (!equals || equals == argv[i]) return fail_usage(self, "expected KEY=VALUE, got \"%s\"", argv[i]);
    *equals = '\0';
    const moe_status status = moe_config_set(config, argv[i], equals + 1);
    *equals = '=';
    if (status) return fail_last();
  }
  return -1;
}

bool is_among(const char* argument, const char* const* keys) {
  const size_t length = strcspn(argument, "=");
  for (; *keys; ++keys) {
    const size_t wanted = strlen(*keys);
    const bool section = (*keys)[wanted - 1] == '.';
    if ((section ? length > wanted : length == wanted) && strncmp(argument, *keys, wanted) == 0) return true;
  }
  return false;
}

/* Other settings need a session of their own, with the same weights: nothing is read from model.pretrained again. */
int open_session(const command* self, char** argv, int count, moe_session** out) {
  moe_session *session = NULL, *changed = NULL;
  moe_config* config = NULL;
  if (moe_session_open(argv[0], NULL, &session)) return fail_last();
  int code = -1;
  if (count > 1) {
    code = moe_session_config(session, &config) ? fail_last() : apply_overrides(self, config, argv + 1, count - 1);
    if (code < 0 && (moe_config_set(config, "model.pretrained", "\"\"") || moe_session_create(config, NULL, &changed) ||
                     moe_session_load(changed, argv[0]))) {
      code = fail_last();
    }
    moe_session_free(code < 0 ? session : changed);
    session = code < 0 ? changed : session;
  }
  if (code >= 0) {
    moe_session_free(session);
    session = NULL;
  }
  *out = session;
  moe_config_free(config);
  return code;
}

/* --------------------------------------------------------------------------------------------------------------- Text
 */

char* read_text(text_reader read, const void* handle, const char* key) {
  size_t needed = 0;
  if (read(handle, key, NULL, 0, &needed)) return NULL;
  char* text = malloc(needed);
  if (text && read(handle, key, text, needed, NULL) == MOE_OK) return text;
  free(text);
  return NULL;
}

static moe_status session_reader(const void* handle, const char* key, char* buffer, size_t capacity, size_t* needed) {
  return moe_session_get(handle, key, buffer, capacity, needed);
}

static moe_status config_reader(const void* handle, const char* key, char* buffer, size_t capacity, size_t* needed) {
  return moe_config_get(handle, key, buffer, capacity, needed);
}

char* session_text(const moe_session* session, const char* key) {
  return read_text(session_reader, session, key);
}

char* config_text(const moe_config* config, const char* key) {
  return read_text(config_reader, config, key);
}

char* format_text(const char* format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  const int length = vsnprintf(NULL, 0, format, arguments);
  char* text = length < 0 ? NULL : malloc((size_t)length + 1);
  if (text) vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  va_end(arguments);
  return text;
}

char** split_lines(char* text, size_t* count) {
  size_t lines = 0, room = 2;
  for (const char* c = text; *c; ++c) room += *c == '\n';
  char** out = calloc(room + 1, sizeof *out);
  if (!out) {
    free(text);
    return NULL;
  }
  out[0] = text; /* kept in front of the lines, so that free_lines finds it */
  for (char* line = text; *line;) {
    char* end = strchr(line, '\n');
    out[1 + lines++] = line;
    if (!end) break;
    *end = '\0';
    line = end + 1;
  }
  *count = lines;
  return out + 1;
}

void free_lines(char** lines) {
  if (!lines) return;
  free(lines[-1]);
  free(lines - 1);
}

const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

char* stem_of(const char* path) {
  char* name = format_text("%s", base_name(path));
  char* dot = name ? strrchr(name, '.') : NULL;
  if (dot && dot != name) *dot = '\0';
  return name;
}

bool file_exists(const char* path) {
  struct stat info;
  return stat(path, &info) == 0;
}

int make_folders(const char* path) {
  char* copy = format_text("%s", path);
  if (!copy) return fail_text("out of memory");
  int error = 0;
  for (char* c = copy + 1; !error; ++c) {
    const char here = *c;
    if (here != '/' && here != '\0') continue;
    *c = '\0';
    if (mkdir(copy, 0777) && errno != EEXIST) error = errno;
    *c = here;
    if (here == '\0') break;
  }
  free(copy);
  return error ? fail_text("%s: cannot create the folder: %s", path, strerror(error)) : -1;
}

/* --------------------------------------------------------------------------------------------------------------- JSON
 */

void json_text(FILE* file, const char* text) {
  fputc('"', file);
  for (const unsigned char* c = (const unsigned char*)text; *c; ++c) {
    if (*c == '"' || *c == '\\') {
      fprintf(file, "\\%c", *c);
    } else if (*c < 0x20) {
      fprintf(file, "\\u%04x", *c);
    } else {
      fputc(*c, file);
    }
  }
  fputc('"', file);
}

void json_number(FILE* file, double value) {
  if (!isfinite(value)) {
    fputs("null", file);
  } else {
    fprintf(file, "%.9g", value);
  }
}
