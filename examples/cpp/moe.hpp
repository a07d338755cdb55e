// moe.hpp: libmoe for C++17 programs, header-only over moe.h alone (with the two headers beside it). Handles are
// move-only objects that free themselves, errors are exceptions, arrays are views, logs are functions, events and
// batches are ranges:
//
//     moe::Run run(moe::Config::load("configs/rtdetr/synthetic.yml"), "runs/first");
//     for (const moe_run_event& event : run.events()) std::puts(event.text);
//
// It adds to moe.h: no exception of a log function crosses the library (it is thrown when the call has returned); a
// handle that is closed, moved from, or in use (by another thread, or by the call whose log function asks) is an Error
// of MOE_ERR_STATE. It keeps from moe.h: its plain structs and constants, and what every call does; read that header
// for it. Destroying or moving a handle while another thread is in a call with it stays forbidden. Since 0.1
#pragma once

#include "moe_handle.hpp"

namespace moe {

// ------------------------------------------------------------------------------------------------------------- Library

inline std::string_view version() {
  return moe_version_string();
}
inline std::string build_info() {
  detail::check_library_once();
  return detail::text(&moe_build_info);
}
inline void set_threads(std::int32_t threads) {
  detail::check_library_once();
  check(moe_set_threads(threads));
}

// Writes a generated data set into a folder. options: log_fn and log_user are set here.
inline void generate(const std::string& kind, const std::string& root,
                     moe_generate_options options = MOE_GENERATE_OPTIONS_INIT, Log log = {}) {
  detail::check_library_once();
  detail::LogSink sink(std::move(log));
  options.log_fn = sink.function();
  options.log_user = &sink;
  const moe_status status = moe_data_generate(kind.c_str(), root.c_str(), &options);
  sink.rethrow();
  check(status);
}

// ------------------------------------------------------------------------------------------------------------- Configs

class Config : public Handle<moe_config, moe_config_free> {
 public:
  static Config load(const std::string& path) { return Config(moe_config_load, path.c_str()); }
  // name: stands for the file in messages; empty for "<memory>".
  static Config parse(std::string_view yaml, const std::string& name = {}) {
    return Config(moe_config_parse, yaml.data(), yaml.size(), name.empty() ? nullptr : name.c_str());
  }
  // task: empty for the keys that every task shares.
  static std::string describe(const std::string& task = {}) {
    detail::check_library_once();
    return detail::text(
        [&](auto... out) { return moe_config_describe(task.empty() ? nullptr : task.c_str(), out...); });
  }
  Config clone() const { return Config(moe_config_clone, lock().raw); }

  // value: YAML, such as "1e-4", "true" or "[1, 2]".
  Config& set(const std::string& key, const std::string& value) {
    run(moe_config_set, key.c_str(), value.c_str());
    return *this;
  }
  std::string get(const std::string& key) const { return text(moe_config_get, key.c_str()); }
  std::string origin(const std::string& key) const { return text(moe_config_origin, key.c_str()); }
  // flags: MOE_DUMP_*.
  std::string dump(std::int32_t flags = MOE_DUMP_VALUES) const { return text(moe_config_dump, flags); }

 private:
  friend class Session;
  template <typename Create, typename... Args>
  explicit Config(Create create, Args... args) {
    open(create, args...);
  }
};

// Looks once through the data set of the config; `list` names a file for the pictures to leave out, empty: none.
inline moe_data_report check_data(const Config& config, const std::string& list = {}, Log log = {}) {
  moe_data_report out = MOE_DATA_REPORT_INIT;
  detail::LogSink sink(std::move(log));
  const auto from = config.lock();
  const moe_status status =
      moe_data_check(from.raw, list.empty() ? nullptr : list.c_str(), sink.function(), &sink, &out);
  sink.rethrow();
  check(status);
  return out;
}

// A file of detections against a file of annotations, both in COCO's JSON.
inline std::vector<moe_metric> coco_evaluate(const std::string& annotations, const std::string& detections,
                                             Log log = {}) {
  detail::check_library_once();
  detail::LogSink sink(std::move(log));
  return detail::list<moe_metric>([&](auto... out) {
    const moe_status status =
        moe_coco_evaluate(annotations.c_str(), detections.c_str(), sink.function(), &sink, out...);
    sink.rethrow();
    return status;
  });
}

// ------------------------------------------------------------------------------------------------------------- Batches

// Calls the deleter of a DLPack tensor that nobody took. moe.h leaves the struct undefined: the library knows where it
// is.
struct DlpackDeleter {
  void operator()(DLManagedTensorVersioned* tensor) const noexcept { moe_batch_bind_dlpack(nullptr, nullptr, tensor); }
};
using DlpackTensor = std::unique_ptr<DLManagedTensorVersioned, DlpackDeleter>;

class Batch : public Handle<moe_batch, moe_batch_free> {
 public:
  Batch() { open(moe_batch_create); }

  // Copies what the view shows.
  Batch& set(const std::string& name, const View& view) {
    const moe_tensor_view raw = view.raw();
    run(moe_batch_set, name.c_str(), &raw);
    return *this;
  }
  // Copies the elements of a vector, array or span.
  template <typename Values>
  Batch& set(const std::string& name, const Values& values, Sizes shape) {
    return set(name, view(values, shape));
  }
  // Takes the tensor over without a copy; its memory must not be written while it is bound.
  Batch& bind_dlpack(const std::string& name, DlpackTensor tensor) {
    const auto into = lock();
    check(moe_batch_bind_dlpack(into.raw, name.c_str(), tensor.release()));
    return *this;
  }
  // Shares the memory of the batch, also after the batch is gone; it must not be written.
  DlpackTensor export_dlpack(const std::string& name) const {
    return DlpackTensor(value(static_cast<DLManagedTensorVersioned*>(nullptr), moe_batch_export_dlpack, name.c_str()));
  }
  std::int32_t size() const { return value(std::int32_t{0}, moe_batch_count); }
  moe_tensor_info info(std::int32_t index) const {
    return value(moe_tensor_info MOE_TENSOR_INFO_INIT, moe_batch_info_at, index);
  }
  moe_tensor_info info(const std::string& name) const {
    return value(moe_tensor_info MOE_TENSOR_INFO_INIT, moe_batch_info, name.c_str());
  }
  // A copy. Throws MOE_ERR_DTYPE when the tensor holds another type.
  template <typename T>
  Tensor<T> read(const std::string& name) const {
    static_assert(!std::is_same_v<T, bool>, "a vector of bool has no elements; read_into() an array");
    const moe_tensor_info tensor = info(name);
    Tensor<T> out;
    out.shape.assign(tensor.shape, tensor.shape + tensor.ndim);
    out.data.resize(tensor.bytes / sizeof(T));
    read_into(name, Span<T>(out.data));
    return out;
  }
  // The same into memory at hand; returns the number of elements.
  template <typename T>
  std::size_t read_into(const std::string& name, Span<T> out) const {
    const moe_tensor_info tensor = info(name);
    if (tensor.dtype != dtype_of<T>()) {
      throw Error(MOE_ERR_DTYPE, name + ": expected to be read as dtype " + std::to_string(tensor.dtype) +
                                     ", got dtype " + std::to_string(dtype_of<T>()));
    }
    run(moe_batch_read, name.c_str(), out.data(), out.size() * sizeof(T), nullptr);
    return tensor.bytes / sizeof(T);
  }
  void clear() { run(moe_batch_clear); }
};

// ------------------------------------------------------------------------------------------------------------- Loaders

class Loader : public Handle<moe_loader, moe_loader_free> {
 public:
  // split: "train" or "val".
  Loader(const Config& config, const std::string& split) {
    const auto from = config.lock();
    open(moe_loader_create, from.raw, split.c_str());
  }
  // Image files without labels, for prediction.
  Loader(const Config& config, const std::vector<std::string>& paths) {
    std::vector<const char*> names;
    for (const std::string& path : paths) names.push_back(path.c_str());
    const auto from = config.lock();
    open(moe_loader_create_files, from.raw, names.data(), names.size());
  }

  // Fills the batch; false after the last one of the epoch.
  bool next(Batch& batch) {
    const auto out = batch.lock();
    return advance(moe_loader_next, out.raw);
  }
  // The batches of one epoch: for (moe::Batch& batch : loader.epoch()).
  detail::Range<Loader, Batch> epoch() { return {*this, Batch()}; }

  // Broken samples, odd annotations and what the split holds; an empty function for silence.
  void on_log(Log log) {
    auto sink = std::make_unique<detail::LogSink>(std::move(log));
    check(call(moe_loader_set_log, sink->function(), static_cast<void*>(sink.get())));
    adopt(std::move(sink));
    rethrow();
  }
  std::int64_t samples() const { return value(std::int64_t{0}, samples_of); }
  std::int64_t batches() const { return value(std::int64_t{0}, moe_loader_size, nullptr); }
  std::string file_name(std::int64_t image_id) const { return text(moe_loader_file_name, image_id); }
  std::int64_t broken() const { return value(std::int64_t{0}, moe_loader_broken); }

 private:
  static moe_status samples_of(const moe_loader* loader, std::int64_t* out) {
    return moe_loader_size(loader, out, nullptr);
  }
};

// ------------------------------------------------------------------------------------------------------------ Sessions

class Session : public Handle<moe_session, moe_session_free> {
 public:
  explicit Session(const Config& config, Log log = {}) {
    const moe_session_options options = options_for(std::move(log));
    const auto from = config.lock();
    open(moe_session_create, from.raw, &options);
  }
  // From a checkpoint file or a run folder, with the settings stored there.
  explicit Session(const std::string& path, Log log = {}) {
    const moe_session_options options = options_for(std::move(log));
    open(moe_session_open, path.c_str(), &options);
  }

  Config config() const { return Config(moe_session_config, lock().raw); }
  std::string describe_batch() const { return text(moe_session_describe_batch); }

  // Queues a micro-batch; step() trains on all that are queued, all or nothing.
  void feed(const Batch& batch) {
    const auto from = batch.lock();
    run(moe_session_feed, from.raw);
  }
  moe_step_info step() {
    moe_step_info out;
    moe_step_info_init(&out);
    return value(out, moe_session_step);
  }
  void discard() { run(moe_session_discard); }
  Batch predict(const Batch& batch) {
    Batch out;
    const auto from = batch.lock();
    run(moe_session_predict, from.raw, out.raw());
    return out;
  }
  std::vector<moe_metric> evaluate(Loader& loader) {
    const auto from = loader.lock();
    return list<moe_metric>([&](moe_session* raw, auto... out) {
      const moe_status status = moe_session_evaluate(raw, from.raw, out...);
      loader.rethrow();
      return status;
    });
  }
  // Sample `index` of the batch with its predictions from min_score up, as a PNG file.
  void draw(const Batch& batch, const Batch& prediction, std::int64_t index, double min_score,
            const std::string& path) {
    const auto from = batch.lock(), found = prediction.lock();
    run(moe_session_draw, from.raw, found.raw, index, min_score, path.c_str());
  }

  void save(const std::string& path) { run(moe_session_save, path.c_str()); }
  void load(const std::string& path) { run(moe_session_load, path.c_str()); }
  // The weights alone, for other programs. format: "own" or "transformers".
  void export_weights(const std::string& format, const std::string& path) {
    run(moe_session_export, format.c_str(), path.c_str());
  }
  std::string get(const std::string& key) const { return text(moe_session_get, key.c_str()); }
  void set(const std::string& key, const std::string& value) { run(moe_session_set, key.c_str(), value.c_str()); }
  // From any thread or a signal handler, while the session lives.
  void request_stop() noexcept { moe_session_request_stop(unchecked_raw()); }

  std::int32_t layers() const { return value(std::int32_t{0}, moe_session_layer_count); }
  moe_layer_info layer(std::int32_t index) const {
    return value(moe_layer_info MOE_LAYER_INFO_INIT, moe_session_layer_info, index);
  }
  std::string expert_name(std::int32_t layer, std::int32_t expert) const {
    return text(moe_session_expert_name, layer, expert);
  }
  // window, here and below: MOE_WINDOW_*.
  std::vector<moe_expert_stat> expert_stats(std::int32_t layer, std::int32_t window) const {
    return list<moe_expert_stat>(moe_session_expert_stats, layer, window);
  }
  moe_layer_stat layer_stats(std::int32_t layer, std::int32_t window) const {
    return value(moe_layer_stat MOE_LAYER_STAT_INIT, moe_session_layer_stats, layer, window);
  }
  // classes x experts, row-major.
  std::vector<std::int64_t> class_routing(std::int32_t layer, std::int32_t window) const {
    return list<std::int64_t>(moe_session_class_routing, layer, window);
  }
  // experts x experts, row-major.
  std::vector<std::int64_t> coactivation(std::int32_t layer, std::int32_t window) const {
    return list<std::int64_t>(moe_session_coactivation, layer, window);
  }
  void stats_reset() { run(moe_session_stats_reset); }

 private:
  friend class Run;
  Session(moe_session* of_run, std::shared_ptr<std::atomic<bool>> busy) : Handle(of_run, std::move(busy)) {}

  moe_session_options options_for(Log log) {
    detail::LogSink* sink = log_to(std::move(log));
    return {sizeof(moe_session_options), 0, sink->function(), sink};
  }
};

// ---------------------------------------------------------------------------------------------------------------- Runs

class Run : public Handle<moe_run, moe_run_close> {
 public:
  // mode: MOE_RUN_*.
  Run(const Config& config, const std::string& folder, std::int32_t mode = MOE_RUN_AUTO, Log log = {}) {
    const auto from = config.lock();
    open_in(from.raw, folder, mode, std::move(log));
  }
  // Goes on with the settings stored in the folder.
  static Run resume(const std::string& folder, Log log = {}) { return Run(folder, std::move(log)); }

  // Works until the next event; false when the run is complete. Throws MOE_ERR_CANCELLED after request_stop().
  bool next(moe_run_event& event) { return advance(moe_run_next, &event); }
  // What is left of the run: for (const moe_run_event& event : run.events()).
  detail::Range<Run, moe_run_event> events() { return {*this, moe_run_event MOE_RUN_EVENT_INIT}; }

  // The run's own session, for use between two events; it must not be used after the run is gone.
  Session session() { return Session(value(static_cast<moe_session*>(nullptr), moe_run_session), busy()); }
  // From any thread or a signal handler, while the run lives.
  void request_stop() noexcept { moe_run_request_stop(unchecked_raw()); }

 private:
  Run(const std::string& folder, Log log) { open_in(nullptr, folder, MOE_RUN_RESUME, std::move(log)); }

  void open_in(const moe_config* config, const std::string& folder, std::int32_t mode, Log log) {
    detail::LogSink* sink = log_to(std::move(log));
    const moe_run_options options = {sizeof(moe_run_options), mode, sink->function(), sink};
    open(moe_run_open, config, folder.c_str(), &options);
  }
};

}  // namespace moe
