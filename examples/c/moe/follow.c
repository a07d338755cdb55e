/* Follows a run to its end: prints its events, and turns Ctrl-C into a request to stop after the step at hand. */
#include "follow.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------- Interruption
 */

static moe_run* volatile running;
static volatile sig_atomic_t stops;

/* The first signal asks the run to finish its step; the second one ends the process. Both calls are safe here. */
static void on_stop(int number) {
  static const char note[] = "\nmoe: finishing the step and writing a checkpoint; once more to exit at once\n";
  const int interrupted = errno; /* of the code that the signal came upon */
  if (stops++ > 0) _exit(128 + number);
  if (write(STDERR_FILENO, note, sizeof note - 1) < 0 || moe_run_request_stop(running)) _exit(128 + number);
  errno = interrupted;
}

static void catch_stops(moe_run* run) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_stop;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  running = run;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

static void release_stops(void) {
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  running = NULL;
}

/* ----------------------------------------------------------------------------------------------------------- Progress
 */

static int columns(void) {
  struct winsize size;
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

static void print_whole_line(progress* p, const char* text) {
  if (p->open) fputs("\r\033[K", stdout);
  p->open = false;
  puts(text);
  fflush(stdout);
}

/* A step line cut to the terminal: the loss terms in parentheses go first. */
static void print_fitted(const char* text) {
  const int width = columns() - 1;
  const char *open = strchr(text, '('), *close = open ? strchr(open, ')') : NULL;
  if ((int)strlen(text) <= width || !close || open == text) {
    printf("%.*s", width, text);
  } else {
    const int head = (int)(open - text) - 1;
    printf("%.*s%.*s", head < width ? head : width, text, head < width ? width - head : 0, close + 1);
  }
}

static void print_event(progress* p, const moe_run_event* event) {
  if (!p->terminal || event->kind != MOE_EVENT_STEP) {
    print_whole_line(p, event->text);
    return;
  }
  fputs("\r\033[K", stdout);
  print_fitted(event->text);
  fflush(stdout);
  p->open = true;
}

void print_log(int32_t level, const char* message, void* user) {
  if (level == MOE_LOG_DEBUG) return;
  if (level == MOE_LOG_INFO) {
    print_whole_line(user, message);
    return;
  }
  progress* p = user;
  if (p->open) fputs("\r\033[K", stdout);
  p->open = false;
  print_warning(level, message, NULL);
}

progress start_progress(void) {
  return (progress){isatty(STDOUT_FILENO) != 0, false};
}

moe_status follow_run(moe_run* run, progress* out) {
  moe_run_event event = MOE_RUN_EVENT_INIT;
  moe_status status;
  catch_stops(run);
  while ((status = moe_run_next(run, &event)) == MOE_OK) print_event(out, &event);
  release_stops();
  if (out->open) fputc('\n', stdout);
  out->open = false;
  fflush(stdout);
  return status;
}
