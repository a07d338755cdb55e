// The files of a run: config.yml, train.log, metrics.jsonl, metrics.csv, checkpoints/. Only names, lines and order;
// what they mean is run.cpp's matter.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"

namespace moe {

class RunFolder {
 public:
  // Creates the folder and takes its lock: MOE_ERR_STATE when another process runs in it, or when it holds logs or
  // checkpoints that are not of a run.
  explicit RunFolder(const std::string& path);

  static bool holds_run(const std::string& path);  // config.yml is there

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return join_path(path_, name); }
  std::string checkpoint(int64_t step) const;
  std::string best() const { return file("checkpoints/best.safetensors"); }
  std::vector<int64_t> checkpoint_steps() const;  // rising
  void remove_empty() const noexcept;             // of a folder that holds no run: removes what this object has made
  void set_aside_after(int64_t step) const;       // renames newer checkpoints, which cannot be read, to *.broken
  void prune_checkpoints(int64_t keep) const;     // removes all but the newest `keep`, and leftovers of killed writes

  // [H, W, 3] uint8 as pictures/step-N.png; undefined: nothing.
  void keep_picture(int64_t step, const at::Tensor& picture) const;

  // Drops metrics after `step` and a line that a kill has cut, then opens the logs for appending.
  void open_logs(int64_t step);
  void log(const std::string& line);           // train.log, with the time of day
  void metrics_line(const std::string& json);  // metrics.jsonl
  // metrics.csv; the header is written with the first row, later rows follow its columns (a missing value stays empty).
  void metrics_row(const std::vector<std::pair<std::string, double>>& row);

 private:
  std::string path_;
  std::vector<std::string> made_;  // files and folders that were not there before, children first
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<AppendFile> log_, jsonl_, csv_;
  std::vector<std::string> columns_;
};

}  // namespace moe
