// Counter-based random streams. A stream is a pure function of its key (seed, purpose, up to three counters such as
// epoch, sample, step), so neither the number of worker threads nor a resume can change what is drawn. No global
// generator exists. The generator is SplitMix64 (Steele et al., 2014) over a hashed key: word n of a stream is mix(key
// + (n + 1) * golden ratio).
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace moe {

uint64_t mix64(uint64_t x);                                 // SplitMix64's finaliser
uint64_t hash64(std::string_view text, uint64_t seed = 0);  // FNV-1a, then mixed

class Rng {
 public:
  Rng(uint64_t seed, std::string_view purpose, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0);

  // An independent stream below this one: the same parent and name give the same child, however much was drawn.
  Rng child(std::string_view purpose, uint64_t a = 0) const;

  uint64_t next();                          // 64 random bits
  double uniform();                         // [0, 1), 53 bits
  double uniform(double low, double high);  // [low, high)
  double normal();                          // mean 0, variance 1 (Box-Muller)
  int64_t below(int64_t n);                 // 0 .. n-1 without bias; n >= 1
  bool chance(double probability);

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
};

// A uniformly random order of 0 .. n-1 (Fisher-Yates).
std::vector<int64_t> permutation(Rng& rng, int64_t n);

}  // namespace moe
