// moe_run: a whole training in a folder.
#include "train/run.h"

#include "buffers.h"
#include "guard.h"
#include "handles.h"

using namespace moe;
using namespace moe::capi;

static RunMode run_mode(int32_t mode) {
  switch (mode) {
    case MOE_RUN_AUTO:
      return RunMode::automatic;
    case MOE_RUN_NEW:
      return RunMode::fresh;
    case MOE_RUN_RESUME:
      return RunMode::resume;
    default:
      fail(MOE_ERR_INVALID_ARGUMENT,
           "options.mode: expected MOE_RUN_AUTO (0), MOE_RUN_NEW (1) or MOE_RUN_RESUME (2), got ", mode);
  }
}

static int32_t event_kind(RunEvent::Kind kind) {
  switch (kind) {
    case RunEvent::Kind::step:
      return MOE_EVENT_STEP;
    case RunEvent::Kind::epoch:
      return MOE_EVENT_EPOCH;
    case RunEvent::Kind::eval:
      return MOE_EVENT_EVAL;
    case RunEvent::Kind::checkpoint:
      return MOE_EVENT_CHECKPOINT;
    case RunEvent::Kind::done:
      return MOE_EVENT_DONE;
    case RunEvent::Kind::none:
      break;
  }
  fail(MOE_ERR_INTERNAL, "a run gave an event without a kind");
}

static moe_run_event run_event(const RunEvent& event) {
  moe_run_event out = MOE_RUN_EVENT_INIT;
  out.kind = event_kind(event.kind);
  out.epoch = event.epoch;
  out.epochs = event.epochs;
  out.step = event.step;
  out.steps = event.steps;
  out.loss = event.loss;
  out.metric = event.metric;
  out.images_per_second = event.images_per_second;
  out.load_seconds = event.load_seconds;
  out.step_seconds = event.step_seconds;
  out.seconds_left = event.seconds_left;
  write_name(out.text, event.text);
  return out;
}

extern "C" {

moe_status moe_run_open(const moe_config* config, const char* dir, const moe_run_options* options, moe_run** out) {
  return guard([&] {
    const moe_run_options read = read_struct(options, "options", moe_run_options MOE_RUN_OPTIONS_INIT);
    const RunMode mode = run_mode(read.mode);
    const std::string folder(required_text(dir, "dir"));
    require(out, "out");
    check(config || mode == RunMode::resume, MOE_ERR_INVALID_ARGUMENT,
          "config: expected a pointer (only MOE_RUN_RESUME does without one), got NULL");
    *out = new moe_run{Run(config ? &config->config : nullptr, folder, mode, make_log(read.log_fn, read.log_user)), {}};
  });
}

moe_status moe_run_next(moe_run* run, moe_run_event* event) {
  return guard([&]() -> moe_status {
    require(run, "run");
    require_struct(event, "event");
    RunEvent next;
    if (!run->run.next(next)) return MOE_END;
    write_struct(run_event(next), event);
    return MOE_OK;
  });
}

// No guard: a signal handler may call this, so it touches one atomic and nothing else.
moe_status moe_run_request_stop(moe_run* run) {
  if (!run) return record(MOE_ERR_INVALID_ARGUMENT, "run: expected a pointer, got NULL");
  run->run.request_stop();
  return MOE_OK;
}

moe_status moe_run_session(moe_run* run, moe_session** out) {
  return guard([&] {
    require(run, "run");
    require(out, "out");
    run->session.session = &run->run.session();
    *out = &run->session;
  });
}

void moe_run_close(moe_run* run) {
  destroy(run);
}

}  // extern "C"
