// Names of RT-DETR's tensors in files of other projects. Ours are those of the official rtdetrv2_pytorch. Known are
// also its first version (rtdetr_pytorch), the files of a backbone alone (PResNet-vd), and transformers (RTDetr and
// RTDetrV2, in the names of its hub files, which its conversion scripts give). Experts have names of our own only.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "models/task.h"

namespace moe::rtdetr {

struct Options;

// In transformers; several parts are stacked along the first dimension (query, key and value projection). Nothing for a
// tensor that transformers does not have.
std::optional<TensorParts> transformers_name(const std::string& name);

// Every other spelling of a tensor that the files above may hold, likeliest first.
std::vector<TensorParts> other_names(const std::string& name);

// A tensor of such files that the network computes itself or holds twice.
bool is_redundant(const std::string& name);

// A score head, the embedding of classes, or a mixture's gate: what has another shape with other classes or groups of
// them.
bool is_head(const std::string& name);

// RTDetrV2ForObjectDetection's model.safetensors and config.json. MOE_ERR_UNSUPPORTED names the first tensor or setting
// without counterpart, such as experts.
ExportedModel export_to_transformers(const Options& options, const NamedTensors& weights);

}  // namespace moe::rtdetr
