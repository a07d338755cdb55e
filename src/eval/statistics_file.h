// Reference statistics of features as pytorch-fid, guided-diffusion and others keep them: an .npz with `mu` [D] and
// `sigma` [D, D], float32 or float64. Other arrays of such a file are passed over.
#pragma once

#include "eval/generation.h"

namespace moe {

FeatureMoments read_statistics(const std::string& path);  // MOE_ERR_NOT_FOUND, MOE_ERR_IO, MOE_ERR_DATA
void write_statistics(const std::string& path, const FeatureMoments& moments);  // float64, whole or not at all

}  // namespace moe
