// One micro-batch: an ordered map from name to tensor. Dense fields are [B, ...]; ragged ones are flat [N, ...] and
// share offsets [B + 1], so that sample i owns rows offsets[i] .. offsets[i+1]-1.
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace moe {

// Smallest and largest of values that are all finite.
struct ValueRange {
  double low, high;
};

class Batch {
 public:
  // Replaces or appends. range: of a tensor that nobody will write to, where the caller knows it already.
  void set(const std::string& name, at::Tensor tensor, std::optional<ValueRange> range = {});
  std::optional<ValueRange> range(const std::string& name) const;  // nothing: not known
  bool has(const std::string& name) const;
  const at::Tensor& get(const std::string& name) const;  // MOE_ERR_NOT_FOUND
  const std::vector<std::pair<std::string, at::Tensor>>& fields() const { return fields_; }
  void clear();

 private:
  std::vector<std::pair<std::string, at::Tensor>> fields_;
  std::map<std::string, ValueRange> ranges_;
};

// What a task expects of one tensor of its batches.
struct FieldSpec {
  enum class Layout { dense, ragged, offsets };  // [B, ...], [N, ...], [B + 1]
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;  // of one sample (dense) or one row (ragged); -1: any size >= 1
  Layout layout = Layout::dense;
  std::string offsets = "offsets";                           // ragged: the field that holds this one's offsets
  bool training_only = false;                                // targets: predict() does without
  bool optional = false;                                     // may be absent; when present it is checked
  std::string doc;                                           // meaning and units
  double lowest = -std::numeric_limits<double>::infinity();  // of floating values
  double highest = std::numeric_limits<double>::infinity();
};
using BatchSpec = std::vector<FieldSpec>;  // a spec names its offsets fields too (int64, Layout::offsets)

// Samples in the batch, from its first dense field of the spec.
int64_t batch_size(const BatchSpec& spec, const Batch& batch);
// Every field there, right type and shape, finite and in range, offsets rising from 0 to N. One line for the first
// thing that is wrong.
void check_batch(const BatchSpec& spec, const Batch& batch, bool training);
// "images: float32 [B, 3, H, W]  RGB in 0..1" line by line.
std::string describe(const BatchSpec& spec);
std::string shape_text(at::IntArrayRef shape);  // "[4, 3, 320, 320]"

// Joins one-sample batches: dense fields are stacked, ragged ones concatenated and given offsets.
Batch collate(const BatchSpec& spec, const std::vector<Batch>& samples);

}  // namespace moe
