// COCO evaluation of two files.
#include "buffers.h"
#include "eval/coco_files.h"
#include "guard.h"
#include "handles.h"
#include "metrics.h"

using namespace moe;
using namespace moe::capi;

static Log silent_until(bool wanted, moe_log_fn log_fn, void* user) {
  return wanted ? make_log(log_fn, user) : Log();
}

moe_status moe_coco_evaluate(const char* annotations, const char* detections, moe_log_fn log_fn, void* user,
                             moe_metric* metrics, size_t capacity, size_t* count) {
  return guard([&] {
    const std::string truth(required_text(annotations, "annotations"));
    const std::string found(required_text(detections, "detections"));
    const Log log = silent_until(metrics != nullptr, log_fn, user);  // a size query says nothing
    CocoFiles files = read_coco_annotations(truth, log);
    if (!wants(metrics, capacity, coco_file_metrics(files).size(), count, "elements")) return;
    read_coco_detections(found, truth, files, log);
    write_array(public_metrics(evaluate_coco_files(files)), metrics, capacity, count);
  });
}
