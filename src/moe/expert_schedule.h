// Two levels of threads for work by expert: experts are spread over the threads, the largest first, and each multiplies on
// one; those too large for an even share come before, one after the other, with all threads inside their products.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>

#include "moe/dispatch.h"

namespace moe {

// Row buffers of one thread, used again from expert to expert.
class ExpertScratch {
 public:
  enum Use { tokens, hidden, act, weight, uses };

  // [rows, columns], values undefined. A later call for the same use gives the same memory; one type for each use.
  at::Tensor take(Use use, int64_t rows, int64_t columns, at::ScalarType type);

 private:
  std::array<at::Tensor, uses> buffers_;
};

struct ExpertRows {
  int64_t expert, begin, count;  // its sorted rows, filler rows included
};

// Calls body for every expert that has rows, on this thread or several: it may write only what belongs to its expert.
// Which expert runs with how many threads follows from the counts and the number of threads alone. Autograd is off in
// the body.
void for_each_expert(const Dispatch& dispatch, const std::function<void(const ExpertRows&, ExpertScratch&)>& body);

}  // namespace moe
