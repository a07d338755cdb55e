#include "moe/dispatch.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "moe/expert_kernels.h"
#include "tensor/batch.h"
#include "tensor/gemm.h"

namespace moe {

namespace {

constexpr int64_t chunk_pairs = 4096;    // of one histogram
constexpr int64_t task_elements = 8192;  // of one thread's turn

int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, task_elements / std::max<int64_t>(1, width));
}

// Histograms of chunks of pairs; then, in the same place, the row at which a chunk's first pair of an expert goes.
class ChunkTable {
 public:
  ChunkTable(int64_t pairs, int64_t experts)
      : pairs_(pairs),
        experts_(experts),
        chunks_((pairs + chunk_pairs - 1) / chunk_pairs),
        table_(static_cast<size_t>(chunks_ * experts)) {}

  // Calls body(pair, entry of its chunk and expert) for every pair that is not dropped, chunks in parallel.
  template <typename Body>
  void for_pairs(const int64_t* expert_of, Body body) {
    at::parallel_for(0, chunks_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t pair = begin * chunk_pairs; pair < std::min(end * chunk_pairs, pairs_); ++pair) {
        if (expert_of[pair] >= 0) body(pair, entry(pair / chunk_pairs, expert_of[pair]));
      }
    });
  }

  // Turns the histograms into first rows; returns the count of each expert in `counts` and its first row in `offsets`.
  void scan(RowCounts kind, int64_t* counts, int64_t* offsets) {
    int64_t first = 0;
    for (int64_t expert = 0; expert < experts_; ++expert) {
      offsets[expert] = first;
      int64_t next = first;
      for (int64_t chunk = 0; chunk < chunks_; ++chunk) next += std::exchange(entry(chunk, expert), next);
      counts[expert] = next - first;
      first += kind == RowCounts::rounded ? gemm_rows(counts[expert]) : counts[expert];
    }
    offsets[experts_] = first;
  }

 private:
  int64_t& entry(int64_t chunk, int64_t expert) { return table_[static_cast<size_t>(chunk * experts_ + expert)]; }

  int64_t pairs_, experts_, chunks_;
  std::vector<int64_t> table_;  // [chunks, E]
};

void check_experts(const at::Tensor& experts, int64_t expert_count) {
  check(experts.scalar_type() == at::kLong, MOE_ERR_DTYPE, "dispatch: expected experts as int64, got ",
        c10::toString(experts.scalar_type()));
  check(experts.dim() == 2 && expert_count >= 1, MOE_ERR_SHAPE,
        "dispatch: expected experts [T, k] of at least one, got ", shape_text(experts.sizes()), " of ", expert_count);
  const int64_t* expert = experts.const_data_ptr<int64_t>();
  for (int64_t pair = 0; pair < experts.numel(); ++pair) {
    check(expert[pair] >= -1 && expert[pair] < expert_count, MOE_ERR_INVALID_ARGUMENT,
          "dispatch: expected experts in -1..", expert_count - 1, ", got ", expert[pair], " for token ",
          pair / experts.size(1));
  }
}

}  // namespace

Dispatch sort_by_expert(const at::Tensor& experts, int64_t expert_count, RowCounts kind) {
  Dispatch out;
  out.experts = experts.contiguous();
  check_experts(out.experts, expert_count);
  ChunkTable table(experts.numel(), expert_count);
  const int64_t* expert_of = out.experts.const_data_ptr<int64_t>();
  table.for_pairs(expert_of, [](int64_t, int64_t& count) { ++count; });
  out.counts = at::empty({expert_count}, at::kLong);
  out.offsets = at::empty({expert_count + 1}, at::kLong);
  int64_t* offsets = out.offsets.mutable_data_ptr<int64_t>();
  table.scan(kind, out.counts.mutable_data_ptr<int64_t>(), offsets);
  out.row_of = at::full({offsets[expert_count]}, -1, at::kLong);
  out.pos_of = at::full(experts.sizes(), -1, at::kLong);
  int64_t* row_of = out.row_of.mutable_data_ptr<int64_t>();
  int64_t* pos_of = out.pos_of.mutable_data_ptr<int64_t>();
  table.for_pairs(expert_of, [&](int64_t pair, int64_t& next) {
    pos_of[pair] = next;
    row_of[next++] = pair;
  });
  return out;
}

void gather_rows(const Dispatch& dispatch, const at::Tensor& x, int64_t begin, at::Tensor& out) {
  const auto bytes = static_cast<size_t>(x.size(1)) * x.element_size();
  const int64_t slots = dispatch.slots();
  const int64_t* row_of = dispatch.row_of.const_data_ptr<int64_t>() + begin;
  const auto* from = static_cast<const char*>(x.const_data_ptr());
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  at::parallel_for(0, out.size(0), row_grain(x.size(1)), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      char* into = to + static_cast<size_t>(row) * bytes;
      if (row_of[row] < 0) {
        std::memset(into, 0, bytes);
      } else {
        std::memcpy(into, from + static_cast<size_t>(row_of[row] / slots) * bytes, bytes);
      }
    }
  });
}

// out[i] = from[index[i]], 0 where the index is -1
static at::Tensor pick(const at::Tensor& from, const at::Tensor& index) {
  at::Tensor out = at::empty(index.sizes(), from.options());
  const int64_t* source = index.const_data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(from.scalar_type(), "gates", [&] {
    const scalar_t* values = from.const_data_ptr<scalar_t>();
    scalar_t* to = out.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, index.numel(), task_elements, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = source[i] < 0 ? scalar_t(0) : values[source[i]];
    });
  });
  return out;
}

at::Tensor gather_gates(const Dispatch& dispatch, const at::Tensor& gates) {
  return pick(gates.contiguous(), dispatch.row_of);
}

at::Tensor scatter_gates(const Dispatch& dispatch, const at::Tensor& rows) {
  return pick(rows.contiguous(), dispatch.pos_of);
}

at::Tensor combine_rows(const Dispatch& dispatch, const at::Tensor& rows, const at::Tensor& gates,
                        const at::Tensor& bias) {
  at::Tensor out = at::empty({dispatch.tokens(), rows.size(1)}, rows.options());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, rows.scalar_type(), "combine", [&] {
    using A = at::opmath_type<scalar_t>;
    const CombineInputs<scalar_t, A> in{rows.const_data_ptr<scalar_t>(),
                                        gates.defined() ? gates.const_data_ptr<A>() : nullptr,
                                        bias.defined() ? bias.const_data_ptr<A>() : nullptr,
                                        dispatch.pos_of.const_data_ptr<int64_t>(),
                                        dispatch.experts.const_data_ptr<int64_t>(),
                                        dispatch.slots(),
                                        rows.size(1)};
    scalar_t* to = out.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, dispatch.tokens(), row_grain(rows.size(1) * std::max<int64_t>(1, dispatch.slots())),
                     [&](int64_t begin, int64_t end) { combine_tokens(in, to, begin, end); });
  });
  return out;
}

}  // namespace moe
