#include "train/ema.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/simd.h"
#include "base/text.h"

namespace moe {

namespace {

template <typename T>
inline __attribute__((always_inline)) void blend_loop(T* __restrict average, const T* __restrict live, int64_t count,
                                                      T decay) {
  const T rest = 1 - decay;
  for (int64_t i = 0; i < count; ++i) average[i] = average[i] * decay + live[i] * rest;
}

MOE_MULTIVERSION void blend(float* average, const float* live, int64_t count, double decay) {
  blend_loop<float>(average, live, count, static_cast<float>(decay));
}
MOE_MULTIVERSION void blend(double* average, const double* live, int64_t count, double decay) {
  blend_loop<double>(average, live, count, decay);
}

void check_live(const std::string& name, const at::Tensor& tensor) {
  const bool floats = at::isFloatingType(tensor.scalar_type());
  const bool usable = tensor.is_cpu() && tensor.is_non_overlapping_and_dense() &&
                      (!floats || tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble);
  check(usable, MOE_ERR_INTERNAL, "ema: ", quoted(name), ": expected dense fp32, fp64 or integers on the CPU");
}

}  // namespace

Ema::Ema(const EmaOptions& options, std::vector<std::pair<std::string, at::Tensor>> live)
    : options_(options), live_(std::move(live)) {
  for (size_t i = 0; i < live_.size(); ++i) {
    auto& [name, tensor] = live_[i];
    check_live(name, tensor);
    tensor = tensor.detach();  // the same memory
    averages_.emplace_back(name, tensor.clone());
    append_chunks(chunks_, i, tensor.numel());
  }
}

double Ema::decay_at(int64_t update, int64_t samples, int64_t seen) const {
  if (options_.half_life == 0) return options_.decay * (1 - std::exp(-static_cast<double>(update) / options_.warmup));
  constexpr double ramp = 0.05;
  const double half_life = std::min(options_.half_life, ramp * static_cast<double>(seen));
  return std::pow(0.5, static_cast<double>(samples) / std::max(half_life, 1e-8));
}

void Ema::update(int64_t samples, int64_t seen) noexcept {
  const double decay = decay_at(++updates_, samples, seen);
  for_each_chunk(chunks_, [&](size_t, const Chunk& chunk) {
    const at::Tensor& live = live_[chunk.tensor].second;
    void* to = averages_[chunk.tensor].second.mutable_data_ptr();
    const void* from = live.const_data_ptr();
    const int64_t count = chunk.end - chunk.begin;
    if (live.scalar_type() == at::kFloat) {
      blend(static_cast<float*>(to) + chunk.begin, static_cast<const float*>(from) + chunk.begin, count, decay);
    } else if (live.scalar_type() == at::kDouble) {
      blend(static_cast<double*>(to) + chunk.begin, static_cast<const double*>(from) + chunk.begin, count, decay);
    } else {
      const size_t size = live.element_size(), offset = chunk.begin * size;
      std::memcpy(static_cast<char*>(to) + offset, static_cast<const char*>(from) + offset, count * size);
    }
  });
}

// Swaps the contents: pointers stay, so whatever holds the tensors sees the change, and nothing can fail on the way
// back.
void Ema::exchange() noexcept {
  for_each_chunk(chunks_, [&](size_t, const Chunk& chunk) {
    const size_t size = live_[chunk.tensor].second.element_size();
    char* a = static_cast<char*>(live_[chunk.tensor].second.mutable_data_ptr());
    char* b = static_cast<char*>(averages_[chunk.tensor].second.mutable_data_ptr());
    std::swap_ranges(a + chunk.begin * size, a + chunk.end * size, b + chunk.begin * size);
  });
  for (auto& [name, tensor] : live_) tensor.unsafeGetTensorImpl()->bump_version();
}

Ema::Swap::Swap(Ema* ema) : ema_(ema) {
  if (ema_ == nullptr) return;
  check(!ema_->swapped_, MOE_ERR_STATE, "ema: expected the network's own weights, got the averages already in place");
  ema_->exchange();
  ema_->swapped_ = true;
}

Ema::Swap::~Swap() {
  if (ema_ == nullptr) return;
  ema_->exchange();
  ema_->swapped_ = false;
}

}  // namespace moe
