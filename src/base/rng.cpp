#include "base/rng.h"

#include <cmath>
#include <numbers>
#include <numeric>

namespace moe {

static constexpr uint64_t golden = 0x9E3779B97F4A7C15ull;

uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

uint64_t hash64(std::string_view text, uint64_t seed) {
  uint64_t hash = 0xCBF29CE484222325ull ^ seed;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  return mix64(hash);
}

Rng::Rng(uint64_t seed, std::string_view purpose, uint64_t a, uint64_t b, uint64_t c) {
  key_ = hash64(purpose, mix64(seed + golden));
  for (const uint64_t part : {a, b, c}) key_ = mix64(key_ + golden + part);
}

Rng Rng::child(std::string_view purpose, uint64_t a) const {
  return Rng(key_, purpose, a);
}

uint64_t Rng::next() {
  return mix64(key_ + ++counter_ * golden);
}

double Rng::uniform() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

double Rng::uniform(double low, double high) {
  return low + (high - low) * uniform();
}

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

int64_t Rng::below(int64_t n) {
  const auto range = static_cast<uint64_t>(n);
  const uint64_t limit = UINT64_MAX - UINT64_MAX % range;
  uint64_t word = next();
  while (word >= limit) word = next();
  return static_cast<int64_t>(word % range);
}

bool Rng::chance(double probability) {
  return uniform() < probability;
}

std::vector<int64_t> permutation(Rng& rng, int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i)
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(rng.below(i + 1))]);
  return order;
}

}  // namespace moe
