// The other half of the loader: threads that make batches ahead and hand them out in order.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/batch_maker.h"

namespace moe {

class Prefetcher {
 public:
  // With no workers batches are made when they are asked for, in the calling thread.
  Prefetcher(const BatchMaker& maker, int64_t workers, int64_t ahead);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Work continues at this batch of this plan; what was made for another place is thrown away.
  void restart(std::shared_ptr<const EpochPlan> plan, int64_t batch);
  // The batch after the one taken before (or the one restart() named). Waits for it.
  MadeBatch take();

 private:
  void start_threads();
  void work();
  bool work_waits() const;
  std::optional<MadeBatch>& slot(int64_t batch);

  const BatchMaker& maker_;
  const int64_t workers_, batches_;
  std::mutex mutex_;
  std::condition_variable wanted_, made_;
  std::shared_ptr<const EpochPlan> plan_;
  int64_t generation_ = 0;  // of restart(); results of an older one are dropped
  int64_t next_take_ = 0;   // batch that take() gives next
  int64_t next_make_ = 0;   // first batch that no thread has begun
  bool stop_ = false;
  std::vector<std::optional<MadeBatch>> ready_;  // [ahead] fixed slots: a worker allocates nothing to hand a batch over
  std::vector<std::thread> threads_;
};

}  // namespace moe
