#include "data/prefetcher.h"

#include <ATen/Parallel.h>
#include <omp.h>
#include <signal.h>

#include <algorithm>

namespace moe {

Prefetcher::Prefetcher(const BatchMaker& maker, int64_t workers, int64_t ahead)
    : maker_(maker),
      workers_(workers),
      ahead_(std::max<int64_t>(1, std::max(workers, ahead))),
      batches_(maker.batches()) {}

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
    ready_.clear();
    ++generation_;
  }
  if (threads_.empty()) start_threads();
  wanted_.notify_all();
}

// Signals stay with the program's own threads: a handler must not run on a stack it does not know.
void Prefetcher::start_threads() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int64_t i = 0; i < workers_; ++i) threads_.emplace_back([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool Prefetcher::work_waits() const {
  return plan_ && next_make_ < std::min(batches_, next_take_ + ahead_);
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
    ready_.emplace(batch, std::move(made));
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
  made_.wait(lock, [&] { return ready_.count(batch) > 0; });
  MadeBatch made = std::move(ready_.extract(batch).mapped());
  ++next_take_;
  lock.unlock();
  wanted_.notify_all();
  return made;
}

}  // namespace moe
