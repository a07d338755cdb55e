// Generated data sets, and the check of a set.
#include "buffers.h"
#include "data/check.h"
#include "data/synth/traffic.h"
#include "guard.h"
#include "handles.h"

using namespace moe;
using namespace moe::capi;

static void check_range(const char* name, int64_t value, int64_t least, int64_t most) {
  check(value >= least && value <= most, MOE_ERR_INVALID_ARGUMENT, "options.", name, ": expected ", least, " to ", most,
        ", got ", value);
}

static TrafficOptions traffic_options(const moe_generate_options& options) {
  constexpr int64_t most_images = 999999;  // six digits of a DAIR-V2X-I file name
  check_range("train_images", options.train_images, 1, most_images);
  check_range("val_images", options.val_images, 0, most_images - options.train_images);
  check_range("width", options.width, 64, 4096);
  check_range("height", options.height, 64, 4096);
  check_range("threads", options.threads, 1, 64);
  return {.train_images = options.train_images,
          .val_images = options.val_images,
          .width = options.width,
          .height = options.height,
          .threads = options.threads,
          .seed = options.seed};
}

moe_status moe_data_generate(const char* kind, const char* root, const moe_generate_options* options) {
  return guard([&] {
    const std::string name(required_text(kind, "kind"));
    const std::string folder(required_text(root, "root"));
    const moe_generate_options read = read_struct(options, "options", moe_generate_options MOE_GENERATE_OPTIONS_INIT);
    check(name == "traffic", MOE_ERR_INVALID_ARGUMENT, "kind: expected \"traffic\", got ", quote(name),
          did_you_mean(name, {"traffic"}));
    generate_traffic(folder, traffic_options(read), make_log(read.log_fn, read.log_user));
  });
}

static moe_data_report data_report(const DataReport& found) {
  moe_data_report report = MOE_DATA_REPORT_INIT;
  report.pictures = found.pictures;
  report.objects = found.objects;
  report.problems = found.problems;
  report.excluded = found.excluded;
  return report;
}

moe_status moe_data_check(const moe_config* config, const char* list, moe_log_fn log_fn, void* user,
                          moe_data_report* out) {
  return guard([&] {
    require(config, "config");
    if (out) require_struct(out, "out");
    const std::string path(list ? required_text(list, "list") : "");
    const DataReport found = check_data(config->config, path, make_log(log_fn, user));
    if (out) write_struct(data_report(found), out);
  });
}
