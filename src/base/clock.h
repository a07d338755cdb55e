// Wall time for logs and rates. Nothing that decides a result may read it.
#pragma once

#include <chrono>

namespace moe {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  // Seconds since the start or the last lap.
  double lap() {
    const double value = seconds();
    start_ = std::chrono::steady_clock::now();
    return value;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace moe
