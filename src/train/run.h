// A whole training in a folder: config.yml, train.log, metrics.jsonl, metrics.csv, checkpoints/. Stop it or kill it
// anywhere: opened again, it goes on from the last checkpoint
// and ends with the same bits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "train/session.h"

namespace moe {

enum class RunMode { automatic, fresh, resume };  // MOE_RUN_*

struct RunEvent {
  enum class Kind { none, step, epoch, eval, checkpoint, done };
  Kind kind = Kind::none;
  int64_t epoch = 0;  // from 1
  int64_t epochs = 0;
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0;
  double metric = 0;  // NaN unless eval or done
  double images_per_second = 0;
  double load_seconds = 0;
  double step_seconds = 0;
  double seconds_left = 0;
  std::string text;
};

class Run {
 public:
  // config may be null when `mode` is resume: the folder's own config.yml is used.
  Run(const Config* config, const std::string& folder, RunMode mode, Log log);
  ~Run();

  bool next(RunEvent& event);  // false at the end of the run
  void request_stop() noexcept;
  Session& session();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// checkpoints/best.safetensors of a run folder, else its newest checkpoint; a file path is returned as it is.
std::string checkpoint_of(const std::string& path);

}  // namespace moe
