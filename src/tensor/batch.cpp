#include "tensor/batch.h"

#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace moe {

void Batch::set(const std::string& name, at::Tensor tensor, std::optional<ValueRange> range) {
  if (range) {
    ranges_[name] = *range;
  } else {
    ranges_.erase(name);
  }
  for (auto& [key, value] : fields_) {
    if (key == name) {
      value = std::move(tensor);
      return;
    }
  }
  fields_.emplace_back(name, std::move(tensor));
}

std::optional<ValueRange> Batch::range(const std::string& name) const {
  const auto found = ranges_.find(name);
  return found == ranges_.end() ? std::nullopt : std::optional(found->second);
}

void Batch::clear() {
  fields_.clear();
  ranges_.clear();
}

bool Batch::has(const std::string& name) const {
  for (const auto& field : fields_) {
    if (field.first == name) return true;
  }
  return false;
}

const at::Tensor& Batch::get(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& [key, value] : fields_) {
    if (key == name) return value;
    names.push_back(key);
  }
  fail(MOE_ERR_NOT_FOUND, "batch: expected a tensor ", quote(name), ", got ",
       names.empty() ? "none" : join(names, ", "));
}

std::string shape_text(at::IntArrayRef shape) {
  std::vector<std::string> sizes;
  for (const int64_t size : shape) sizes.push_back(std::to_string(size));
  return "[" + join(sizes, ", ") + "]";
}

static const char* dtype_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kLong:
      return "int64";
    case at::kByte:
      return "uint8";
    case at::kBool:
      return "bool";
    case at::kInt:
      return "int32";
    case at::kShort:
      return "int16";
    case at::kChar:
      return "int8";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    default:
      return c10::toString(type);
  }
}

// "[B, 3, H, W]": the leading size is B, N or B+1; free sizes of images read H, W.
static std::string expected_shape(const FieldSpec& field) {
  static const char* free_names[] = {"H", "W", "L", "M"};
  std::vector<std::string> sizes;
  switch (field.layout) {
    case FieldSpec::Layout::dense:
      sizes.push_back("B");
      break;
    case FieldSpec::Layout::ragged:
      sizes.push_back("N");
      break;
    case FieldSpec::Layout::offsets:
      sizes.push_back("B+1");
      break;
  }
  size_t free_count = 0;
  for (const int64_t size : field.shape) {
    sizes.push_back(size >= 0 ? std::to_string(size) : free_names[std::min<size_t>(free_count++, 3)]);
  }
  return "[" + join(sizes, ", ") + "]";
}

int64_t batch_size(const BatchSpec& spec, const Batch& batch) {
  for (const FieldSpec& field : spec) {
    if (field.layout != FieldSpec::Layout::dense || !batch.has(field.name)) continue;
    const at::Tensor& tensor = batch.get(field.name);
    return tensor.dim() > 0 ? tensor.size(0) : 0;
  }
  return 0;
}

static void check_shape(const FieldSpec& field, const at::Tensor& tensor, int64_t samples) {
  bool good = tensor.dim() == static_cast<int64_t>(field.shape.size()) + 1;
  check(good, MOE_ERR_SHAPE, field.name, ": expected ", expected_shape(field), ", got ", shape_text(tensor.sizes()));
  for (size_t i = 0; good && i < field.shape.size(); ++i) {
    const int64_t size = tensor.size(static_cast<int64_t>(i) + 1);
    good = field.shape[i] < 0 ? size >= 1 : size == field.shape[i];
  }
  if (good && field.layout == FieldSpec::Layout::dense) good = tensor.size(0) == samples && samples >= 1;
  if (good && field.layout == FieldSpec::Layout::offsets) good = tensor.size(0) == samples + 1;
  check(good, MOE_ERR_SHAPE, field.name, ": expected ", expected_shape(field), " with B = ", samples, ", got ",
        shape_text(tensor.sizes()));
}

static void check_offsets(const std::string& name, const at::Tensor& offsets, const std::string& rows_name,
                          int64_t rows) {
  const at::Tensor dense = offsets.contiguous();
  const int64_t* values = dense.const_data_ptr<int64_t>();
  const int64_t last = dense.numel() - 1;
  check(values[0] == 0, MOE_ERR_DATA, name, ": expected the first offset to be 0, got ", values[0]);
  for (int64_t i = 0; i < last; ++i) {
    check(values[i + 1] >= values[i], MOE_ERR_DATA, name, ": expected rising offsets, got ", values[i], " then ",
          values[i + 1], " at sample ", i);
  }
  check(values[last] == rows, MOE_ERR_DATA, name, ": expected the last offset to be the ", rows, " rows of ", rows_name,
        ", got ", values[last]);
}

[[noreturn]] static void fail_not_finite(const FieldSpec& field, const at::Tensor& tensor) {
  const at::Tensor bad = at::isfinite(tensor).logical_not().nonzero();
  const at::Tensor first = bad[0].contiguous();  // nonzero() lies in memory column by column
  std::vector<int64_t> index(first.const_data_ptr<int64_t>(), first.const_data_ptr<int64_t>() + first.numel());
  fail(MOE_ERR_NUMERIC, field.name, ": expected finite values, got ", bad.size(0),
       " NaN or infinite ones, the first at ", shape_text(index));
}

static ValueRange range_of(const FieldSpec& field, const at::Tensor& tensor) {
  // The order of the elements does not matter here, and a dense view saves the copy.
  const at::Tensor flat = tensor.is_non_overlapping_and_dense() ? tensor.as_strided({tensor.numel()}, {1}) : tensor;
  const auto [smallest, largest] = at::aminmax(flat);
  const ValueRange range{smallest.item<double>(), largest.item<double>()};
  if (!std::isfinite(range.low) || !std::isfinite(range.high)) fail_not_finite(field, tensor);
  return range;
}

static void check_values(const FieldSpec& field, const Batch& batch) {
  const at::Tensor& tensor = batch.get(field.name);
  if (!at::isFloatingType(tensor.scalar_type()) || tensor.numel() == 0) return;
  const std::optional<ValueRange> known = batch.range(field.name);
  const auto [low, high] = known ? *known : range_of(field, tensor);
  check(low >= field.lowest && high <= field.highest, MOE_ERR_DATA, field.name, ": expected values of ", field.lowest,
        " to ", field.highest, ", got ", low, " to ", high,
        field.highest == 1 && low >= 0 && high <= 255 ? ": divide 8-bit pictures by 255" : "");
}

// " (there is "label", which is not used)" where a tensor of the batch has nearly the name of the one that lacks.
static std::string misspelt(const BatchSpec& spec, const Batch& batch, const std::string& missing) {
  std::vector<std::string> unknown;
  for (const auto& field : batch.fields()) {
    const bool known = std::ranges::any_of(spec, [&](const FieldSpec& one) { return one.name == field.first; });
    if (!known) unknown.push_back(field.first);
  }
  const std::vector<std::string> close = nearest(missing, unknown, 1);
  return close.empty() ? "" : text(" (there is ", quote(close[0]), ", a name that is not used)");
}

void check_batch(const BatchSpec& spec, const Batch& batch, bool training) {
  const int64_t samples = batch_size(spec, batch);
  for (const FieldSpec& field : spec) {
    const bool required = !field.optional && (training || !field.training_only);
    if (!batch.has(field.name)) {
      check(!required, MOE_ERR_NOT_FOUND, "batch: expected a tensor ", quote(field.name), " ", expected_shape(field),
            ", got none", misspelt(spec, batch, field.name));
      continue;
    }
    const at::Tensor& tensor = batch.get(field.name);
    check(tensor.scalar_type() == field.dtype, MOE_ERR_DTYPE, field.name, ": expected ", dtype_name(field.dtype),
          ", got ", dtype_name(tensor.scalar_type()));
    check_shape(field, tensor, samples);
    check_values(field, batch);
    if (field.layout != FieldSpec::Layout::ragged) continue;
    check(batch.has(field.offsets), MOE_ERR_NOT_FOUND, "batch: expected a tensor ", quote(field.offsets),
          " for the rows of ", quote(field.name), ", got none");
    const at::Tensor& offsets = batch.get(field.offsets);
    check(offsets.scalar_type() == at::kLong, MOE_ERR_DTYPE, field.offsets, ": expected int64, got ",
          dtype_name(offsets.scalar_type()));
    check(offsets.dim() == 1 && offsets.size(0) == samples + 1, MOE_ERR_SHAPE, field.offsets,
          ": expected [B+1] with B = ", samples, ", got ", shape_text(offsets.sizes()));
    check_offsets(field.offsets, offsets, field.name, tensor.size(0));
  }
}

std::string describe(const BatchSpec& spec) {
  std::string out;
  for (const FieldSpec& field : spec) {
    out += text(field.name, ": ", dtype_name(field.dtype), " ", expected_shape(field), "  ", field.doc);
    if (field.optional)
      out += " (optional)";
    else if (field.training_only)
      out += " (training)";
    out += "\n";
  }
  return out;
}

static at::Tensor gather_offsets(const std::string& rows_field, const std::vector<Batch>& samples) {
  at::Tensor offsets = at::zeros({static_cast<int64_t>(samples.size()) + 1}, at::kLong);
  int64_t* values = offsets.mutable_data_ptr<int64_t>();
  for (size_t i = 0; i < samples.size(); ++i) values[i + 1] = values[i] + samples[i].get(rows_field).size(0);
  return offsets;
}

// Asks for huge pages: a batch of pictures is too large for malloc's cache, and touching it in 4 KiB pages takes twice
// the time of the copy itself.
static at::Tensor empty_large(const std::vector<int64_t>& shape, at::ScalarType dtype) {
  at::Tensor out = at::empty(shape, dtype);
#ifdef MADV_HUGEPAGE
  static constexpr uintptr_t page = 4096;
  const auto first = (reinterpret_cast<uintptr_t>(out.mutable_data_ptr()) + page - 1) & ~(page - 1);
  const auto bytes = static_cast<uintptr_t>(out.nbytes());
  if (bytes >= (uintptr_t{1} << 22))
    madvise(reinterpret_cast<void*>(first), (bytes - page) & ~(page - 1), MADV_HUGEPAGE);
#endif
  return out;
}

// Pictures [C, H, W] whose memory is in H, W, C order give a channels_last batch, the order that convolutions want.
static at::Tensor stack_dense(const std::vector<at::Tensor>& parts) {
  const at::Tensor& first = parts[0];
  if (first.dim() != 3 || first.size(0) < 2 || first.stride(0) != 1) {
    return parts.size() == 1 ? first.unsqueeze(0) : at::stack(parts);
  }
  std::vector<at::Tensor> rows;
  for (const at::Tensor& part : parts) rows.push_back(part.permute({1, 2, 0}));
  const auto count = static_cast<int64_t>(rows.size());
  at::Tensor out = empty_large({count, first.size(1), first.size(2), first.size(0)}, first.scalar_type());
  return at::stack_out(out, rows).permute({0, 3, 1, 2});
}

Batch collate(const BatchSpec& spec, const std::vector<Batch>& samples) {
  Batch out;
  for (const FieldSpec& field : spec) {
    if (field.layout == FieldSpec::Layout::offsets || samples.empty() || !samples[0].has(field.name)) continue;
    std::vector<at::Tensor> parts;
    for (const Batch& sample : samples) parts.push_back(sample.get(field.name));
    const bool ragged = field.layout == FieldSpec::Layout::ragged;
    out.set(field.name, ragged ? at::cat(parts) : stack_dense(parts));
    if (ragged && !out.has(field.offsets)) out.set(field.offsets, gather_offsets(field.name, samples));
  }
  return out;
}

}  // namespace moe
