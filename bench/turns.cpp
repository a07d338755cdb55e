#include "turns.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>

#include "peak_memory.h"
#include "tensor/gemm.h"

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double seconds(const std::function<void()>& call, int64_t repeats) {
  const auto start = Clock::now();
  for (int64_t i = 0; i < repeats; ++i) call();
  return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(repeats);
}

// How often a rival runs in one turn: about 2 ms, so that neither the clock nor the caches of the one before count.
int64_t repeats_of(const std::function<void()>& call) {
  call();
  call();  // the first call may build kernels
  constexpr double turn = 2e-3;
  return std::clamp<int64_t>(static_cast<int64_t>(turn / seconds(call, 1)), 1, 1000);
}

struct Rounds {
  std::vector<Rival> rivals;
  std::vector<int64_t> repeats;
  std::vector<std::vector<double>> times;  // by rival, seconds of one call
  std::vector<std::vector<double>> ratios;

  explicit Rounds(const std::vector<Rival>& all) : rivals(all), times(all.size()), ratios(all.size()) {
    for (const Rival& rival : rivals) repeats.push_back(repeats_of(rival.call));
  }

  double run() {  // seconds of the first
    for (size_t i = 0; i < rivals.size(); ++i) {
      times[i].push_back(seconds(rivals[i].call, repeats[i]));
      ratios[i].push_back(times[0].back() / times[i].back());
    }
    return times[0].back();
  }
};

void report(benchmark::State& state, const Rounds& rounds) {
  for (size_t i = 0; i < rounds.rivals.size(); ++i) {
    const auto& [name, call, gflop] = rounds.rivals[i];
    const double time = median(rounds.times[i]);
    state.counters[name + "_ms"] = time * 1e3;
    state.counters[name + "_peak_mb"] = static_cast<double>(peak_bytes(call)) * 1e-6;
    if (i > 0) state.counters[name + "_x"] = median(rounds.ratios[i]);
    if (gflop > 0) state.counters[name + "_gflops"] = gflop / time;
  }
}

}  // namespace

void add_turns(const std::string& name, std::vector<Rival> rivals) {
  const auto body = [rivals = std::move(rivals)](benchmark::State& state) {
    Rounds rounds(rivals);
    for (auto _ : state) state.SetIterationTime(rounds.run());
    report(state, rounds);
  };
  constexpr int rounds = 25;
  benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime()->Iterations(rounds)->Unit(benchmark::kMillisecond);
}

int run_benchmarks(int argc, char** argv) {
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::AddCustomContext("gemm", moe::gemm_backend_text());
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace bench
