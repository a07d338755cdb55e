// The deterministic half of the loader: which samples a batch holds, and how it is made when some of them cannot be
// read. Knows no threads; any thread may make any batch, in any order, with the same result.
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"

namespace moe {

// The order of one epoch.
struct EpochPlan {
  int64_t epoch = 0;
  std::vector<int64_t> order;  // sample index by place
};

// What became of one batch.
struct MadeBatch {
  Batch batch;
  int64_t samples = 0;              // in it; 0 when every one was left out
  std::vector<std::string> broken;  // one reason for each sample that could not be read, in order
  std::exception_ptr error;         // anything else; the batch is then empty
};

class BatchMaker {
 public:
  BatchMaker(std::shared_ptr<const Source> source, const LoaderOptions& options);

  int64_t batches() const;  // per epoch
  EpochPlan plan(int64_t epoch) const;
  MadeBatch make(const EpochPlan& plan, int64_t batch) const;  // throws nothing

 private:
  void add_sample(const EpochPlan& plan, int64_t place, std::vector<Batch>& samples, MadeBatch& made) const;

  std::shared_ptr<const Source> source_;
  LoaderOptions options_;
  BatchSpec spec_;
};

}  // namespace moe
