#include "data/loader.h"

#include "base/error.h"
#include "data/batch_maker.h"
#include "data/labelled_source.h"
#include "data/prefetcher.h"

namespace moe {

struct Loader::State {
  State(std::shared_ptr<const Source> source_, LoaderOptions options_, Log log_)
      : source(std::move(source_)),
        options(options_),
        log(std::move(log_)),
        maker(source, options),
        batches(maker.batches()),
        prefetcher(maker, options.workers, options.prefetch) {}

  std::shared_ptr<const Source> source;
  LoaderOptions options;
  Log log;
  BatchMaker maker;
  int64_t batches;
  int64_t epoch = 0;
  int64_t position = 0;
  int64_t broken = 0;           // over the loader's life
  int64_t broken_in_epoch = 0;  // since its first batch or a seek
  bool running = false;         // the prefetcher stands at (epoch, position)
  Prefetcher prefetcher;        // last: its threads use what is above

  void run();
  MadeBatch take();
  void check_limit(const MadeBatch& made) const;
  void count_broken(const MadeBatch& made);
  void log_notes();
};

void Loader::State::run() {
  if (running) return;
  prefetcher.restart(std::make_shared<const EpochPlan>(maker.plan(epoch)), position);
  running = true;
}

// Without a log they stay with the source until there is one.
void Loader::State::log_notes() {
  if (!log) return;
  for (const Note& note : source->take_notes()) log_line(log, note.level, note.line);
}

void Loader::State::check_limit(const MadeBatch& made) const {
  if (made.broken.empty()) return;
  const int64_t count = broken_in_epoch + static_cast<int64_t>(made.broken.size());
  check(count <= options.max_broken, MOE_ERR_DATA, "data: expected at most ", options.max_broken,
        " broken samples an epoch, got ", count, " in epoch ", epoch + 1, ", the last: ", made.broken.back());
}

void Loader::State::count_broken(const MadeBatch& made) {
  for (const std::string& reason : made.broken) {
    log_line(log, MOE_LOG_WARNING,
             text("broken sample ", options.replace_broken ? "replaced: " : "left out: ", reason));
  }
  broken += static_cast<int64_t>(made.broken.size());
  broken_in_epoch += static_cast<int64_t>(made.broken.size());
}

// Broken samples are counted when their batch is handed out, never when it is made, so that the count does not depend
// on prefetching; and not for a batch that is refused, since it will be asked for again.
MadeBatch Loader::State::take() {
  run();
  running = false;  // until the batch is known to be good
  MadeBatch made = prefetcher.take();
  log_notes();
  if (position == 0) broken_in_epoch = 0;
  check_limit(made);
  if (made.error) std::rethrow_exception(made.error);
  count_broken(made);
  running = true;
  ++position;
  return made;
}

Loader::Loader(std::shared_ptr<const Source> source, LoaderOptions options, Log log) {
  check(options.batch_size >= 1, MOE_ERR_CONFIG, "batch size: expected at least 1, got ", options.batch_size);
  check(source->size() >= 1, MOE_ERR_DATA, "data: expected at least one sample, got none");
  state_ = std::make_unique<State>(std::move(source), options, std::move(log));
  state_->log_notes();
}

Loader::~Loader() = default;

std::optional<Batch> Loader::next() {
  State& s = *state_;
  while (s.position < s.batches) {
    MadeBatch made = s.take();
    if (made.samples > 0) return std::move(made.batch);
  }
  seek(s.epoch + 1, 0);
  return std::nullopt;
}

void Loader::seek(int64_t epoch, int64_t batch) {
  check(epoch >= 0 && batch >= 0 && batch <= state_->batches, MOE_ERR_INVALID_ARGUMENT, "loader: expected batch 0 to ",
        state_->batches, " of an epoch from 0, got batch ", batch, " of epoch ", epoch);
  state_->epoch = epoch;
  state_->position = batch;
  state_->broken_in_epoch = 0;
  state_->running = false;
}

void Loader::set_log(Log log) {
  std::swap(state_->log, log);
  try {
    state_->log_notes();
  } catch (...) {  // a call that failed keeps nothing of its arguments
    std::swap(state_->log, log);
    throw;
  }
}

int64_t Loader::epoch() const {
  return state_->epoch;
}
int64_t Loader::position() const {
  return state_->position;
}
int64_t Loader::samples() const {
  return state_->source->size();
}
int64_t Loader::batches() const {
  return state_->batches;
}
int64_t Loader::broken() const {
  return state_->broken;
}
void Loader::set_broken(int64_t count) {
  state_->broken = count;
}
const Source& Loader::source() const {
  return *state_->source;
}

LoaderOptions loader_options(const Config& config, bool training) {
  LoaderOptions options;
  options.batch_size = config.integer("train.batch_size");
  options.shuffle = training;
  options.replace_broken = training;
  options.max_broken = config.integer("data.max_broken");
  options.workers = config.integer("data.workers");
  options.prefetch = config.integer("data.prefetch");
  const bool labelled = is_labelled_format(config.text("data.format"));
  if (!training && !labelled && config.integer("data.slice.size") > 0) options.batch_size = options.prefetch = 1;
  options.seed = static_cast<uint64_t>(config.integer("seed"));
  return options;
}

}  // namespace moe
