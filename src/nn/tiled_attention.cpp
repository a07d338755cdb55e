#include "nn/tiled_attention.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "nn/attention_kernel.h"
#include "tensor/gemm.h"

namespace moe::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename Body>
void dispatch(const at::Tensor& tensor, Body body) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return body(float{});
    case at::kDouble:
      return body(double{});
    case at::kBFloat16:
      return body(c10::BFloat16{});
    default:
      fail(MOE_ERR_DTYPE, "attention: expected float32, float64 or bfloat16, got ",
           c10::toString(tensor.scalar_type()));
  }
}

// q [N, Nq, d], k and v [N, Nk, d], dense, N heads of all samples; blocked [Nq, Nk] dense or undefined. The forward
// pass writes sums [N, Nq, 2], RowSum of every query, and probabilities [N, Nq, Nk] where they are defined: kept.
struct Operands {
  at::Tensor q, k, v, blocked, sums, probabilities;

  int64_t heads() const { return q.size(0); }
  int64_t queries() const { return q.size(1); }
  int64_t keys() const { return k.size(1); }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(q.size(2))); }
};

// Queries first .. first + count - 1 of some heads; all queries where it is more than one head.
struct Tile {
  int64_t head, heads, query, queries;

  at::Tensor of_keys(const at::Tensor& x) const { return x.narrow(0, head, heads); }
  at::Tensor of_queries(const at::Tensor& x) const { return of_keys(x).narrow(1, query, queries); }
};

// Scores of one tile take at most this: half of a core's second-level cache, two of them in the backward pass.
constexpr int64_t tile_bytes = int64_t{512} << 10;

struct Tiling {
  int64_t heads, queries;  // of one tile

  explicit Tiling(const Operands& in) {
    const int64_t row = std::max<int64_t>(1, in.keys() * in.q.element_size());
    const int64_t rows = std::max<int64_t>(1, tile_bytes / row);
    heads = std::max<int64_t>(1, rows / std::max<int64_t>(1, in.queries()));
    heads = shared(in.heads(), heads, at::get_num_threads());
    queries = shared(in.queries(), rows, 1);
    if (queries < in.queries()) queries = (queries + 15) / 16 * 16;
  }

  // `all` in equal parts of at most `most`, their number a multiple of `threads`.
  static int64_t shared(int64_t all, int64_t most, int64_t threads) {
    const int64_t parts = std::max<int64_t>(1, (all + most - 1) / most);
    const int64_t even = (parts + threads - 1) / threads * threads;
    return std::max<int64_t>(1, (all + even - 1) / even);
  }
};

// Two score buffers of one thread.
class Scratch {
 public:
  Scratch(const Tiling& tiling, const Operands& in)
      : buffer_(at::empty({2, tiling.heads * tiling.queries * in.keys()}, in.q.options())) {}
  // [heads, queries, keys], values undefined.
  at::Tensor scores(const Operands& in, const Tile& tile) const { return part(1, in, tile); }
  // The same for probabilities: their place among those that are kept.
  at::Tensor probabilities(const Operands& in, const Tile& tile) const {
    return in.probabilities.defined() ? tile.of_queries(in.probabilities) : part(0, in, tile);
  }

 private:
  at::Tensor part(int64_t which, const Operands& in, const Tile& tile) const {
    const int64_t count = tile.heads * tile.queries * in.keys();
    return buffer_[which].narrow(0, 0, count).view({tile.heads, tile.queries, in.keys()});
  }

  at::Tensor buffer_;
};

// Calls body for every tile; those of one head come in the order of their queries, on one thread.
void for_each_tile(const Operands& in, const std::function<void(const Tile&, const Scratch&)>& body) {
  const Tiling tiling(in);
  const int64_t groups = (in.heads() + tiling.heads - 1) / tiling.heads;
  at::parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    const Scratch scratch(tiling, in);
    for (int64_t group = begin; group < end; ++group) {
      const int64_t head = group * tiling.heads, heads = std::min(tiling.heads, in.heads() - head);
      for (int64_t query = 0; query < in.queries(); query += tiling.queries) {
        body({head, heads, query, std::min(tiling.queries, in.queries() - query)}, scratch);
      }
    }
  });
}

template <typename T>
ScoreRows<T> rows_of(const Operands& in, const Tile& tile, at::Tensor& scores) {
  const bool* blocked = in.blocked.defined() ? in.blocked.const_data_ptr<bool>() + tile.query * in.keys() : nullptr;
  return {scores.mutable_data_ptr<T>(), tile.heads * tile.queries, in.keys(), in.scale(), blocked, tile.queries};
}

template <typename T>
RowSum<RowNumber<T>>* sums_of(const Operands& in, const Tile& tile) {
  auto* sums = reinterpret_cast<RowSum<RowNumber<T>>*>(in.sums.mutable_data_ptr<RowNumber<T>>());
  return sums + tile.head * in.queries() + tile.query;
}

void forward_tile(const Operands& in, const Tile& tile, const Scratch& scratch, const at::Tensor& out) {
  at::Tensor p = scratch.probabilities(in, tile), to = tile.of_queries(out);
  batched_gemm(tile.of_queries(in.q), tile.of_keys(in.k).transpose(1, 2), p);
  dispatch(p, [&](auto type) {
    using T = decltype(type);
    softmax_rows(rows_of<T>(in, tile, p), sums_of<T>(in, tile));
  });
  batched_gemm(p, tile.of_keys(in.v), to);
}

struct Gradients {
  at::Tensor q, k, v;
};

// out = a b, plus out where `more`; a sum over several tiles is float32 where the operands are bfloat16.
void add_product(const at::Tensor& a, const at::Tensor& b, at::Tensor& out, bool more) {
  if (out.scalar_type() == a.scalar_type()) return batched_gemm(a, b, out, more);
  at::Tensor product = at::empty(out.sizes(), a.options());
  batched_gemm(a, b, product);
  if (more) {
    out.add_(product);
  } else {
    out.copy_(product);
  }
}

void backward_tile(const Operands& in, const Tile& tile, const Scratch& scratch, const at::Tensor& grad_out,
                   const Gradients& grads) {
  at::Tensor p = scratch.probabilities(in, tile), ds = scratch.scores(in, tile);
  const at::Tensor q = tile.of_queries(in.q), k = tile.of_keys(in.k), dy = tile.of_queries(grad_out);
  at::Tensor dq = tile.of_queries(grads.q), dk = tile.of_keys(grads.k), dv = tile.of_keys(grads.v);
  const bool kept = in.probabilities.defined();
  if (!kept) batched_gemm(q, k.transpose(1, 2), p);
  batched_gemm(dy, tile.of_keys(in.v).transpose(1, 2), ds);
  dispatch(p, [&](auto type) {
    using T = decltype(type);
    if (!kept) softmax_rows_again(rows_of<T>(in, tile, p), sums_of<T>(in, tile));
    softmax_rows_backward(p.const_data_ptr<T>(), ds.mutable_data_ptr<T>(), tile.heads * tile.queries, in.keys(),
                          in.scale());
  });
  const bool more = tile.query > 0;
  add_product(p.transpose(1, 2), dy, dv, more);
  add_product(ds.transpose(1, 2), q, dk, more);
  batched_gemm(ds, k, dq);
}

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  // `given` has the mask and the room for sums and probabilities.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const Operands& given) {
    const Operands in = {q, k, v, given.blocked, given.sums, given.probabilities};
    const at::Tensor out = at::empty_like(q);
    for_each_tile(in, [&](const Tile& tile, const Scratch& scratch) { forward_tile(in, tile, scratch, out); });
    context->save_for_backward({q, k, v, in.blocked, in.sums, in.probabilities});
    return out;
  }

  static Gradients room_for(const Operands& in) {
    if (in.queries() == 0) return {at::zeros_like(in.q), at::zeros_like(in.k), at::zeros_like(in.v)};
    const bool several = in.q.scalar_type() == at::kBFloat16 && Tiling(in).queries < in.queries();
    const auto sums = several ? in.k.options().dtype(at::kFloat) : in.k.options();
    return {at::empty_like(in.q), at::empty(in.k.sizes(), sums), at::empty(in.v.sizes(), sums)};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list s = context->get_saved_variables();
    const Operands in = {s[0], s[1], s[2], s[3], s[4], s[5]};
    const at::Tensor grad_out = grads[0].to(in.q.scalar_type()).contiguous();
    const Gradients out = room_for(in);
    for_each_tile(in,
                  [&](const Tile& tile, const Scratch& scratch) { backward_tile(in, tile, scratch, grad_out, out); });
    const at::ScalarType type = in.q.scalar_type();
    return {out.q, out.k.to(type), out.v.to(type), at::Tensor()};
  }
};

// Few probabilities are read back from the last-level cache faster than they are computed again.
bool keeps_probabilities(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  constexpr int64_t most_bytes = int64_t{8} << 20;
  const bool wanted = at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  return wanted && q.size(0) * q.size(1) * q.size(2) * k.size(2) * q.element_size() <= most_bytes;
}

}  // namespace

at::Tensor tiled_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& blocked) {
  const auto merge = [](const at::Tensor& x) { return x.contiguous().flatten(0, 1); };  // [B, H, N, d] -> [B * H, N, d]
  const at::ScalarType sums = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  Operands given;
  if (blocked.defined()) given.blocked = blocked.contiguous();
  const int64_t heads = q.size(0) * q.size(1);
  given.sums = at::empty({heads, q.size(2), 2}, q.options().dtype(sums));
  if (keeps_probabilities(q, k, v)) given.probabilities = at::empty({heads, q.size(2), k.size(2)}, q.options());
  const at::Tensor out = AttentionFunction::apply(merge(q), merge(k), merge(v), given);
  return out.unflatten(0, {q.size(0), q.size(1)}).transpose(1, 2).flatten(2);
}

}  // namespace moe::nn
