#include "turns.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>

#include "peak_memory.h"
#include "tensor/gemm.h"

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;

// The value that a share of them lies below: 0.5 is the median.
double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size()));
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

double median(const std::vector<double>& values) {
  return quantile(values, 0.5);
}

Measured measure(const Rival& rival, int64_t repeats) {
  if (rival.timed) return rival.timed();
  const auto& call = rival.call;
  const auto start = Clock::now();
  for (int64_t i = 0; i < repeats; ++i) call();
  return {std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(repeats), 0};
}

// How often a rival runs in one turn: about 2 ms, so that neither the clock nor the caches of the one before count.
int64_t repeats_of(const Rival& rival) {
  measure(rival, 1);  // the first call may build kernels
  if (rival.timed) return 1;
  measure(rival, 1);
  constexpr double turn = 2e-3;
  return std::clamp<int64_t>(static_cast<int64_t>(turn / measure(rival, 1).seconds), 1, 1000);
}

struct Rounds {
  std::vector<Rival> rivals;
  std::vector<int64_t> repeats;
  std::vector<std::vector<double>> times;  // by rival, seconds of one call
  std::vector<std::vector<double>> ratios;
  std::vector<double> resident_mb;

  explicit Rounds(const std::vector<Rival>& all)
      : rivals(all), times(all.size()), ratios(all.size()), resident_mb(all.size()) {
    for (const Rival& rival : rivals) repeats.push_back(repeats_of(rival));
  }

  double run() {  // seconds of the first
    for (size_t i = 0; i < rivals.size(); ++i) {
      const Measured taken = measure(rivals[i], repeats[i]);
      times[i].push_back(taken.seconds);
      resident_mb[i] = std::max(resident_mb[i], taken.resident_mb);
      ratios[i].push_back(times[0].back() / times[i].back());
    }
    return times[0].back();
  }
};

void report(benchmark::State& state, const Rounds& rounds) {
  for (size_t i = 0; i < rounds.rivals.size(); ++i) {
    const Rival& rival = rounds.rivals[i];
    const double time = median(rounds.times[i]);
    state.counters[rival.name + "_ms"] = time * 1e3;
    if (rival.call) state.counters[rival.name + "_peak_mb"] = static_cast<double>(peak_bytes(rival.call)) * 1e-6;
    if (rounds.resident_mb[i] > 0) state.counters[rival.name + "_rss_mb"] = rounds.resident_mb[i];
    if (rival.goal.time > 0) state.counters[rival.name + "_goal"] = rival.goal.time;
    if (rival.goal.memory > 0) state.counters[rival.name + "_rss_goal"] = rival.goal.memory;
    if (i > 0) {
      state.counters[rival.name + "_x"] = median(rounds.ratios[i]);
      state.counters[rival.name + "_low"] = quantile(rounds.ratios[i], 0.25);
      state.counters[rival.name + "_high"] = quantile(rounds.ratios[i], 0.75);
    }
    if (rival.gflop > 0) state.counters[rival.name + "_gflops"] = rival.gflop / time;
  }
}

}  // namespace

Rival resident_rival(const std::string& name, std::function<void()> call) {
  const auto timed = [call = std::move(call)] {
    forget_resident_peak();
    const auto start = Clock::now();
    call();
    return Measured{std::chrono::duration<double>(Clock::now() - start).count(), resident_peak_mb()};
  };
  return {.name = name, .call = {}, .timed = timed};
}

void add_turns(const std::string& name, std::function<std::vector<Rival>()> make, int rounds) {
  const auto body = [make = std::move(make)](benchmark::State& state) {
    const std::vector<Rival> rivals = make();
    Rounds turns(rivals);
    for (auto _ : state) state.SetIterationTime(turns.run());
    report(state, turns);
  };
  benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime()->Iterations(rounds)->Unit(benchmark::kMillisecond);
}

void add_turns(const std::string& name, std::vector<Rival> rivals) {
  add_turns(name, [rivals = std::move(rivals)] { return rivals; });
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
