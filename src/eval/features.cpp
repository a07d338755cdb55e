#include "eval/features.h"

#include <torch/script.h>

#include <memory>
#include <new>

#include "base/error.h"
#include "base/files.h"
#include "tensor/batch.h"
#include "tensor/scope.h"

namespace moe {

at::Tensor as_bytes(const at::Tensor& pictures) {
  return pictures.to(at::kFloat).clamp(0, 1).mul(255).round().div(255);
}

std::string feature_label(const std::string& path) {
  if (path.empty()) return "pixels";
  const std::string whole = path.ends_with('/') ? path.substr(0, path.find_last_not_of('/') + 1) : path;
  return file_stem(whole).substr(0, 32);
}

bool is_own_model(const std::string& path) {
  return is_directory(path) || path.ends_with(".safetensors");
}

FeatureExtractor pixel_extractor() {
  return [](const at::Tensor& pictures) { return Features{at::adaptive_avg_pool2d(pictures, {8, 8}).flatten(1), {}}; };
}

// --- TorchScript ---

static at::Tensor prepared(const at::Tensor& pictures, const ExtractorInput& input) {
  at::Tensor x = pictures.size(1) == 1 ? pictures.expand({-1, 3, -1, -1}) : pictures;
  const bool fits = input.height == 0 || (x.size(2) == input.height && x.size(3) == input.width);
  if (!fits) x = at::_upsample_bilinear2d_aa(x.contiguous(), {input.height, input.width}, /*align_corners=*/false);
  if (input.range == ExtractorInput::Range::symmetric) return (x * 2 - 1).contiguous();
  if (input.range == ExtractorInput::Range::bytes) return x.mul(255).round().clamp(0, 255).to(at::kByte).contiguous();
  return x.contiguous();
}

// The first line that tells something: TorchScript's errors are pages.
static std::string gist(const std::string& what) {
  std::string last;
  for (const std::string& line : split(what, '\n')) {
    const std::string trimmed = trim(line);
    if (trimmed.find("Error: ") != std::string::npos) return trimmed.substr(0, 200);
    if (last.empty() && !trimmed.empty()) last = trimmed;
  }
  return last.substr(0, 200);
}

static at::Tensor checked(const std::string& path, const char* what, const c10::IValue& value, int64_t rows) {
  const at::Tensor tensor = value.isTensor() ? value.toTensor() : at::Tensor();
  const bool fits = tensor.defined() && tensor.dim() == 2 && tensor.size(0) == rows && tensor.size(1) >= 1 &&
                    at::isFloatingType(tensor.scalar_type());
  check(fits, MOE_ERR_DATA, path, ": expected ", what, " as floats [", rows, ", n] from ", rows, " pictures, got ",
        tensor.defined() ? text(tensor.scalar_type(), " ", shape_text(tensor.sizes())) : value.tagKind());
  return tensor.to(at::kFloat);
}

static Features features_of(const std::string& path, const c10::IValue& value, int64_t rows) {
  if (!value.isTuple()) return {checked(path, "features", value, rows), {}};
  const auto& parts = value.toTupleRef().elements();
  check(parts.size() == 2, MOE_ERR_DATA, path, ": expected features, or a tuple of features and logits, got ",
        parts.size(), " parts");
  return {checked(path, "features", parts[0], rows), checked(path, "logits", parts[1], rows)};
}

FeatureExtractor script_extractor(const std::string& path, const ExtractorInput& input) {
  check(exists(path), MOE_ERR_NOT_FOUND, path,
        ": expected a TorchScript file of a feature extractor, got no such file");
  std::shared_ptr<torch::jit::Module> module;
  try {
    module = std::make_shared<torch::jit::Module>(torch::jit::load(path));
  } catch (const std::exception& error) {
    fail(MOE_ERR_DATA, path, ": expected a TorchScript file of a feature extractor: ", gist(error.what()));
  }
  module->eval();
  return [=](const at::Tensor& pictures) {
    const at::NoGradGuard no_grad;
    const Float32Scope single;
    c10::IValue value;
    try {
      value = module->forward({prepared(pictures, input)});
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      fail(MOE_ERR_DATA, path, ": the extractor failed on pictures ", shape_text(pictures.sizes()), ": ",
           gist(error.what()));
    }
    return features_of(path, value, pictures.size(0));
  };
}

}  // namespace moe
