// What a session keeps: checkpoints, digests and values by key.
#include <torch/torch.h>

#include <cstring>
#include <set>

#include "base/files.h"
#include "train/run.h"
#include "train/schema.h"
#include "train/session.h"

namespace moe {

static constexpr const char* checkpoint_format = "moe-checkpoint";
static constexpr int64_t checkpoint_version = 1;

static void append(NamedTensors& out, const std::string& prefix, const NamedTensors& more) {
  for (const auto& [name, tensor] : more) out.emplace_back(prefix + name, tensor.detach());
}

NamedTensors Session::live_tensors() const {
  NamedTensors out;
  append(out, "model.", weights_);
  append(out, "model.", buffers_);
  if (ema_) append(out, "ema.", ema_->averages());
  append(out, "optimizer.", optimizer_->state());
  return out;
}

static at::Tensor counts_tensor(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}
static at::Tensor sums_tensor(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble);
}

SafetensorsFile Session::snapshot(const std::map<std::string, std::string>& extra) const {
  SafetensorsFile file;
  file.metadata = extra;
  file.metadata["format"] = checkpoint_format;
  file.metadata["version"] = std::to_string(checkpoint_version);
  file.metadata["library"] = text(MOE_VERSION_MAJOR, ".", MOE_VERSION_MINOR, ".", MOE_VERSION_PATCH);
  file.metadata["config"] = config_.dump(false);
  file.metadata["classes"] = join(task_->class_names(), "\n");
  file.metadata["pretrained"] = join(pretrained_.loaded, "\n");
  file.metadata["threads"] = std::to_string(at::get_num_threads());
  file.metadata["step"] = std::to_string(steps_);
  file.metadata["samples"] = std::to_string(samples_);
  file.metadata["epoch"] = std::to_string(epoch_);
  file.metadata["optimizer_steps"] = std::to_string(optimizer_->steps());
  file.metadata["ema_updates"] = std::to_string(ema_ ? ema_->updates() : 0);
  file.metadata["scaler.enabled"] = scaler_->enabled() ? "true" : "false";
  file.metadata["scaler.scale"] = format_double(scaler_->scale());
  file.metadata["scaler.good_steps"] = std::to_string(scaler_->good_steps());
  for (const ParameterGroup& group : optimizer_->groups()) file.metadata["lr." + group.name] = format_double(group.lr);
  file.tensors = live_tensors();
  for (const RoutingStats* stats : routing_) {
    file.tensors.emplace_back("stats." + stats->name() + ".counts", counts_tensor(stats->save_counts()));
    file.tensors.emplace_back("stats." + stats->name() + ".sums", sums_tensor(stats->save_sums()));
  }
  return file;
}

void Session::save(const std::string& path, const std::map<std::string, std::string>& extra) {
  save_safetensors(path, snapshot(extra));
}

void Session::export_weights(const std::string& format, const std::string& path) {
  std::vector<std::string> formats = task_->export_formats();
  formats.insert(formats.begin(), "own");
  check(std::ranges::find(formats, format) != formats.end(), MOE_ERR_INVALID_ARGUMENT, "format: expected one of ",
        join(formats, ", "), ", got ", quote(format), did_you_mean(format, formats));
  const Ema::Swap averaged(ema_.get());
  NamedTensors weights;
  append(weights, "", model_tensors());
  if (format == "own") return save_safetensors(path, {{{"classes", join(task_->class_names(), "\n")}}, weights});
  const ExportedModel model = task_->export_as(format, weights);
  make_directories(path);
  save_safetensors(join_path(path, "model.safetensors"), {model.metadata, model.tensors});
  for (const auto& [name, text] : model.files) write_file_atomic(join_path(path, name), text);
}

namespace {

// Reads the metadata of a checkpoint; every problem names the file and the key.
class Metadata {
 public:
  Metadata(const SafetensorsFile& file, const std::string& path) : file_(file), path_(path) {
    const auto format = file.metadata.find("format");
    check(format != file.metadata.end() && format->second == checkpoint_format, MOE_ERR_DATA, path,
          ": expected a checkpoint of libmoe, got a safetensors file without its metadata");
    const int64_t version = integer("version");
    check(version <= checkpoint_version, MOE_ERR_VERSION, path, ": expected a checkpoint of version ",
          checkpoint_version, " or older, got ", version, "; a newer libmoe wrote it");
  }

  const std::string& str(const std::string& key) const {
    const auto it = file_.metadata.find(key);
    check(it != file_.metadata.end(), MOE_ERR_DATA, path_, ": expected ", quote(key), " in the metadata, got none");
    return it->second;
  }

  int64_t integer(const std::string& key) const {
    const std::optional<int64_t> value = parse_int(str(key));
    check(value.has_value() && *value >= 0, MOE_ERR_DATA, path_, ": ", key, ": expected an integer >= 0, got ",
          quote(str(key)));
    return *value;
  }

  double number(const std::string& key) const {
    const std::optional<double> value = parse_double(str(key));
    check(value.has_value(), MOE_ERR_DATA, path_, ": ", key, ": expected a number, got ", quote(str(key)));
    return *value;
  }

 private:
  const SafetensorsFile& file_;
  const std::string& path_;
};

// One copy to make: checked and laid out like its target, so that doing it cannot fail.
struct PlannedCopy {
  at::Tensor to;
  at::Tensor from;
};

PlannedCopy plan_copy(const std::string& path, const SafetensorsFile& file, const std::string& name,
                      const at::Tensor& to) {
  const at::Tensor* from = file.find(name);
  check(from != nullptr, MOE_ERR_DATA, path, ": expected a tensor ", name, " ", shape_text(to.sizes()),
        ", got none: the checkpoint is of another model");
  check(from->sizes() == to.sizes(), MOE_ERR_DATA, path, ": ", name, ": expected ", shape_text(to.sizes()), ", got ",
        shape_text(from->sizes()), ": the checkpoint is of another model");
  check(from->scalar_type() == to.scalar_type(), MOE_ERR_DATA, path, ": ", name, ": expected ",
        c10::toString(to.scalar_type()), ", got ", c10::toString(from->scalar_type()));
  at::Tensor same_layout = at::empty_like(to);
  same_layout.copy_(*from);
  return {to, same_layout};
}

struct PlannedStats {
  RoutingStats* stats;
  std::vector<int64_t> counts;
  std::vector<double> sums;
};

PlannedStats plan_stats(const std::string& path, const SafetensorsFile& file, RoutingStats* stats) {
  const at::Tensor* counts = file.find("stats." + stats->name() + ".counts");
  const at::Tensor* sums = file.find("stats." + stats->name() + ".sums");
  const bool good = counts && sums && counts->scalar_type() == at::kLong && sums->scalar_type() == at::kDouble &&
                    counts->numel() == static_cast<int64_t>(stats->save_counts().size()) &&
                    sums->numel() == static_cast<int64_t>(stats->save_sums().size());
  check(good, MOE_ERR_DATA, path, ": stats.", stats->name(), ": expected the expert statistics of this model");
  const int64_t* count_values = counts->const_data_ptr<int64_t>();
  const double* sum_values = sums->const_data_ptr<double>();
  return {stats, {count_values, count_values + counts->numel()}, {sum_values, sum_values + sums->numel()}};
}

std::vector<std::string> lines(const std::string& text) {
  return text.empty() ? std::vector<std::string>() : split(text, '\n');
}

// What the session would not take over belongs to a larger model, or to other settings of the same. Weights are named
// before what follows from them.
void check_all_known(const std::string& path, const SafetensorsFile& file, const std::set<std::string>& known) {
  for (const char* prefix : {"model.", ""}) {
    for (const auto& tensor : file.tensors) {
      check(!tensor.first.starts_with(prefix) || known.contains(tensor.first), MOE_ERR_DATA, path,
            ": expected no tensor ", tensor.first, ": the checkpoint is of another model");
    }
  }
}

}  // namespace

void Session::restore(const SafetensorsFile& file, const std::string& path) {
  const Metadata metadata(file, path);
  const std::string classes = join(task_->class_names(), "\n");
  check(metadata.str("classes") == classes, MOE_ERR_DATA, path, ": expected a checkpoint of the classes ",
        join(task_->class_names(), ", "), ", got ", join(lines(metadata.str("classes")), ", "));
  at::NoGradGuard no_grad;
  std::set<std::string> known;
  std::vector<PlannedCopy> copies;
  for (const auto& [name, tensor] : live_tensors()) {
    copies.push_back(plan_copy(path, file, name, tensor));
    known.insert(name);
  }
  std::vector<PlannedStats> planned;
  for (RoutingStats* stats : routing_) {
    planned.push_back(plan_stats(path, file, stats));
    known.insert({"stats." + stats->name() + ".counts", "stats." + stats->name() + ".sums"});
  }
  check_all_known(path, file, known);
  std::vector<double> rates;
  for (const ParameterGroup& group : optimizer_->groups()) rates.push_back(metadata.number("lr." + group.name));
  const int64_t steps = metadata.integer("step"), samples = metadata.integer("samples"),
                epoch = metadata.integer("epoch");
  const int64_t optimizer_steps = metadata.integer("optimizer_steps"), ema_updates = metadata.integer("ema_updates");
  const int64_t good_steps = metadata.integer("scaler.good_steps");
  const bool had_scaler = metadata.str("scaler.enabled") == "true";
  if (scaler_->enabled() && had_scaler) scaler_->restore(metadata.number("scaler.scale"), good_steps);

  for (const PlannedCopy& copy : copies) std::memcpy(copy.to.data_ptr(), copy.from.data_ptr(), copy.from.nbytes());
  for (PlannedStats& stats : planned) stats.stats->load(stats.counts, stats.sums);
  for (size_t i = 0; i < rates.size(); ++i) optimizer_->groups()[i].lr = rates[i];
  optimizer_->set_steps(optimizer_steps);
  if (ema_) ema_->set_updates(ema_updates);
  steps_ = steps;
  samples_ = samples;
  epoch_ = epoch;
  window_.clear();
}

std::map<std::string, std::string> Session::load(const std::string& path) {
  const std::string name = checkpoint_of(path);
  const SafetensorsFile file = load_safetensors(name);
  restore(file, name);
  return file.metadata;
}

std::unique_ptr<Session> Session::open(const SafetensorsFile& file, const std::string& path, const Config* config,
                                       Log log) {
  const Metadata metadata(file, path);
  const std::vector<std::string> pretrained = lines(metadata.str("pretrained"));
  Config settings = config ? *config : Config::parse(metadata.str("config"), path, task_schema);
  std::unique_ptr<Session> session(new Session(std::move(settings), std::move(log), &pretrained));
  session->restore(file, path);
  return session;
}

std::unique_ptr<Session> Session::open(const std::string& path, Log log) {
  const std::string file = checkpoint_of(path);
  try {
    return open(load_safetensors(file), file, nullptr, std::move(log));
  } catch (const Error& error) {
    if (file == path || error.status() != MOE_ERR_DATA) throw;
    fail(MOE_ERR_DATA, error.what(), "; try another checkpoint of the run in ", join_path(path, "checkpoints"));
  }
}

uint64_t Session::digest() const {
  uint64_t hash = mix64(static_cast<uint64_t>(steps_));
  for (const auto& [name, tensor] : live_tensors()) {
    hash = hash64(name, hash);
    const at::Tensor dense = tensor.contiguous();
    const auto* bytes = static_cast<const unsigned char*>(dense.data_ptr());
    for (size_t i = 0; i < dense.nbytes(); i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, bytes + i, std::min<size_t>(8, dense.nbytes() - i));
      hash = mix64(hash ^ word);
    }
  }
  return hash;
}

static std::string hex(uint64_t value) {
  char buffer[20];
  std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(value));
  return buffer;
}

static int64_t count_values(const NamedTensors& tensors, bool trainable_only) {
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors) count += !trainable_only || tensor.requires_grad() ? tensor.numel() : 0;
  return count;
}

static const std::vector<std::string> session_keys = {
    "state.step",       "state.epoch",     "state.samples",           "state.digest",
    "model.parameters", "model.trainable", "model.active_parameters", "model.multiply_adds",
    "model.summary",    "model.classes",   "model.pretrained",        "optimizer.groups",
    "scaler.scale"};

// "optimizer.groups.new.lr" -> {"new", "lr"}; group names may hold dots and slashes.
static std::optional<std::pair<std::string, std::string>> group_key(const std::string& key) {
  const std::string prefix = "optimizer.groups.";
  const size_t dot = key.rfind('.');
  if (!key.starts_with(prefix) || dot < prefix.size()) return std::nullopt;
  return std::pair(key.substr(prefix.size(), dot - prefix.size()), key.substr(dot + 1));
}

static const ParameterGroup& find_group(const std::vector<ParameterGroup>& groups, const std::string& name) {
  std::vector<std::string> names;
  for (const ParameterGroup& group : groups) {
    if (group.name == name) return group;
    names.push_back(group.name);
  }
  fail(MOE_ERR_NOT_FOUND, "optimizer.groups: expected one of ", join(names, ", "), ", got ", quote(name));
}

static int64_t group_size(const Optimizer& optimizer, const ParameterGroup& group) {
  int64_t count = 0;
  for (const size_t member : group.members) count += optimizer.parameters()[member].tensor.numel();
  return count;
}

std::string Session::get(const std::string& key) const {
  if (key == "state.step") return std::to_string(steps_);
  if (key == "state.epoch") return std::to_string(epoch_);
  if (key == "state.samples") return std::to_string(samples_);
  if (key == "state.digest") return hex(digest());
  if (key == "model.parameters") return std::to_string(count_values(weights_, false));
  if (key == "model.trainable") return std::to_string(count_values(weights_, true));
  if (key == "model.active_parameters" || key == "model.multiply_adds") {
    const std::optional<ModelCost> cost = task_->cost();
    check(cost.has_value(), MOE_ERR_UNSUPPORTED, key, ": expected a task that counts them, got ", config_.task());
    return std::to_string(key == "model.multiply_adds" ? cost->multiply_adds : cost->active_parameters);
  }
  if (key == "model.summary") return task_->summary();
  if (key == "model.classes") return join(task_->class_names(), "\n");
  if (key == "model.pretrained") return pretrained_.lines();
  if (key == "scaler.scale") return format_double(scaler_->scale());
  if (key == "optimizer.groups") {
    std::vector<std::string> names;
    for (const ParameterGroup& group : optimizer_->groups()) names.push_back(group.name);
    return join(names, "\n");
  }
  if (const auto part = group_key(key)) {
    const ParameterGroup& group = find_group(optimizer_->groups(), part->first);
    if (part->second == "lr") return format_double(group.lr);
    if (part->second == "weight_decay") return format_double(group.weight_decay);
    if (part->second == "parameters") return std::to_string(group_size(*optimizer_, group));
  }
  fail(MOE_ERR_NOT_FOUND, "session: expected one of ", join(session_keys, ", "),
       " or optimizer.groups.NAME.{lr,weight_decay,parameters}, got ", quote(key), did_you_mean(key, session_keys));
}

void Session::set(const std::string& key, const std::string& value) {
  const auto part = group_key(key);
  if (part && part->second == "lr") {
    find_group(optimizer_->groups(), part->first);
    const std::optional<double> rate = parse_double(value);
    check(rate && *rate > 0, MOE_ERR_INVALID_ARGUMENT, key, ": expected a number > 0, got ", quote(value));
    for (ParameterGroup& group : optimizer_->groups()) {
      if (group.name == part->first || group.name == part->first + "/no_decay") group.lr = *rate;
    }
    return;
  }
  if (key == "state.epoch") {
    const std::optional<int64_t> epoch = parse_int(value);
    check(epoch && *epoch >= 0, MOE_ERR_INVALID_ARGUMENT, key, ": expected an integer >= 0, got ", quote(value));
    epoch_ = *epoch;
    return;
  }
  if (key == "eval.save") {
    if (!value.empty()) make_directories(value);
    save_evaluations_ = value;
    return;
  }
  fail(MOE_ERR_NOT_FOUND, "session: expected optimizer.groups.NAME.lr, state.epoch or eval.save, got ", quote(key));
}

}  // namespace moe
