#include "train/pretrained.h"

#include <ATen/ATen.h>

#include <fstream>
#include <map>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "train/patterns.h"
#include "train/safetensors.h"
#include "train/torch_file.h"

namespace moe {

namespace {

constexpr size_t kShown = 3;  // names in the line of the log

// Weights stand below "model.", averages below "ema."; an average replaces its weight.
WeightsFile checkpoint_weights(const SafetensorsFile& file) {
  std::map<std::string, at::Tensor> found;
  WeightsFile out;
  for (const std::string prefix : {"model.", "ema."}) {
    for (const auto& [name, tensor] : file.tensors) {
      if (!name.starts_with(prefix)) continue;
      found[name.substr(prefix.size())] = tensor;
      out.part = prefix.substr(0, prefix.size() - 1);
    }
  }
  out.tensors.assign(found.begin(), found.end());
  return out;
}

std::string first_bytes(const std::string& path) {
  check(exists(path), MOE_ERR_NOT_FOUND, path, ": expected a file of weights, got none");
  std::ifstream file(path, std::ios::binary);
  std::string bytes(2, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes.substr(0, static_cast<size_t>(file.gcount()));
}

}  // namespace

WeightsFile load_weights(const std::string& path) {
  const std::string start = first_bytes(path);
  if (start == "PK") {
    TorchFile file = load_torch_file(path);
    return {file.part, std::move(file.tensors)};
  }
  check(start.empty() || start[0] != '\x80', MOE_ERR_DATA, path,
        ": expected safetensors or the zip format of torch.save, got a pickle of PyTorch before 1.6: load it there and "
        "save it again");
  SafetensorsFile file = load_safetensors(path);
  const auto format = file.metadata.find("format");
  if (format != file.metadata.end() && format->second == "moe-checkpoint") return checkpoint_weights(file);
  return {"", std::move(file.tensors)};
}

namespace {

// One tensor of the model with what the file has for it.
struct Found {
  std::string name;
  at::Tensor to, from;
};

class Matcher {
 public:
  Matcher(const std::string& path, const Task& task, const WeightsFile& file) : path_(path), task_(task) {
    for (const auto& [name, tensor] : file.tensors) file_[name] = tensor;
  }

  // Looks a tensor up under all its names and sorts it into the report.
  void match(const std::string& name, const at::Tensor& to) {
    const at::Tensor from = find(name);
    if (!from.defined()) {
      report_.missing.push_back(name);
    } else if (from.sizes() == to.sizes()) {
      found_.push_back({name, to, from});
      report_.loaded.push_back(name);
    } else {
      check(task_.is_head(name), MOE_ERR_DATA, path_, ": ", name, ": expected ", shape_text(to.sizes()), ", got ",
            shape_text(from.sizes()), ": only heads may differ; model.pretrained_only chooses what is loaded");
      report_.misshaped.push_back(text(name, ": file ", shape_text(from.sizes()), ", model ", shape_text(to.sizes())));
    }
  }

  PretrainedReport finish() {
    check(!found_.empty(), MOE_ERR_DATA, path_, ": expected tensors of this model, got ", file_.size(),
          " others, none of them by a known name",
          file_.empty() ? "" : ", the first is " + quote(file_.begin()->first));
    for (const auto& [name, tensor] : file_) {
      if (used_.count(name) == 0 && !task_.is_redundant(name)) report_.unexpected.push_back(name);
    }
    const at::NoGradGuard no_grad;
    for (const Found& item : found_) at::Tensor(item.to).copy_(item.from);
    return std::move(report_);
  }

 private:
  at::Tensor find(const std::string& name) {
    std::vector<TensorParts> spellings = task_.other_names(name);
    spellings.insert(spellings.begin(), TensorParts{name});
    for (const TensorParts& parts : spellings) {
      std::vector<at::Tensor> values;
      for (const std::string& part : parts) {
        const auto it = file_.find(part);
        if (it == file_.end()) break;
        check(it->second.is_floating_point(), MOE_ERR_DATA, path_, ": ", quote(part), ": expected floats, got ",
              c10::toString(it->second.scalar_type()), ": quantised weights are not read");
        values.push_back(it->second);
      }
      if (values.size() != parts.size()) continue;
      used_.insert(parts.begin(), parts.end());
      return values.size() == 1 ? values[0] : at::cat(values, 0);
    }
    return {};
  }

  const std::string& path_;
  const Task& task_;
  std::map<std::string, at::Tensor> file_;
  std::set<std::string> used_;
  std::vector<Found> found_;
  PretrainedReport report_;
};

// ", 7 missing (a, b, c, ...)"
std::string some(const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  const std::vector<std::string> first(names.begin(),
                                       names.begin() + static_cast<int64_t>(std::min(kShown, names.size())));
  return text(", ", names.size(), " ", what, " (", join(first, ", "), names.size() > kShown ? ", ...)" : ")");
}

}  // namespace

std::string PretrainedReport::lines() const {
  std::string out;
  const auto add = [&](const char* what, const std::vector<std::string>& names) {
    for (const std::string& name : names) out += (out.empty() ? "" : "\n") + text(what, " ", name);
  };
  add("loaded", loaded);
  add("mis-shaped", misshaped);
  add("missing", missing);
  add("unexpected", unexpected);
  return out;
}

PretrainedReport load_pretrained(const Config& config, const Task& task, const NamedTensors& targets, const Log& log) {
  const std::string path = config.text("model.pretrained");
  const WeightsFile file = load_weights(path);
  const Patterns only(config, "model.pretrained_only");
  Matcher matcher(path, task, file);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : targets) {
    names.push_back(name);
    if (only.empty() || only.match(name)) matcher.match(name, tensor);
  }
  only.check_used(config, names);
  const PretrainedReport report = matcher.finish();
  log_line(log, MOE_LOG_INFO,
           text("pretrained: ", report.loaded.size(), " of ", targets.size(), " tensors from ", path,
                file.part.empty() ? "" : " (" + file.part + ")", some("mis-shaped", report.misshaped),
                some("missing", report.missing), some("unexpected", report.unexpected)));
  return report;
}

}  // namespace moe
