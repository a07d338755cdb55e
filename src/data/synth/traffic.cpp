// The data set's files. A scene depends on its split and number alone, so threads may render in any order. The two
// lists come last: a folder without them is an unfinished set.
#include "data/synth/traffic.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/files.h"

namespace moe {

static constexpr int jpeg_quality = 90;

static void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  check(value >= low && value <= high, MOE_ERR_INVALID_ARGUMENT, "traffic: expected ", name, " from ", low, " to ",
        high, ", got ", value);
}

static void check_options(const TrafficOptions& options) {
  check_range("train_images", options.train_images, 1, 999999);
  check_range("val_images", options.val_images, 0, 999999 - options.train_images);
  check_range("width", options.width, 64, 4096);
  check_range("height", options.height, 64, 4096);
  check_range("threads", options.threads, 1, 64);
}

static std::string image_id(int64_t index) {
  const std::string digits = std::to_string(index);
  return std::string(6 - std::min<size_t>(6, digits.size()), '0') + digits;
}

static std::string field(const char* name, double value) {
  return text("\"", name, "\":\"", format_double(value), "\"");
}

static std::string label_json(const TrafficObject& object) {
  const double alpha = std::remainder(object.rotation - std::atan2(object.y, object.x), 2 * M_PI);
  return text("{\"type\":\"", object.type, "\",", field("occluded_state", object.occluded_state), ",",
              field("truncated_state", object.truncated_state), ",", field("alpha", alpha), ",\"2d_box\":{",
              field("xmin", object.xmin), ",", field("ymin", object.ymin), ",", field("xmax", object.xmax), ",",
              field("ymax", object.ymax), "},\"3d_dimensions\":{", field("h", object.height), ",",
              field("w", object.width), ",", field("l", object.length), "},\"3d_location\":{", field("x", object.x),
              ",", field("y", object.y), ",", field("z", object.z), "},", field("rotation", object.rotation), "}");
}

static void write_scene(const std::string& root, const TrafficOptions& options, int64_t index) {
  const bool training = index < options.train_images;
  const Rng rng(options.seed, training ? "traffic-train" : "traffic-val",
                static_cast<uint64_t>(training ? index : index - options.train_images));
  std::vector<TrafficObject> objects;
  const Image image = render_scene(options, rng, objects);
  std::vector<std::string> labels;
  for (const TrafficObject& object : objects) labels.push_back(label_json(object));
  write_jpeg(join_path(root, "image/" + image_id(index) + ".jpg"), image, jpeg_quality);
  write_file_atomic(join_path(root, "label/camera/" + image_id(index) + ".json"), "[" + join(labels, ",\n") + "]\n");
}

static std::string data_info(int64_t count) {
  std::vector<std::string> entries;
  for (int64_t i = 0; i < count; ++i) {
    const std::string id = image_id(i);
    entries.push_back(text("{\"image_path\":\"image/", id, ".jpg\",\"image_timestamp\":\"",
                           1600000000000000 + i * 100000, "\",\"label_camera_std_path\":\"label/camera/", id,
                           ".json\"}"));
  }
  return "[" + join(entries, ",\n") + "]\n";
}

static std::string id_list(int64_t begin, int64_t end) {
  std::vector<std::string> ids;
  for (int64_t i = begin; i < end; ++i) ids.push_back("\"" + image_id(i) + "\"");
  return "[" + join(ids, ",") + "]";
}

// Runs work(0) .. work(count - 1) on several threads; the first exception stops all of them and is thrown here.
template <typename Work>
static void run_parallel(int64_t count, int64_t threads, Work work) {
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto loop = [&] {
    try {
      for (int64_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::jthread> helpers;
  for (int64_t i = 1; i < std::min(threads, count); ++i) helpers.emplace_back(loop);
  loop();
  helpers.clear();
  if (failure) std::rethrow_exception(failure);
}

void generate_traffic(const std::string& root, const TrafficOptions& options, const Log& log) {
  check_options(options);
  check(!exists(root) || is_directory(root), MOE_ERR_STATE, "traffic: expected a folder, got the file ", quote(root));
  check(!exists(root) || list_directory(root).empty(), MOE_ERR_STATE,
        "traffic: expected an empty or new folder, got files in ", quote(root));
  make_directories(join_path(root, "image"));
  make_directories(join_path(root, "label/camera"));

  const int64_t count = options.train_images + options.val_images, report = std::max<int64_t>(1, count / 10);
  const auto log_done = [&](int64_t done) {
    log_line(log, MOE_LOG_INFO, text("traffic: ", done, " of ", count, " scenes"));
  };
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int64_t> done{0};
  int64_t logged = 0;  // the caller's thread alone logs
  run_parallel(count, options.threads, [&](int64_t index) {
    write_scene(root, options, index);
    const int64_t now = ++done;
    if (std::this_thread::get_id() != caller || now / report == logged / report || now == count) return;
    logged = now;
    log_done(now);
  });
  log_done(count);
  write_file_atomic(join_path(root, "split_data.json"),
                    text("{\"train\":", id_list(0, options.train_images),
                         ",\n\"val\":", id_list(options.train_images, count), ",\n\"test\":[]}\n"));
  write_file_atomic(join_path(root, "data_info.json"), data_info(count));
}

}  // namespace moe
