// Timing of rival calls turn by turn (A, B, C, A, B, C, ...): a machine that drifts changes all of them alike, so the
// ratio of two of them holds where neither time does. Google Benchmark runs the rounds, prints and writes the numbers.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

namespace bench {

// What a call took that measured itself.
struct Measured {
  double seconds;
  double resident_mb;  // the most of its process during the call; 0: not known
};

// The most that the first rival may take of this one's; 0: nothing was set.
struct Goal {
  double time = 0, memory = 0;
};

struct Rival {
  std::string name;
  std::function<void()> call;
  double gflop = 0;                      // work of one call in 1e9 operations; 0: no rate is reported
  std::function<Measured()> timed = {};  // in place of `call`: measures itself
  Goal goal = {};
};

// The call, timed together with the resident memory of this process.
Rival resident_rival(const std::string& name, std::function<void()> call);

// A benchmark of rivals; its time is that of the first. Counters: NAME_ms, the median time of one call; NAME_gflops,
// the rate at that time; NAME_x, for all but the first, the median over the rounds of the first's time divided by this
// one's (below 1: the first is faster), and NAME_low and NAME_high, the quartiles of it; NAME_peak_mb, see
// peak_memory.h, or NAME_rss_mb, the most resident memory of its process; NAME_goal and NAME_rss_goal. Calls shorter
// than a turn of 2 ms run several times in it.
void add_turns(const std::string& name, std::vector<Rival> rivals);
// The same with rivals that are made when the benchmark runs and gone after it: other processes, much memory.
void add_turns(const std::string& name, std::function<std::vector<Rival>()> make, int rounds = 25);

// The main function of a benchmark program: adds threads and the library's choices to the printed context.
int run_benchmarks(int argc, char** argv);

}  // namespace bench
