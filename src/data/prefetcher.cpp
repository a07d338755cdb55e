#include "data/prefetcher.h"

#include <ATen/Parallel.h>
#include <omp.h>
#include <signal.h>

#include <algorithm>

namespace moe {

Prefetcher::Prefetcher(const BatchMaker& maker, int64_t workers, int64_t ahead)
    : maker_(maker),
      workers_(workers),
      batches_(maker.batches()),
      ready_(static_cast<size_t>(std::clamp<int64_t>(std::max(workers, ahead), 1, std::max<int64_t>(1, batches_)))) {}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Prefetcher::restart(std::shared_ptr<const EpochPlan> plan, int64_t batch) {
  {
    const std::lock_guard lock(mutex_);
    plan_ = std::move(plan);
    next_take_ = next_make_ = batch;
    for (auto& slot : ready_) slot.reset();
    ++generation_;
  }
  if (threads_.empty()) start_threads();
  wanted_.notify_all();
}

namespace {
// Threads started inside inherit the mask.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};
}  // namespace

// Signals stay with the program's own threads: a handler must not run on a stack it does not know.
void Prefetcher::start_threads() {
  const SignalsBlocked blocked;
  for (int64_t i = 0; i < workers_; ++i) threads_.emplace_back([this] { work(); });
}

bool Prefetcher::work_waits() const {
  return plan_ && next_make_ < std::min(batches_, next_take_ + static_cast<int64_t>(ready_.size()));
}

// Batches that are made and not taken are never more than the slots, so no two of them share one.
std::optional<MadeBatch>& Prefetcher::slot(int64_t batch) {
  return ready_[static_cast<size_t>(batch) % ready_.size()];
}

void Prefetcher::work() {
  // One thread each: every OS thread that enters a parallel region gets an OpenMP team of its own. The count is a
  // setting of this thread; at::set_num_threads would change it for the whole process. The first call makes LibTorch
  // set its default now.
  at::get_num_threads();
  omp_set_num_threads(1);
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return stop_ || work_waits(); });
    if (stop_) return;
    const int64_t batch = next_make_++, generation = generation_;
    const std::shared_ptr<const EpochPlan> plan = plan_;
    lock.unlock();
    MadeBatch made = maker_.make(*plan, batch);
    lock.lock();
    if (generation != generation_) continue;
    slot(batch) = std::move(made);
    made_.notify_one();
  }
}

MadeBatch Prefetcher::take() {
  std::unique_lock lock(mutex_);
  const int64_t batch = next_take_;
  if (workers_ == 0) {
    lock.unlock();
    MadeBatch made = maker_.make(*plan_, batch);
    lock.lock();
    ++next_take_;
    return made;
  }
  made_.wait(lock, [&] { return slot(batch).has_value(); });
  MadeBatch made = std::move(*slot(batch));
  slot(batch).reset();
  ++next_take_;
  lock.unlock();
  wanted_.notify_all();
  return made;
}

}  // namespace moe
