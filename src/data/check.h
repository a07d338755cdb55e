// Looks through a detection data set once, before a training finds out: labels, picture files, boxes, ids, classes, and
// pictures that come in both splits. It changes nothing.
#pragma once

#include <string>

#include "base/log.h"
#include "config/config.h"

namespace moe {

struct DataReport {
  int64_t pictures = 0;  // looked at, of both splits
  int64_t objects = 0;   // in them, ignored regions included
  int64_t problems = 0;
  int64_t excluded = 0;  // pictures in the list
};

// Tells `log` a line a problem (MOE_LOG_WARNING; of many of one kind the first ones and their number) and what the
// splits hold (MOE_LOG_INFO). list: where pictures that cannot be used are written for data.exclude, with those of its
// own file; "": nowhere. MOE_ERR_CONFIG, MOE_ERR_NOT_FOUND (no folder), MOE_ERR_UNSUPPORTED (not a detection format),
// MOE_ERR_IO (list).
DataReport check_data(const Config& config, const std::string& list, const Log& log);

}  // namespace moe
