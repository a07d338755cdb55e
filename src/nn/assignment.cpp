#include "nn/assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/simd.h"

namespace moe {

namespace {

constexpr int64_t kLanes = 8;  // doubles of the widest vector; every row is padded to whole vectors
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Offers every open column the path over `row`. The order of the additions is part of the tie rule: do not regroup.
// Without a product no version of the loop can round differently.
MOE_MULTIVERSION void relax(int64_t n, const double* __restrict cost, double length, double u,
                            const double* __restrict v, const double* __restrict closed, int64_t row,
                            double* __restrict distance, int64_t* __restrict parent) {
  for (int64_t j = 0; j < n; ++j) {
    const double offer = length + cost[j] - u - v[j] + closed[j];
    const bool shorter = offer < distance[j];
    distance[j] = shorter ? offer : distance[j];
    parent[j] = shorter ? row : parent[j];
  }
}

// Least distance of an open column. Vectors by hand: a minimum is only vectorised under -ffast-math.
MOE_MULTIVERSION double least(int64_t n, const double* __restrict distance, const double* __restrict closed) {
  double lanes[kLanes];
  for (double& lane : lanes) lane = kInfinity;
  for (int64_t j = 0; j < n; j += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) {
      const double value = distance[j + k] + closed[j + k];
      lanes[k] = value < lanes[k] ? value : lanes[k];
    }
  }
  return *std::min_element(lanes, lanes + kLanes);
}

// First whole vector from `start` on that holds an open column at `lowest`; n when there is none.
MOE_MULTIVERSION int64_t find_vector(int64_t n, int64_t start, const double* __restrict distance,
                                     const double* __restrict closed, double lowest) {
  for (int64_t j = start; j < n; j += kLanes) {
    int64_t hits = 0;
    for (int64_t k = 0; k < kLanes; ++k) hits |= distance[j + k] + closed[j + k] == lowest ? 1 : 0;
    if (hits != 0) return j;
  }
  return n;
}

// A NaN or an infinity times 0 is a NaN, and so is every sum with it.
template <typename T>
bool all_finite(const T* values, int64_t n) {
  T lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) lanes[k] += values[i + k] * 0;
  }
  for (; i < n; ++i) lanes[0] += values[i] * 0;
  return std::all_of(lanes, lanes + kLanes, [](T lane) { return lane == 0; });
}

template <typename T>
void require_finite(const T* cost, int64_t rows, int64_t cols) {
  if (all_finite(cost, rows * cols)) return;
  const int64_t bad = std::find_if(cost, cost + rows * cols, [](T value) { return !std::isfinite(value); }) - cost;
  fail(MOE_ERR_NUMERIC, "assignment: expected finite costs, got ", cost[bad], " at [", bad / cols, ", ", bad % cols,
       "]");
}

}  // namespace

template <typename T>
void Assignment::load(const T* cost, int64_t rows, int64_t cols) {
  require_finite(cost, rows, cols);
  const bool tall = rows > cols;
  rows_ = std::min(rows, cols);
  cols_ = std::max(rows, cols);
  stride_ = (cols_ + kLanes - 1) / kLanes * kLanes;
  cost_.resize(rows_ * stride_);
  for (int64_t i = 0; i < rows_; ++i) {
    double* out = &cost_[i * stride_];
    for (int64_t j = 0; j < cols_; ++j) out[j] = tall ? cost[j * cols + i] : cost[i * cols + j];
    std::fill(out + cols_, out + stride_, 0.0);
  }
}

// Among columns at the least distance: the last free one in scan order, else the first one in scan order.
int64_t Assignment::pick(double lowest) const {
  int64_t last_free = -1, first_taken = cols_;
  for (int64_t j = 0; (j = find_vector(stride_, j, distance_.data(), closed_.data(), lowest)) < stride_; j += kLanes) {
    for (int64_t k = j; k < std::min(j + kLanes, cols_); ++k) {
      if (distance_[k] != lowest || closed_[k] != 0) continue;
      if (row_of_column_[k] < 0)
        last_free = std::max(last_free, place_[k]);
      else
        first_taken = std::min(first_taken, place_[k]);
    }
  }
  return scan_[last_free >= 0 ? last_free : first_taken];
}

// Takes a column out of the scan: the last one of the order moves to its place.
void Assignment::close(int64_t column) {
  closed_[column] = kInfinity;
  tree_columns_.push_back(column);
  const int64_t moved = scan_[--open_];
  scan_[place_[column]] = moved;
  place_[moved] = place_[column];
}

// Dijkstra's search from a free row to the nearest free column, which is returned with its distance.
int64_t Assignment::find_path(int64_t from, double* length) {
  std::fill(distance_.begin(), distance_.end(), kInfinity);
  for (const int64_t column : tree_columns_) closed_[column] = 0;
  tree_rows_.clear();
  tree_columns_.clear();
  open_ = cols_;
  for (int64_t j = 0; j < cols_; ++j) scan_[j] = place_[j] = cols_ - 1 - j;
  *length = 0;
  for (int64_t row = from;;) {
    tree_rows_.push_back(row);
    relax(stride_, &cost_[row * stride_], *length, u_[row], v_.data(), closed_.data(), row, distance_.data(),
          parent_.data());
    *length = least(stride_, distance_.data(), closed_.data());
    check(*length < kInfinity, MOE_ERR_NUMERIC, "assignment: the costs overflow a double");
    const int64_t column = pick(*length);
    close(column);
    if (row_of_column_[column] < 0) return column;
    row = row_of_column_[column];
  }
}

void Assignment::update_duals(int64_t from, double length) {
  u_[from] += length;
  for (const int64_t row : tree_rows_) {
    if (row != from) u_[row] += length - distance_[column_of_row_[row]];
  }
  for (const int64_t column : tree_columns_) v_[column] -= length - distance_[column];
}

void Assignment::augment(int64_t from, int64_t sink) {
  for (int64_t column = sink, row = -1; row != from;) {
    row = parent_[column];
    row_of_column_[column] = row;
    std::swap(column_of_row_[row], column);
  }
}

void Assignment::solve_wide() {
  u_.assign(rows_, 0.0);
  v_.assign(stride_, 0.0);
  distance_.resize(stride_);
  closed_.assign(stride_, kInfinity);
  std::fill(closed_.begin(), closed_.begin() + cols_, 0.0);
  parent_.assign(stride_, -1);
  column_of_row_.assign(rows_, -1);
  row_of_column_.assign(cols_, -1);
  scan_.resize(cols_);
  place_.resize(cols_);
  tree_rows_.reserve(rows_);
  tree_columns_.reserve(cols_);
  tree_columns_.clear();
  for (int64_t row = 0; row < rows_; ++row) {
    double length;
    const int64_t sink = find_path(row, &length);
    update_duals(row, length);
    augment(row, sink);
  }
}

template <typename T>
const std::vector<int64_t>& Assignment::solve_any(const T* cost, int64_t rows, int64_t cols) {
  check(rows >= 0 && cols >= 0, MOE_ERR_INVALID_ARGUMENT, "assignment: expected sizes >= 0, got [", rows, ", ", cols,
        "]");
  result_.assign(rows, -1);
  if (rows == 0 || cols == 0) return result_;
  load(cost, rows, cols);
  solve_wide();
  const std::vector<int64_t>& found = rows > cols ? row_of_column_ : column_of_row_;
  std::copy(found.begin(), found.end(), result_.begin());
  return result_;
}

const std::vector<int64_t>& Assignment::solve(const float* cost, int64_t rows, int64_t cols) {
  return solve_any(cost, rows, cols);
}

const std::vector<int64_t>& Assignment::solve(const double* cost, int64_t rows, int64_t cols) {
  return solve_any(cost, rows, cols);
}

std::vector<int64_t> linear_sum_assignment(const float* cost, int64_t rows, int64_t cols) {
  return Assignment().solve(cost, rows, cols);
}

std::vector<int64_t> linear_sum_assignment(const double* cost, int64_t rows, int64_t cols) {
  return Assignment().solve(cost, rows, cols);
}

}  // namespace moe
