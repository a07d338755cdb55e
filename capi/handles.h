// What stands behind the opaque handles of moe.h.
#pragma once

#include <memory>
#include <unordered_map>

#include "base/log.h"
#include "config/config.h"
#include "data/loader.h"
#include "tensor/batch.h"
#include "train/run.h"
#include "train/session.h"

struct moe_config {
  moe::Config config;
};

struct moe_batch {
  moe::Batch batch;
};

struct moe_loader {
  std::shared_ptr<const moe::Source> source;
  moe::Loader loader;
  std::unordered_map<int64_t, int64_t> index_of_image;  // image id -> sample
};

// A session of its own, or the one of a run: then `owned` is empty and freeing the handle does nothing.
struct moe_session {
  std::unique_ptr<moe::Session> owned;
  moe::Session* session = nullptr;
};

struct moe_run {
  moe::Run run;
  moe_session session;  // handed out by moe_run_session()
};

namespace moe::capi {

inline Log make_log(moe_log_fn function, void* user) {
  if (!function) return {};
  return [function, user](int32_t level, const std::string& line) { function(level, line.c_str(), user); };
}

}  // namespace moe::capi
