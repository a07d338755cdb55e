// The rectangular linear sum assignment problem: min(rows, cols) pairs of a row and a column, none used twice, with the
// least total cost. Shortest augmenting paths (Crouse, On implementing 2D rectangular assignment algorithms, IEEE TAES
// 2016) with the scan order of scipy.optimize.linear_sum_assignment, so that also among equal costs the same pairs come
// out. It does not maximise, and it has no forbidden pairs: every cost must be finite.
#pragma once

#include <cstdint>
#include <vector>

namespace moe {

// A solver that keeps its work space: calls of sizes it has seen do not allocate. One thread at a time.
class Assignment {
 public:
  // cost: [rows, cols], row-major. Returns [rows]: the column of each row, -1 for a row that is left over. The result
  // is valid until the next call. MOE_ERR_NUMERIC names the first NaN or infinite cost; MOE_ERR_INVALID_ARGUMENT a
  // negative size.
  const std::vector<int64_t>& solve(const float* cost, int64_t rows, int64_t cols);
  const std::vector<int64_t>& solve(const double* cost, int64_t rows, int64_t cols);

 private:
  template <typename T>
  const std::vector<int64_t>& solve_any(const T* cost, int64_t rows, int64_t cols);
  template <typename T>
  void load(const T* cost, int64_t rows, int64_t cols);
  void solve_wide();
  int64_t find_path(int64_t from, double* length);
  int64_t pick(double lowest) const;
  void close(int64_t column);
  void update_duals(int64_t from, double length);
  void augment(int64_t from, int64_t sink);

  // The problem as it is solved: never more rows than columns; a tall one is transposed.
  int64_t rows_ = 0, cols_ = 0, stride_ = 0;  // stride_: cols_ rounded up to whole vectors
  std::vector<double> cost_;                  // [rows_, stride_]
  std::vector<double> u_, v_;                 // dual variables, [rows_] and [stride_]
  std::vector<double> distance_;              // [stride_] length of the shortest path to each column
  std::vector<double> closed_;                // [stride_] 0, or infinity once the column is in the tree
  std::vector<int64_t> parent_;               // [stride_] row before each column on its path
  std::vector<int64_t> column_of_row_, row_of_column_;
  std::vector<int64_t> scan_, place_;              // [cols_] open columns in scan order, and where each stands
  int64_t open_ = 0;                               // entries of scan_ in use
  std::vector<int64_t> tree_rows_, tree_columns_;  // visited by the current search
  std::vector<int64_t> result_;
};

// One call without a kept work space.
std::vector<int64_t> linear_sum_assignment(const float* cost, int64_t rows, int64_t cols);
std::vector<int64_t> linear_sum_assignment(const double* cost, int64_t rows, int64_t cols);

}  // namespace moe
