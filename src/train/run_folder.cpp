#include "train/run_folder.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "train/picture.h"

namespace moe {

static constexpr const char* checkpoint_prefix = "step-";
static constexpr const char* checkpoint_suffix = ".safetensors";

// Every run leaves its .lock, also one that was killed before its config.yml was written.
static void check_no_files_of_others(const std::string& path) {
  if (RunFolder::holds_run(path) || exists(join_path(path, ".lock"))) return;
  std::vector<std::string> names = {"train.log", "metrics.jsonl", "metrics.csv", "checkpoints/best.safetensors"};
  if (is_directory(join_path(path, "checkpoints"))) {
    for (const std::string& name : list_directory(join_path(path, "checkpoints"))) {
      if (name.starts_with(checkpoint_prefix)) names.push_back("checkpoints/" + name);
    }
  }
  for (const std::string& name : names) {
    check(!exists(join_path(path, name)), MOE_ERR_STATE, path,
          ": expected an empty or new folder, or one with a run, got one without config.yml that holds ", name,
          "; use another folder");
  }
}

RunFolder::RunFolder(const std::string& path) : path_(path) {
  check_no_files_of_others(path);
  for (const char* name : {"train.log", "metrics.jsonl", "metrics.csv", ".lock", "checkpoints"}) {
    if (!exists(file(name))) made_.push_back(file(name));
  }
  if (!exists(path)) made_.push_back(path);
  make_directories(join_path(path, "checkpoints"));
  lock_ = std::make_unique<FileLock>(file(".lock"));
}

bool RunFolder::holds_run(const std::string& path) {
  return exists(join_path(path, "config.yml"));
}

void RunFolder::remove_empty() const noexcept {
  if (holds_run(path_)) return;
  for (const std::string& name : made_) std::remove(name.c_str());  // a folder goes only when it is empty
}

static std::string digits_of(int64_t step) {
  std::string digits = std::to_string(step);
  return digits.insert(0, digits.size() < 8 ? 8 - digits.size() : 0, '0');
}

std::string RunFolder::checkpoint(int64_t step) const {
  return file(text("checkpoints/", checkpoint_prefix, digits_of(step), checkpoint_suffix));
}

void RunFolder::keep_picture(int64_t step, const at::Tensor& picture) const {
  if (!picture.defined()) return;
  make_directories(file("pictures"));
  write_png(file(text("pictures/step-", digits_of(step), ".png")), image_of(picture));
}

std::vector<int64_t> RunFolder::checkpoint_steps() const {
  std::vector<int64_t> steps;
  for (const std::string& name : list_directory(file("checkpoints"))) {
    if (!name.starts_with(checkpoint_prefix) || !name.ends_with(checkpoint_suffix)) continue;
    const std::string digits = name.substr(5, name.size() - 5 - std::string(checkpoint_suffix).size());
    const size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
    if (const std::optional<int64_t> step = parse_int(digits.substr(first))) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void RunFolder::set_aside_after(int64_t step) const {
  for (const int64_t newer : checkpoint_steps()) {
    if (newer <= step) continue;
    const std::string path = checkpoint(newer);
    remove_file(path + ".broken");
    rename_file(path, path + ".broken");
  }
}

void RunFolder::prune_checkpoints(int64_t keep) const {
  const std::vector<int64_t> steps = checkpoint_steps();
  const auto count = static_cast<int64_t>(steps.size());
  for (int64_t i = 0; i < count - keep; ++i) remove_file(checkpoint(steps[static_cast<size_t>(i)]));
  for (const std::string& name : list_directory(file("checkpoints"))) {
    if (name.ends_with(".tmp")) remove_file(file("checkpoints/" + name));
  }
}

// Step of a metrics line; nothing for a line that is not whole.
static std::optional<int64_t> jsonl_step(const std::string& line) {
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, false);
  if (!value.is_object() || !value.contains("step") || !value["step"].is_number_integer()) return std::nullopt;
  return value["step"].get<int64_t>();
}

static void truncate_jsonl(const std::string& path, int64_t step) {
  if (!exists(path)) return;
  std::string kept;
  for (const std::string& line : split(read_file(path), '\n')) {
    const std::optional<int64_t> at = jsonl_step(line);
    if (at && *at <= step) kept += line + "\n";
  }
  write_file_atomic(path, kept);
}

// Returns the columns of the header, none when a kill has cut it; rows start with the step.
static std::vector<std::string> truncate_csv(const std::string& path, int64_t step) {
  if (!exists(path)) return {};
  const std::vector<std::string> lines = split(read_file(path), '\n');
  const std::vector<std::string> columns = split(lines[0], ',');
  if (columns.size() < 2 || lines.size() < 2) {
    remove_file(path);
    return {};
  }
  std::string kept = lines[0] + "\n";
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = split(lines[i], ',');
    const std::optional<int64_t> at = parse_int(cells[0]);
    if (cells.size() == columns.size() && at && *at <= step) kept += lines[i] + "\n";
  }
  write_file_atomic(path, kept);
  return columns;
}

void RunFolder::open_logs(int64_t step) {
  truncate_jsonl(file("metrics.jsonl"), step);
  columns_ = truncate_csv(file("metrics.csv"), step);
  log_ = std::make_unique<AppendFile>(file("train.log"));
  jsonl_ = std::make_unique<AppendFile>(file("metrics.jsonl"));
  csv_ = std::make_unique<AppendFile>(file("metrics.csv"));
}

void RunFolder::log(const std::string& line) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S  ", &parts);
  log_->line(stamp + line);
}

void RunFolder::metrics_line(const std::string& json) {
  jsonl_->line(json);
}

void RunFolder::metrics_row(const std::vector<std::pair<std::string, double>>& row) {
  if (columns_.empty()) {
    for (const auto& cell : row) columns_.push_back(cell.first);
    csv_->line(join(columns_, ","));
  }
  std::vector<std::string> cells;
  for (const std::string& column : columns_) {
    const auto it = std::find_if(row.begin(), row.end(), [&](const auto& cell) { return cell.first == column; });
    cells.push_back(it == row.end() ? "" : format_double(it->second));
  }
  csv_->line(join(cells, ","));
}

}  // namespace moe
