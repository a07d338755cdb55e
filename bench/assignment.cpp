// The assignment of queries to boxes, 300 of them to 5, 20 and 80, against SciPy's linear_sum_assignment: one call
// solves every matrix of a list several times.
#include "nn/assignment.h"

#include <cmath>

#include "base/rng.h"
#include "base/text.h"
#include "peer.h"
#include "turns.h"

namespace {

constexpr int64_t queries = 300, matrices = 50;

// As correlated as the cost of a match: 5 times the L1 distance of random boxes plus twice a uniform number.
std::vector<double> cost(int64_t boxes, uint64_t index) {
  moe::Rng rng(3, "cost", index);
  std::vector<double> a(queries * 4), b(static_cast<size_t>(boxes) * 4), out;
  for (double& value : a) value = rng.uniform();
  for (double& value : b) value = rng.uniform();
  for (int64_t i = 0; i < queries; ++i) {
    for (int64_t j = 0; j < boxes; ++j) {
      double distance = 0;
      for (int64_t k = 0; k < 4; ++k) distance += std::abs(a[i * 4 + k] - b[j * 4 + k]);
      out.push_back(5 * distance + 2 * rng.uniform());
    }
  }
  return out;
}

std::vector<bench::Rival> beside_scipy(int64_t boxes, int64_t passes) {
  std::vector<std::vector<double>> costs;
  for (uint64_t i = 0; i < matrices; ++i) costs.push_back(cost(boxes, i));
  const auto solver = std::make_shared<moe::Assignment>();
  const auto call = [=] {
    for (int64_t pass = 0; pass < passes; ++pass) {
      for (const auto& one : costs) benchmark::DoNotOptimize(solver->solve(one.data(), queries, boxes).data());
    }
  };
  std::vector<bench::Rival> rivals = {{"moe", call}};
  bench::add_peer(rivals, "scipy", "scipy_assignment.py",
                  {"--queries", std::to_string(queries), "--boxes", std::to_string(boxes), "--matrices",
                   std::to_string(matrices), "--passes", std::to_string(passes)},
                  false, {1, 0});
  return rivals;
}

}  // namespace

int main(int argc, char** argv) {
  for (const int64_t boxes : {5, 20, 80}) {
    const int64_t passes = 80 / boxes;
    bench::add_turns(moe::text("assignment/", queries, "x", boxes, "/solved=", passes * matrices),
                     [=] { return beside_scipy(boxes, passes); });
  }
  return bench::run_benchmarks(argc, argv);
}
