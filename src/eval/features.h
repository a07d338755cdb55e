// Features of pictures for the distances of generation.h, by whichever network the user chooses. What a number may be
// compared with depends on the network alone, so every metric's name carries the extractor's (feature_label).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

namespace moe {

struct Features {
  at::Tensor features;  // [B, D] float32
  at::Tensor logits;    // [B, K] float32; undefined where the network gives none
};

// Pictures [B, C, H, W] float32 in 0..1, in steps of 1/255, as a file would hold them.
using FeatureExtractor = std::function<Features(const at::Tensor& pictures)>;

// How a TorchScript module wants its pictures.
struct ExtractorInput {
  enum class Range { unit, symmetric, bytes };  // float32 in 0..1, in -1..1, uint8 in 0..255
  Range range = Range::bytes;
  int64_t height = 0, width = 0;  // resized to this, bilinear with antialiasing; 0: as they are
};

// A TorchScript file, called with [B, 3, H, W] (grey pictures thrice), that gives [B, D], or a tuple of this and logits
// [B, K]. MOE_ERR_NOT_FOUND, MOE_ERR_DATA (no TorchScript; at its first call: an error of its own, other results).
FeatureExtractor script_extractor(const std::string& path, const ExtractorInput& input);

// Means of 8 x 8 cells of each channel. They tell gross failures alone.
FeatureExtractor pixel_extractor();

// The part of a metric's name that says whose features these are: "pixels" without a path, else its stem.
std::string feature_label(const std::string& path);

// Whether the path names a model of libmoe (a run folder, a checkpoint) and not a TorchScript file.
bool is_own_model(const std::string& path);

// Rounded to 1/255, within 0..1.
at::Tensor as_bytes(const at::Tensor& pictures);

}  // namespace moe
