// Random streams: pure functions of their keys, uniform, unbiased, and pinned: a run of today draws what it drew
// before.
#include "base/rng.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "support/test.h"

using namespace moe;

// Words written down when the generator was made. SplitMix64's own reference output for seed 0 begins with these three.
static void the_generator_is_splitmix64(void**) {
  const uint64_t golden = 0x9E3779B97F4A7C15ull;
  CHECK(mix64(golden) == 0xE220A8397B1DCDAFull);
  CHECK(mix64(2 * golden) == 0x6E789E6AA1B965F4ull);
  CHECK(mix64(3 * golden) == 0x06C45D188009454Full);
}

static void streams_are_pinned(void**) {
  Rng rng(42, "pinned", 1, 2, 3);
  const uint64_t words[] = {0x5552EDEF6DF181DDull, 0x88B90FAE15E0D9C0ull, 0x4F53A54D288E22AEull, 0xCDEF197FD23145E0ull};
  for (const uint64_t word : words) CHECK(rng.next() == word);
  Rng child = rng.child("below", 7);
  CHECK(child.next() == 0x65B59D12532C4C1Aull);
  Rng numbers(42, "pinned.numbers");
  CHECK(numbers.uniform() == 0.043446921930894389);
  CHECK_NEAR(numbers.normal(), 0.26178777811820197, 1e-14);
  CHECK(numbers.below(1000) == 142);
  CHECK((permutation(numbers, 8) == std::vector<int64_t>{7, 3, 0, 4, 6, 2, 5, 1}));
}

static void streams_depend_on_nothing_but_their_key(void**) {
  Rng first(1, "a", 5), again(1, "a", 5);
  const Rng untouched(1, "a", 5);
  for (int i = 0; i < 10; ++i) first.next();
  Rng child_late = first.child("x", 2), child_early = untouched.child("x", 2);
  CHECK(child_late.next() == child_early.next());
  Rng fresh(1, "a", 5);
  CHECK(again.next() == fresh.next());
}

static void every_part_of_the_key_counts(void**) {
  std::set<uint64_t> firsts;
  const Rng keys[] = {{0, "a"},          {1, "a"},          {0, "b"},          {0, "a", 1}, {0, "a", 0, 1},
                      {0, "a", 0, 0, 1}, {0, "a", 1, 0, 1}, {0, "a", 0, 1, 1}, {0, "a", 2}, {0, ""}};
  for (Rng rng : keys) firsts.insert(rng.next());
  const Rng parent(0, "a");
  for (const char* name : {"a", "b"}) {
    for (uint64_t i = 0; i < 2; ++i) firsts.insert(parent.child(name, i).next());
  }
  CHECK(firsts.size() == 14);
}

// Correlation of neighbouring streams, which differ in one counter by one: below 4 standard errors.
static void neighbouring_streams_are_independent(void**) {
  const int n = 20000;
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    Rng a(7, "neighbour", static_cast<uint64_t>(i)), b(7, "neighbour", static_cast<uint64_t>(i) + 1);
    sum += (a.uniform() - 0.5) * (b.uniform() - 0.5);
  }
  CHECK(std::abs(sum / n) < 4.0 / 12 / std::sqrt(n));
}

static double chi_square(const std::vector<int64_t>& counts) {
  const double expected = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0})) /
                          static_cast<double>(counts.size());
  double sum = 0;
  for (const int64_t count : counts) sum += std::pow(static_cast<double>(count) - expected, 2) / expected;
  return sum;
}

static void uniform_is_uniform(void**) {
  Rng rng(1, "test.uniform");
  std::vector<int64_t> counts(100);
  for (int i = 0; i < 200000; ++i) {
    const double value = rng.uniform();
    CHECK(value >= 0 && value < 1);
    ++counts[static_cast<size_t>(value * 100)];
  }
  CHECK(chi_square(counts) < 149);  // 99 degrees of freedom: exceeded once in 1000 seeds
  for (int i = 0; i < 1000; ++i) {
    const double value = rng.uniform(-3, 5);
    CHECK(value >= -3 && value < 5);
  }
}

static void normal_has_its_moments(void**) {
  Rng rng(2, "test.normal");
  const int n = 200000;
  double sum = 0, squares = 0, cubes = 0, fourths = 0;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal();
    sum += x, squares += x * x, cubes += x * x * x, fourths += x * x * x * x;
  }
  CHECK_NEAR(sum / n, 0, 0.01);
  CHECK_NEAR(squares / n, 1, 0.015);
  CHECK_NEAR(cubes / n, 0, 0.04);
  CHECK_NEAR(fourths / n, 3, 0.04);
}

static void below_is_unbiased(void**) {
  for (const int64_t n : {1, 2, 3, 7, 10, 1000}) {
    Rng rng(3, "test.below", static_cast<uint64_t>(n));
    std::vector<int64_t> counts(static_cast<size_t>(n));
    for (int64_t i = 0; i < 100 * n; ++i) ++counts[static_cast<size_t>(rng.below(n))];
    const double freedom = static_cast<double>(n - 1);
    CHECK(chi_square(counts) <= freedom + 4 * std::sqrt(2 * freedom));
  }
  // 3 * 2^61 does not divide 2^64: a plain remainder would give the lower third of the range half the words.
  Rng rng(4, "test.below.large");
  const int64_t range = int64_t{3} << 61;
  int64_t low = 0;
  for (int i = 0; i < 30000; ++i) low += rng.below(range) < range / 3 ? 1 : 0;
  CHECK_NEAR(static_cast<double>(low) / 30000, 1.0 / 3, 0.01);
}

static void chance_has_its_rate(void**) {
  Rng rng(5, "test.chance");
  int64_t hits = 0;
  for (int i = 0; i < 100000; ++i) hits += rng.chance(0.3) ? 1 : 0;
  CHECK_NEAR(static_cast<double>(hits) / 100000, 0.3, 0.006);
  CHECK(!rng.chance(0) && rng.chance(1));
}

static void permutations_are_uniform(void**) {
  std::vector<int64_t> counts(24);
  Rng rng(6, "test.permutation");
  for (int i = 0; i < 24000; ++i) {
    std::vector<int64_t> order = permutation(rng, 4);
    int64_t rank = 0;
    for (size_t a = 0; a < 4; ++a) {
      rank *= static_cast<int64_t>(4 - a);
      for (size_t b = a + 1; b < 4; ++b) rank += order[b] < order[a] ? 1 : 0;
    }
    ++counts[static_cast<size_t>(rank)];
    std::sort(order.begin(), order.end());
    CHECK((order == std::vector<int64_t>{0, 1, 2, 3}));
  }
  CHECK(chi_square(counts) < 50);  // 23 degrees of freedom: exceeded once in 1000 seeds
  CHECK(permutation(rng, 0).empty());
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_generator_is_splitmix64),
      cmocka_unit_test(streams_are_pinned),
      cmocka_unit_test(streams_depend_on_nothing_but_their_key),
      cmocka_unit_test(every_part_of_the_key_counts),
      cmocka_unit_test(neighbouring_streams_are_independent),
      cmocka_unit_test(uniform_is_uniform),
      cmocka_unit_test(normal_has_its_moments),
      cmocka_unit_test(below_is_unbiased),
      cmocka_unit_test(chance_has_its_rate),
      cmocka_unit_test(permutations_are_uniform),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
