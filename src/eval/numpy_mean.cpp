#include "eval/numpy_mean.h"

namespace moe {

static double sum_in_order(const double* values, int64_t count, double start) {
  for (int64_t i = 0; i < count; ++i) start += values[i];
  return start;
}

// Up to 128 values: eight running sums, joined in a tree.
static double sum_block(const double* values, int64_t count) {
  double r[8];
  for (int64_t k = 0; k < 8; ++k) r[k] = values[k];
  const int64_t whole = count - count % 8;
  for (int64_t i = 8; i < whole; i += 8) {
    for (int64_t k = 0; k < 8; ++k) r[k] += values[i + k];
  }
  const double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
  return sum_in_order(values + whole, count - whole, sum);
}

double numpy_sum(const double* values, int64_t count) {
  if (count < 8) return sum_in_order(values, count, 0.0);
  if (count <= 128) return sum_block(values, count);
  const int64_t half = count / 2 - count / 2 % 8;
  return numpy_sum(values, half) + numpy_sum(values + half, count - half);
}

double numpy_mean(const std::vector<double>& values) {
  if (values.empty()) return -1;
  const int64_t count = static_cast<int64_t>(values.size());
  return numpy_sum(values.data(), count) / static_cast<double>(count);
}

}  // namespace moe
