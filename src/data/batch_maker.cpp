#include "data/batch_maker.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace moe {

// Replacements tried for one place before the data set is called unreadable.
static constexpr int kMaxReplacements = 16;

BatchMaker::BatchMaker(std::shared_ptr<const Source> source, const LoaderOptions& options)
    : source_(std::move(source)), options_(options), spec_(source_->spec()) {}

int64_t BatchMaker::batches() const {
  const int64_t samples = source_->size(), size = options_.batch_size;
  if (options_.shuffle) return samples == 0 ? 0 : std::max<int64_t>(1, samples / size);
  return (samples + size - 1) / size;
}

EpochPlan BatchMaker::plan(int64_t epoch) const {
  EpochPlan plan{epoch, {}};
  if (options_.shuffle) {
    Rng rng(options_.seed, "order", static_cast<uint64_t>(epoch));
    plan.order = permutation(rng, source_->size());
  } else {
    plan.order.resize(static_cast<size_t>(source_->size()));
    std::iota(plan.order.begin(), plan.order.end(), 0);
  }
  return plan;
}

// The statuses that a file on disk can cause. Anything else is not the sample's fault and ends the epoch.
static bool is_broken_file(const Error& error) {
  switch (error.status()) {
    case MOE_ERR_DATA:
    case MOE_ERR_IO:
    case MOE_ERR_NOT_FOUND:
    case MOE_ERR_PARSE:
      return true;
    default:
      return false;
  }
}

void BatchMaker::add_sample(const EpochPlan& plan, int64_t place, std::vector<Batch>& samples, MadeBatch& made) const {
  const auto epoch = static_cast<uint64_t>(plan.epoch);
  Rng replacement(options_.seed, "replacement", epoch, static_cast<uint64_t>(place));
  int64_t index = plan.order[static_cast<size_t>(place)];
  for (int attempt = 0;; ++attempt) {
    try {
      const Rng rng(options_.seed, "augment", epoch, static_cast<uint64_t>(index));
      samples.push_back(source_->load_in(plan.epoch, index, rng));
      return;
    } catch (const Error& error) {
      if (!is_broken_file(error)) throw;
      made.broken.push_back(error.what());
    }
    if (!options_.replace_broken) return;
    check(attempt < kMaxReplacements, MOE_ERR_DATA, "data: expected a sample that can be read, got ", attempt + 1,
          " broken ones in a row, the last: ", made.broken.back());
    index = replacement.below(source_->size());
  }
}

MadeBatch BatchMaker::make(const EpochPlan& plan, int64_t batch) const {
  MadeBatch made;
  try {
    const at::NoGradGuard no_grad;
    const int64_t first = batch * options_.batch_size;
    const int64_t last = std::min(first + options_.batch_size, source_->size());
    std::vector<Batch> samples;
    for (int64_t place = first; place < last; ++place) add_sample(plan, place, samples, made);
    if (!samples.empty()) {
      made.batch = collate(spec_, samples);
      const auto epoch = static_cast<uint64_t>(plan.epoch);
      source_->finish(made.batch, plan.epoch, Rng(options_.seed, "batch", epoch, static_cast<uint64_t>(batch)));
    }
    made.samples = static_cast<int64_t>(samples.size());
  } catch (...) {
    made.error = std::current_exception();
  }
  return made;
}

}  // namespace moe
