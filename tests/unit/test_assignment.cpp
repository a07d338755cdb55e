// Assignment against scipy.optimize.linear_sum_assignment, pair by pair (fixtures/assignment/make.py draws the same
// costs), and against every permutation for small problems.
#include "nn/assignment.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>

#include "base/rng.h"
#include "support/test.h"

using moe::Assignment;

static std::vector<double> fixture_costs(const std::string& kind, uint64_t seed, int64_t count) {
  std::vector<double> costs(count);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t word = moe::mix64(seed + (i + 1) * 0x9E3779B97F4A7C15ULL);
    costs[i] = kind == "f" ? static_cast<double>(word >> 40) * 0x1p-24
                           : static_cast<double>(word % std::stoull(kind.substr(1)));
  }
  return costs;
}

static std::string answer_text(const std::vector<int64_t>& columns) {
  std::string out;
  for (const int64_t column : columns) out += (out.empty() ? "" : " ") + std::to_string(column);
  return out;
}

static uint64_t fnv1a(const std::string& text) {
  uint64_t value = 0xCBF29CE484222325ULL;
  for (const unsigned char byte : text) value = (value ^ byte) * 0x100000001B3ULL;
  return value;
}

static void same_pairs_as_scipy(void**) {
  std::ifstream file(std::string(std::getenv("MOE_SOURCE_DIR") ? std::getenv("MOE_SOURCE_DIR") : ".") +
                     "/tests/fixtures/assignment/cases.txt");
  CHECK(file.good());
  Assignment assignment;
  int64_t cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    std::istringstream in(line);
    std::string kind, digest;
    uint64_t seed;
    int64_t rows, cols;
    in >> kind >> seed >> rows >> cols >> digest;
    const std::vector<double> costs = fixture_costs(kind, seed, rows * cols);
    const std::string got = answer_text(assignment.solve(costs.data(), rows, cols));
    if (fnv1a(got) != std::stoull(digest, nullptr, 16)) std::fprintf(stderr, "%s\ngot %s\n", line.c_str(), got.c_str());
    CHECK(fnv1a(got) == std::stoull(digest, nullptr, 16));
    const std::vector<float> narrow(costs.begin(), costs.end());
    CHECK(answer_text(moe::linear_sum_assignment(narrow.data(), rows, cols)) == got);
  }
  CHECK(cases > 400);
}

static double least_by_permutation(const std::vector<double>& costs, int64_t n) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  double best = std::numeric_limits<double>::infinity();
  do {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += costs[i * n + order[i]];
    best = std::min(best, sum);
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

static void optimal_for_small_problems(void**) {
  moe::Rng rng(1, "costs");
  for (int64_t trial = 0; trial < 50; ++trial) {
    const int64_t n = 1 + rng.below(6);
    std::vector<double> costs(n * n);
    for (double& cost : costs) cost = rng.normal();  // negative costs too
    const std::vector<int64_t> columns = moe::linear_sum_assignment(costs.data(), n, n);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += costs[i * n + columns[i]];
    CHECK_NEAR(sum, least_by_permutation(costs, n), 1e-12);
  }
}

static void repeated_calls_keep_their_memory(void**) {
  const std::vector<double> costs = fixture_costs("f", 5, 300 * 20);
  Assignment assignment;
  const int64_t* first = assignment.solve(costs.data(), 300, 20).data();
  CHECK(assignment.solve(costs.data(), 100, 20).data() == first);
  const std::vector<int64_t> small = assignment.solve(costs.data(), 4, 5);
  CHECK(small == moe::linear_sum_assignment(costs.data(), 4, 5));
  CHECK(assignment.solve(costs.data(), 300, 20).data() == first);
}

static void bad_costs_are_named(void**) {
  std::vector<double> costs(6, 1.0);
  costs[4] = std::numeric_limits<double>::quiet_NaN();
  CHECK_ERROR(MOE_ERR_NUMERIC, "expected finite costs, got nan at [1, 1]",
              moe::linear_sum_assignment(costs.data(), 2, 3));
  costs[4] = -std::numeric_limits<double>::infinity();
  CHECK_ERROR(MOE_ERR_NUMERIC, "got -inf at [2, 0]", moe::linear_sum_assignment(costs.data(), 3, 2));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "sizes >= 0", moe::linear_sum_assignment(costs.data(), -1, 2));
  std::vector<double> huge = {1e308, -1e308, -1e308, 1e308};
  CHECK(moe::linear_sum_assignment(huge.data(), 2, 2) == (std::vector<int64_t>{1, 0}));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(same_pairs_as_scipy),
      cmocka_unit_test(optimal_for_small_problems),
      cmocka_unit_test(repeated_calls_keep_their_memory),
      cmocka_unit_test(bad_costs_are_named),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
