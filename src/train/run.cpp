#include "train/run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "base/clock.h"
#include "train/run_folder.h"
#include "train/run_report.h"
#include "train/schema.h"

namespace moe {

// Settings that may differ between a run and its resume: they change neither the steps taken so far nor the model.
// Those of whole sections beside: how the model is evaluated and sampled.
static const std::vector<std::string> changeable = {
    "train.epochs",           "train.max_steps",  "train.max_minutes",
    "train.log_every",        "train.eval_every", "train.checkpoint_every",
    "train.keep_checkpoints", "train.early_stop", "data.workers",
    "data.prefetch",          "data.cache",       "data.cache_mb",
    "data.max_broken"};

static bool is_changeable(const std::string& key) {
  for (const char* section : {"evaluate.", "sample.", "sweep."}) {
    if (key.starts_with(section)) return true;
  }
  return std::find(changeable.begin(), changeable.end(), key) != changeable.end();
}

static void check_same_settings(const std::string& folder, const Config& stored, const Config& given) {
  std::vector<std::string> keys = stored.keys();
  const std::vector<std::string> more = given.keys();
  keys.insert(keys.end(), more.begin(), more.end());
  for (const std::string& key : keys) {
    if (is_changeable(key)) continue;
    const auto value = [&](const Config& config) {
      const std::vector<std::string> has = config.keys();
      return std::find(has.begin(), has.end(), key) == has.end() ? std::string("nothing") : config.get(key);
    };
    const std::string before = value(stored), now = value(given);
    check(before == now, MOE_ERR_CONFIG, folder, ": ", key, ": the run was made with ", before, ", got ", now,
          "; use another folder for other settings");
  }
}

struct Run::State {
  Config config;
  RunFolder folder;
  Log log;  // into train.log and on to the caller
  std::unique_ptr<Loader> train, val;
  std::unique_ptr<Session> session;

  int64_t epochs = 0, batches = 0, steps_per_epoch = 0, total_steps = 0, accumulate = 1;
  int64_t epoch = 0;  // of the position, from 0
  int64_t batch =
      0;  // micro-batches of it already trained on; equal to `batches`: the epoch's end is still to be reported
  int64_t evaluated_step = -1, saved_step = -1, reported_epochs = 0;
  double best = -std::numeric_limits<double>::infinity();
  int64_t evals_since_best = 0;
  double trained_seconds = 0;
  bool done = false;
  std::atomic<bool> stop{false}, evaluating{false};

  StepMeans means;
  Stopwatch since_start;
  int64_t steps_at_start = 0;

  State(Config settings, const std::string& path) : config(std::move(settings)), folder(path) {}

  void set_up_data();
  void start();
  void resume(const std::string& checkpoint, const SafetensorsFile& file);
  bool try_resume();
  std::map<std::string, std::string> position() const;

  bool eval_due() const;
  bool checkpoint_due() const;
  bool time_is_up() const;
  bool finished() const;
  std::string early_end() const;
  RunEvent event(RunEvent::Kind kind) const;

  bool train_step(RunEvent& out);
  RunEvent report_step();
  RunEvent report_epoch();
  RunEvent evaluate();
  void keep_best(bool is_best, const RunEvent& out);
  RunEvent checkpoint();
  RunEvent finish();
  [[noreturn]] void stop_now();
  // A stop request that reached the session inside `work` ends the run like one between two steps.
  template <typename Work>
  auto stoppable(Work work) {
    try {
      return work();
    } catch (const Error& error) {
      if (error.status() != MOE_ERR_CANCELLED) throw;
      stop_now();
    }
  }
};

static Config run_config(const Config* config, const std::string& folder, RunMode mode) {
  const bool there = RunFolder::holds_run(folder);
  check(there || mode != RunMode::resume, MOE_ERR_STATE, folder, ": expected a run to resume, got ",
        exists(folder) ? "a folder without config.yml" : "no such folder");
  check(!there || mode != RunMode::fresh, MOE_ERR_STATE, folder,
        ": expected a folder without a run, got one; resume it or use another");
  check(config || there, MOE_ERR_INVALID_ARGUMENT, "run: expected a config for a new run, got NULL");
  if (there && !config) return Config::load(join_path(folder, "config.yml"), task_schema);
  Config given = *config;
  fill_classes(given);
  return given;
}

Run::Run(const Config* config, const std::string& folder, RunMode mode, Log log)
    : state_(std::make_unique<State>(run_config(config, folder, mode), folder)) {
  State& s = *state_;
  s.log = [&s, log](int32_t level, const std::string& line) {
    s.folder.log(line);
    log_line(log, level, line);
  };
  try {
    // Until the first checkpoint nothing is lost by other settings.
    if (config && !s.folder.checkpoint_steps().empty()) {
      check_same_settings(folder, Config::load(s.folder.file("config.yml"), task_schema), s.config);
    }
    if (!s.try_resume()) s.start();
    write_file_atomic(s.folder.file("config.yml"), s.config.dump(false));
  } catch (...) {
    s.folder.remove_empty();
    throw;
  }
  s.steps_at_start = s.session->steps();
}

Run::~Run() = default;

Session& Run::session() {
  return *state_->session;
}

void Run::request_stop() noexcept {
  state_->stop.store(true);
  if (state_->evaluating.load()) state_->session->request_stop();
}

void Run::State::set_up_data() {
  train = std::make_unique<Loader>(open_source(config, "train"), loader_options(config, true), log);
  val = std::make_unique<Loader>(open_source(config, "val"), loader_options(config, false), log);
  accumulate = config.integer("train.accumulate");
  epochs = config.integer("train.epochs");
  batches = train->batches();
  steps_per_epoch = (batches + accumulate - 1) / accumulate;
  total_steps = epochs * steps_per_epoch;
  const int64_t most = config.integer("train.max_steps");
  if (most > 0 && most < total_steps) total_steps = most;
  session->set_length(steps_per_epoch, total_steps);
}

void Run::State::start() {
  folder.open_logs(-1);
  session = std::make_unique<Session>(config, log);
  set_up_data();
  log(MOE_LOG_INFO,
      text("new run in ", folder.path(), ": ", train->samples(), " training and ", val->samples(),
           " validation samples, ", total_steps, " steps, ", session->get("model.parameters"), " parameters"));
}

// The newest checkpoint that can be read; broken ones are named and passed over. False when there is none: the run
// starts anew.
bool Run::State::try_resume() {
  std::vector<int64_t> steps = folder.checkpoint_steps();
  std::vector<std::string> problems;
  while (!steps.empty()) {
    const std::string path = folder.checkpoint(steps.back());
    std::optional<SafetensorsFile> file;
    try {
      file = load_safetensors(path);
    } catch (const Error& error) {
      if (error.status() != MOE_ERR_DATA) throw;
      problems.push_back(error.what());
      steps.pop_back();
    }
    if (!file) continue;
    folder.open_logs(steps.back());
    folder.set_aside_after(steps.back());
    for (const std::string& problem : problems) log(MOE_LOG_WARNING, "passed over a broken checkpoint: " + problem);
    resume(path, *file);
    return true;
  }
  if (!problems.empty())
    fail(MOE_ERR_DATA, folder.path(), ": no checkpoint can be read; the newest: ", problems.front());
  return false;
}

static int64_t stored_integer(const SafetensorsFile& file, const std::string& path, const std::string& key) {
  const auto it = file.metadata.find(key);
  const std::optional<int64_t> value = it == file.metadata.end() ? std::nullopt : parse_int(it->second);
  check(value.has_value(), MOE_ERR_DATA, path, ": expected the position of a run (", key,
        ") in the metadata, got none");
  return *value;
}

void Run::State::resume(const std::string& path, const SafetensorsFile& file) {
  session = Session::open(file, path, &config, log);
  set_up_data();
  epoch = stored_integer(file, path, "run.epoch");
  batch = stored_integer(file, path, "run.batch");
  evaluated_step = stored_integer(file, path, "run.evaluated_step");
  reported_epochs = stored_integer(file, path, "run.reported_epochs");
  evals_since_best = stored_integer(file, path, "run.evals_since_best");
  const auto text_of = [&](const char* key) {
    return file.metadata.count(key) ? file.metadata.at(key) : std::string();
  };
  best = parse_double(text_of("run.best")).value_or(-std::numeric_limits<double>::infinity());
  trained_seconds = parse_double(text_of("run.trained_seconds")).value_or(0);
  train->set_broken(stored_integer(file, path, "run.broken"));
  // At the end of an epoch the loader already stands before the next one.
  train->seek(batch < batches ? epoch : epoch + 1, batch < batches ? batch : 0);
  saved_step = session->steps();
  const std::string threads = text_of("threads");
  if (threads != std::to_string(at::get_num_threads())) {
    log(MOE_LOG_WARNING,
        text("the run had ", threads, " threads, now ", at::get_num_threads(), ": results will not be the same bits"));
  }
  log(MOE_LOG_INFO, text("resumed at epoch ", epoch + 1, ", step ", session->steps(), " from ", path));
}

std::map<std::string, std::string> Run::State::position() const {
  return {{"run.epoch", std::to_string(epoch)},
          {"run.batch", std::to_string(batch)},
          {"run.evaluated_step", std::to_string(evaluated_step)},
          {"run.reported_epochs", std::to_string(reported_epochs)},
          {"run.evals_since_best", std::to_string(evals_since_best)},
          {"run.best", std::isfinite(best) ? format_double(best) : "none"},
          {"run.trained_seconds", format_double(trained_seconds)},
          {"run.broken", std::to_string(train->broken())}};
}

RunEvent Run::State::event(RunEvent::Kind kind) const {
  RunEvent out;
  out.kind = kind;
  out.epoch = std::min(epoch + 1, epochs);
  out.epochs = epochs;
  out.step = session->steps();
  out.steps = total_steps;
  out.metric = std::numeric_limits<double>::quiet_NaN();
  out.loss = means.mean(means.loss);
  const int64_t here = out.step - steps_at_start;
  const double per_step = here > 0 ? since_start.seconds() / static_cast<double>(here) : 0;
  out.seconds_left = per_step * static_cast<double>(std::max<int64_t>(0, total_steps - out.step));
  return out;
}

bool Run::State::time_is_up() const {
  const double minutes = config.number("train.max_minutes");
  return minutes > 0 && trained_seconds >= minutes * 60;
}

bool Run::State::finished() const {
  const int64_t step = session->steps();
  const int64_t patience = config.integer("train.early_stop");
  return step >= total_steps || epoch >= epochs || (patience > 0 && evals_since_best >= patience) || time_is_up();
}

// After step s an evaluation is due when a multiple of the interval was passed, and once at the end.
bool Run::State::eval_due() const {
  const int64_t step = session->steps();
  if (step == 0 || evaluated_step == step) return false;
  if (finished()) return true;
  const double interval = config.number("train.eval_every") * static_cast<double>(steps_per_epoch);
  if (interval <= 0) return false;
  const auto passed = [&](int64_t at) { return std::floor(static_cast<double>(at) / interval + 1e-9); };
  return passed(step) > passed(step - 1);
}

bool Run::State::checkpoint_due() const {
  const int64_t step = session->steps();
  if (step == 0 || saved_step == step) return false;
  const int64_t interval = config.integer("train.checkpoint_every");
  return finished() || batch >= batches || (interval > 0 && step % interval == 0);
}

// Trains one step. True when it is worth an event.
bool Run::State::train_step(RunEvent& out) {
  if (batch == 0) {
    for (RoutingStats* stats : session->routing()) stats->reset();
    session->set_epoch(epoch);
  }
  Stopwatch watch;
  int64_t taken = 0;
  double waited = 0;
  StepInfo info;
  session->discard();
  try {
    for (; taken < accumulate && batch + taken < batches; ++taken) {
      std::optional<Batch> next = train->next();
      check(next.has_value(), MOE_ERR_INTERNAL, "run: expected ", batches, " training batches in an epoch, got ",
            batch + taken);
      session->feed(*next);
    }
    waited = watch.lap();
    info = session->step();
  } catch (...) {  // the same window is taken again by the next call
    session->discard();
    train->seek(epoch, batch);
    throw;
  }
  batch += taken;
  if (batch >= batches)
    check(!train->next(), MOE_ERR_INTERNAL, "run: the training loader gave more than ", batches, " batches");
  trained_seconds += waited + info.seconds;
  means.add(info, waited);
  const bool worth = session->steps() % config.integer("train.log_every") == 0 || batch >= batches || finished();
  if (worth) out = report_step();
  return worth;
}

RunEvent Run::State::report_step() {
  RunEvent out = event(RunEvent::Kind::step);
  out.images_per_second = means.images_per_second();
  out.load_seconds = means.mean(means.load_seconds);
  out.step_seconds = means.mean(means.step_seconds);
  out.text = step_text(out, means);
  folder.log(out.text);
  folder.metrics_line(step_json(out, means, session->routing()));
  folder.metrics_row(step_row(out, means));
  means = StepMeans();
  return out;
}

RunEvent Run::State::report_epoch() {
  RunEvent out = event(RunEvent::Kind::epoch);
  out.text = epoch_text(out, session->routing());
  folder.log(out.text);
  folder.metrics_line(epoch_json(out, session->routing()));
  ++reported_epochs;
  return out;
}

// Books an evaluation. When the best checkpoint cannot be written, nothing is booked and the next call evaluates again.
void Run::State::keep_best(bool is_best, const RunEvent& out) {
  const auto before = std::tuple(best, evals_since_best, evaluated_step);
  evals_since_best = is_best ? 0 : evals_since_best + 1;
  if (is_best) best = out.metric;
  evaluated_step = out.step;
  try {
    if (is_best) session->save(folder.best(), position());
  } catch (...) {
    std::tie(best, evals_since_best, evaluated_step) = before;
    throw;
  }
}

RunEvent Run::State::evaluate() {
  Stopwatch watch;
  evaluating.store(true);
  if (stop.load()) session->request_stop();
  std::vector<Metric> metrics;
  try {
    metrics = session->evaluate(*val);
  } catch (...) {
    evaluating.store(false);
    throw;
  }
  evaluating.store(false);
  RunEvent out = event(RunEvent::Kind::eval);
  out.metric = metrics.empty() ? std::numeric_limits<double>::quiet_NaN() : metrics.front().value;
  const bool is_best = out.metric > best;
  folder.keep_picture(out.step, session->preview());
  keep_best(is_best, out);
  out.text = eval_text(out, metrics, is_best, watch.seconds());
  folder.log(out.text);
  folder.metrics_line(eval_json(out, metrics, is_best, session->routing()));
  return out;
}

RunEvent Run::State::checkpoint() {
  RunEvent out = event(RunEvent::Kind::checkpoint);
  const std::string path = folder.checkpoint(out.step);
  session->save(path, position());
  saved_step = out.step;
  folder.prune_checkpoints(config.integer("train.keep_checkpoints"));
  out.text = text("epoch ", out.epoch, "/", out.epochs, "  step ", out.step, "  checkpoint ", path);
  folder.log(out.text);
  return out;
}

// Why the run ends before its last epoch; empty: it does not.
std::string Run::State::early_end() const {
  if (epoch >= epochs || session->steps() >= epochs * steps_per_epoch) return "";
  if (session->steps() >= total_steps) return " (train.max_steps)";
  const std::string key = time_is_up() ? "train.max_minutes" : "train.early_stop";
  return text(" (", key, " ", config.get(key), ", in epoch ", epoch + 1, " of ", epochs, ")");
}

RunEvent Run::State::finish() {
  done = true;
  RunEvent out = event(RunEvent::Kind::done);
  out.metric = std::isfinite(best) ? best : std::numeric_limits<double>::quiet_NaN();
  out.seconds_left = 0;
  out.text = text("done: ", out.step, " steps in ", format_duration(trained_seconds), " of training", early_end());
  if (std::isfinite(best)) {
    const std::string name = session->task().evaluator()->finish().front().name;
    out.text += text(", best ", name, " ", format_double(std::round(best * 1e4) / 1e4));
  }
  out.text += text(", in ", folder.path());
  folder.log(out.text);
  return out;
}

void Run::State::stop_now() {
  stop.store(false);
  session->take_stop();
  if (saved_step != session->steps()) checkpoint();
  const std::string line =
      text("stopped at step ", session->steps(), " of ", total_steps, "; open ", folder.path(), " again to go on");
  folder.log(line);
  fail(MOE_ERR_CANCELLED, line);
}

bool Run::next(RunEvent& event) {
  State& s = *state_;
  if (s.done) return false;
  while (true) {
    if (s.stop.load()) s.stop_now();
    const bool epoch_over = s.batch >= s.batches && s.session->steps() > 0;
    if (epoch_over && s.reported_epochs <= s.epoch) return event = s.report_epoch(), true;
    if (s.eval_due()) return event = s.stoppable([&] { return s.evaluate(); }), true;
    if (s.checkpoint_due()) return event = s.checkpoint(), true;
    if (s.finished() || (epoch_over && s.epoch + 1 >= s.epochs)) return event = s.finish(), true;
    if (epoch_over) {
      ++s.epoch;
      s.batch = 0;
      continue;
    }
    if (s.stoppable([&] { return s.train_step(event); })) return true;
  }
}

std::string checkpoint_of(const std::string& path) {
  if (!is_directory(path)) return path;
  const std::string folder = join_path(path, "checkpoints");
  check(exists(folder), MOE_ERR_NOT_FOUND, path,
        ": expected a checkpoint file or a run folder with checkpoints/, got neither");
  const std::string best = join_path(folder, "best.safetensors");
  if (exists(best)) return best;
  std::string newest;
  for (const std::string& name : list_directory(folder)) {
    if (name.starts_with("step-") && name.ends_with(".safetensors")) newest = name;
  }
  check(!newest.empty(), MOE_ERR_NOT_FOUND, folder, ": expected a checkpoint, the run has written none yet");
  return join_path(folder, newest);
}

}  // namespace moe
