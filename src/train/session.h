// The training transaction. feed() queues micro-batches, step() computes the window and commits weights, optimizer,
// schedule, EMA and statistics together, or throws and leaves every byte as it was.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "config/config.h"
#include "data/loader.h"
#include "models/task.h"
#include "tensor/cpu_allocator.h"
#include "train/ema.h"
#include "train/optimizer.h"
#include "train/pretrained.h"
#include "train/safetensors.h"
#include "train/scaler.h"
#include "train/schedule.h"

namespace moe {

struct StepInfo {
  int64_t step = 0;
  int64_t micro_batches = 0;
  int64_t samples = 0;
  double loss = 0;
  double grad_norm = 0;
  double seconds = 0;
  bool skipped = false;
  std::vector<std::pair<std::string, double>> terms;
  std::vector<std::pair<std::string, double>> rates;  // learning rate by group
};

class Session {
 public:
  Session(Config config, Log log);
  // From a checkpoint file or a run folder (best, else last), with the settings stored there.
  static std::unique_ptr<Session> open(const std::string& path, Log log);

  void feed(const Batch& batch);
  StepInfo step();
  void discard() noexcept;
  int64_t queued() const { return static_cast<int64_t>(window_.size()); }

  Batch predict(const Batch& batch);
  std::vector<Metric> evaluate(Loader& loader);
  at::Tensor preview();  // Task::preview(); undefined where the task shows nothing

  // `extra` metadata and tensors travel with the checkpoint (a run stores its loader position and history there).
  void save(const std::string& path, const std::map<std::string, std::string>& extra = {});
  std::map<std::string, std::string> load(const std::string& path);  // returns the metadata
  // The weights alone, averages where the session keeps them. format: "own" (a safetensors file `path`), or one of
  // Task::export_formats() (a folder `path`, which is made).
  void export_weights(const std::string& format, const std::string& path);

  std::string get(const std::string& key) const;
  void set(const std::string& key, const std::string& value);
  void request_stop() noexcept { stop_.store(true); }
  bool take_stop() noexcept { return stop_.exchange(false); }  // reads and clears the request

  // Length of the training, for the schedule; before the first step. A run sets it from its loader.
  void set_length(int64_t steps_per_epoch, int64_t total_steps);
  void set_epoch(int64_t epoch) { epoch_ = epoch; }

  Task& task() { return *task_; }
  const Task& task() const { return *task_; }
  const Config& config() const { return config_; }
  int64_t steps() const { return steps_; }
  int64_t epoch() const { return epoch_; }
  const std::vector<RoutingStats*>& routing() const { return routing_; }
  uint64_t digest() const;  // over step, weights, buffers, EMA, optimizer state

 private:
  class Transaction;
  // `pretrained`: names that a checkpoint remembers as loaded from elsewhere; without it model.pretrained is read.
  Session(Config config, Log log, const std::vector<std::string>* pretrained);
  static std::unique_ptr<Session> open(const SafetensorsFile& file, const std::string& path, const Config* config,
                                       Log log);
  friend class Run;

  void freeze(std::vector<NamedParameter>& parameters) const;
  NamedTensors model_tensors() const;  // parameters and buffers
  void enter_micro_batch(size_t i, ForwardContext& context);
  std::vector<RoutingTotals> window_totals(ForwardContext context);
  std::vector<LossTerm> forward_backward(const Batch& batch, const ForwardContext& context);
  Batch predict_one(const Batch& batch);
  void build_schedule();
  void train_mode();

  SafetensorsFile snapshot(const std::map<std::string, std::string>& extra) const;
  void restore(const SafetensorsFile& file, const std::string& path);
  std::vector<std::pair<std::string, at::Tensor>> live_tensors()
      const;  // what a checkpoint holds, aliasing the live memory

  KeepMemory memory_;  // first: outlives the tensors
  Config config_;
  Log log_;
  std::unique_ptr<Task> task_;
  std::vector<RoutingStats*> routing_;  // the task's, one per mixture layer
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<Schedule> schedule_;
  std::unique_ptr<LossScaler> scaler_;
  std::unique_ptr<Ema> ema_;
  std::optional<at::ScalarType> amp_;
  std::vector<std::pair<std::string, at::Tensor>> weights_;  // all parameters, frozen ones included
  std::vector<std::pair<std::string, at::Tensor>> buffers_;
  std::vector<at::Tensor> buffer_copies_;  // where a transaction keeps them
  PretrainedReport pretrained_;            // of a session from a checkpoint: the loaded names alone
  std::vector<Batch> window_;
  int64_t steps_ = 0;    // skipped ones included
  int64_t samples_ = 0;  // trained on
  int64_t epoch_ = 0;
  int64_t steps_per_epoch_ = 0, total_steps_ = 0;  // 0: unknown
  uint64_t seed_ = 0;
  std::string save_evaluations_;  // folder; empty: nowhere
  std::atomic<bool> stop_{false};
};

// Autocast type of train.amp; nothing for fp32. "auto" is bf16 where the CPU multiplies it natively.
std::optional<at::ScalarType> amp_type(const Config& config);

}  // namespace moe
