// numpy.mean of contiguous float64 values with numpy's own order of additions, so that results agree to the last bit.
#pragma once

#include <cstdint>
#include <vector>

namespace moe {

double numpy_sum(const double* values, int64_t count);  // numpy's pairwise summation (loops_utils.h.src)
double numpy_mean(const std::vector<double>& values);   // -1 for no values, as COCOeval has it

}  // namespace moe
