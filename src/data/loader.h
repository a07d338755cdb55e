// Batches of a source in a deterministic order, prefetched by worker threads. The plan of an epoch is a function of
// (seed, epoch); each sample's randomness of (seed, epoch, index). So neither the number of workers nor a resume
// changes a bit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "data/source.h"

namespace moe {

struct LoaderOptions {
  int64_t batch_size = 1;
  bool shuffle = false;         // training: random order, last incomplete batch dropped (kept when it is the only one)
  bool replace_broken = false;  // training: a broken sample is replaced by another of the epoch; else it is left out
  int64_t max_broken = 0;       // broken samples tolerated in an epoch; one more is MOE_ERR_DATA
  int64_t workers = 1;          // 0: decode in the calling thread
  int64_t prefetch = 2;         // batches ahead
  uint64_t seed = 0;
};

class Loader {
 public:
  Loader(std::shared_ptr<const Source> source, LoaderOptions options, Log log);
  ~Loader();

  // The next batch of the epoch, or nothing at its end; the call after that starts the next epoch. After an error the
  // position is unchanged: the next call tries the same batch again.
  std::optional<Batch> next();
  // Continues at batch `batch` of epoch `epoch` (both from 0), as if all before had been read.
  void seek(int64_t epoch, int64_t batch);

  void set_log(Log log);  // which is told at once what is still unsaid

  int64_t epoch() const;     // of the next batch
  int64_t position() const;  // batches of it already given
  int64_t samples() const;
  int64_t batches() const;         // per epoch
  int64_t broken() const;          // samples that could not be read, over the loader's life
  void set_broken(int64_t count);  // on resume
  const Source& source() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

LoaderOptions loader_options(const Config& config, bool training);

}  // namespace moe
