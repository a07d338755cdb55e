// Attention: the route by shape and type; the tiled route against the plain formula in float64, over several tiles,
// with one query, with none, and with queries that see nothing; its row passes on rows of every length; the same bits
// for one and two threads and for two runs.
#include "nn/attention.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/rng.h"
#include "nn/attention_kernel.h"
#include "nn/tiled_attention.h"
#include "support/finite_difference.h"
#include "support/test.h"
#include "tensor/gemm.h"
#include "tensor/random.h"

using namespace moe::nn;
using moe::GemmBackend;

namespace {

at::Tensor values(const char* name, at::IntArrayRef shape, at::ScalarType type) {
  return moe::normal_tensor(moe::Rng(3, name), shape).to(type);
}

struct Inputs {
  at::Tensor q, k, v, dy;

  Inputs(int64_t batch, int64_t heads, int64_t queries, int64_t keys, int64_t width, at::ScalarType type)
      : q(values("q", {batch, heads, queries, width}, type).requires_grad_()),
        k(values("k", {batch, heads, keys, width}, type).requires_grad_()),
        v(values("v", {batch, heads, keys, width}, type).requires_grad_()),
        dy(values("dy", {batch, queries, heads * width}, type)) {}

  std::vector<at::Tensor> leaves() const { return {q, k, v}; }
  Inputs in_double() const {
    Inputs out = *this;
    for (at::Tensor* leaf : {&out.q, &out.k, &out.v}) *leaf = leaf->detach().to(at::kDouble).requires_grad_();
    out.dy = dy.to(at::kDouble);
    return out;
  }
};

// Queries that see nothing get 0.
at::Tensor by_formula(const Inputs& in, const at::Tensor& blocked) {
  at::Tensor scores = at::matmul(in.q, in.k.transpose(2, 3)) / std::sqrt(static_cast<double>(in.q.size(3)));
  if (blocked.defined()) scores = scores.masked_fill(blocked, -1e30);
  at::Tensor p = scores.softmax(3);
  if (blocked.defined()) p = p.masked_fill(blocked, 0);
  return at::matmul(p, in.v).transpose(1, 2).flatten(2);
}

// Output and the three gradients.
template <typename Attention>
std::vector<at::Tensor> all_of(const Inputs& in, Attention attention) {
  const at::Tensor y = attention(in);
  std::vector<at::Tensor> out = torch::autograd::grad({y}, in.leaves(), {in.dy});
  out.insert(out.begin(), y.detach());
  return out;
}

std::vector<at::Tensor> tiled(const Inputs& in, const at::Tensor& blocked = {}) {
  return all_of(in, [&](const Inputs& one) { return tiled_attention(one.q, one.k, one.v, blocked); });
}

void check_formula(const Inputs& in, const at::Tensor& blocked, double tolerance) {
  const Inputs exact = in.in_double();
  const auto want = all_of(exact, [&](const Inputs& one) { return by_formula(one, blocked); });
  const auto got = tiled(in, blocked);
  for (size_t i = 0; i < want.size(); ++i) {
    CHECK(got[i].sizes() == want[i].sizes() && got[i].scalar_type() == in.q.scalar_type());
    const double size = want[i].abs().max().item<double>();
    CHECK_NEAR((got[i].to(at::kDouble) - want[i]).abs().max().item<double>(), 0, tolerance * std::fmax(size, 1));
  }
}

double tolerance_of(at::ScalarType type) {
  return type == at::kDouble ? 1e-12 : type == at::kFloat ? 1e-5 : 3e-2;
}

void check_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i) CHECK(at::equal(a[i], b[i]));
}

}  // namespace

// One tile and several, of heads and of queries; probabilities that are kept and that are computed again (the last).
static void values_and_gradients(void**) {
  constexpr int64_t sizes[][5] = {
      {2, 3, 7, 9, 8}, {8, 12, 129, 129, 64}, {1, 3, 700, 500, 16}, {1, 1, 40, 1, 8}, {1, 9, 1000, 600, 8}};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    for (const auto& [batch, heads, queries, keys, width] : sizes) {
      const Inputs in(batch, heads, queries, keys, width, type);
      check_formula(in, {}, tolerance_of(type));
      const at::Tensor hidden = at::rand({queries, keys}).lt(0.3).logical_or(at::arange(queries).eq(3).unsqueeze(1));
      check_formula(in, hidden, tolerance_of(type));
    }
  }
}

static void finite_differences(void**) {
  const Inputs in(1, 2, 5, 4, 3, at::kDouble);
  const at::Tensor blocked = at::ones({5, 4}, at::kBool).triu(2);
  const auto scalar = [&] { return (tiled_attention(in.q, in.k, in.v, blocked) * in.dy).sum(); };
  CHECK(gradient_error(scalar, in.leaves()) < 1e-8);
}

static void one_query_and_none(void**) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    check_formula(Inputs(2, 3, 1, 33, 8, type), {}, tolerance_of(type));
    for (const auto route : {attention, tiled_attention}) {
      const Inputs none(2, 3, 0, 33, 8, type);
      const auto got = all_of(none, [&](const Inputs& in) { return route(in.q, in.k, in.v, {}); });
      CHECK(got[0].sizes() == at::IntArrayRef({2, 0, 24}) && got[1].sizes() == none.q.sizes());
      for (const size_t i : {2, 3}) CHECK(got[i].sizes() == none.k.sizes() && got[i].eq(0).all().item<bool>());
    }
  }
}

static void blocked_rows_are_zero(void**) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Inputs in(1, 2, 6, 20, 8, type);
    const auto got = tiled(in, at::arange(6).ge(4).unsqueeze(1).expand({6, 20}));
    CHECK(got[0].narrow(1, 4, 2).eq(0).all().item<bool>() && got[0].narrow(1, 0, 4).ne(0).all().item<bool>());
    CHECK(got[1].narrow(2, 4, 2).eq(0).all().item<bool>());
    for (const at::Tensor& tensor : got) CHECK(tensor.isfinite().all().item<bool>());
  }
}

// A query of not-a-number stays one, whatever its mask hides.
static void not_a_number_passes(void**) {
  Inputs in(1, 1, 3, 20, 8, at::kFloat);
  in.q.detach()[0][0][1].fill_(std::numeric_limits<float>::quiet_NaN());
  for (const at::Tensor& blocked : {at::Tensor(), at::arange(20).ge(10).expand({3, 20})}) {
    const at::Tensor bad = tiled(in, blocked)[0].isnan();
    CHECK(bad[0][1].all().item<bool>() && !bad[0][0].any().item<bool>() && !bad[0][2].any().item<bool>());
  }
}

static void route_by_shape_and_type(void**) {
  const bool onednn = moe::gemm_backend() == GemmBackend::onednn;
  const auto fp32 = onednn ? AttentionRoute::tiled : AttentionRoute::fused;
  for (const auto& [heads, tokens, width] : {std::array<int64_t, 3>{12, 129, 64}, {8, 400, 32}}) {
    const Inputs in(8, heads, tokens, tokens, width, at::kFloat);
    CHECK(attention_route(in.q, in.k) == fp32);
    CHECK(attention_route(in.q, in.k, at::zeros({tokens, tokens}, at::kBool)) == fp32);
    CHECK(attention_route(in.q, in.k, at::zeros({8, 1, tokens, tokens}, at::kBool)) == AttentionRoute::fused);
    CHECK(attention_route(in.q.to(at::kBFloat16), in.k.to(at::kBFloat16)) == AttentionRoute::tiled);
    CHECK(attention_route(in.q.to(at::kDouble), in.k.to(at::kDouble)) == AttentionRoute::fused);
  }
  const Inputs tiny(1, 2, 16, 16, 8, at::kFloat);  // a call of the products costs more than they do
  CHECK(attention_route(tiny.q, tiny.k) == AttentionRoute::fused);
}

static void two_runs_same_bits(void**) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const auto& [heads, tokens, width] : {std::array<int64_t, 3>{12, 129, 64}, {8, 400, 32}}) {
      const Inputs in(8, heads, tokens, tokens, width, type);
      const auto run = [&] { return all_of(in, [](const Inputs& one) { return attention(one.q, one.k, one.v); }); };
      check_same(run(), run());
    }
  }
}

namespace {

// Row passes on plain memory.
template <typename T>
struct Rows {
  static constexpr int64_t period = 3;
  at::Tensor scores, mask, sums, p;

  Rows(int64_t rows, int64_t keys, at::ScalarType type)
      : scores(values("scores", {rows, keys}, type) * 3),
        mask(values("mask", {period, keys}, at::kFloat).gt(1)),
        sums(at::empty({rows, 2}, at::CppTypeToScalarType<RowNumber<T>>::value)),
        p(scores.clone()) {
    softmax_rows(in(p), sum());
  }
  RowSum<RowNumber<T>>* sum() const { return reinterpret_cast<RowSum<RowNumber<T>>*>(sums.data_ptr()); }
  ScoreRows<T> in(const at::Tensor& to) const {
    return {to.mutable_data_ptr<T>(), to.size(0), to.size(1), 0.25, mask.const_data_ptr<bool>(), period};
  }
  at::Tensor again() const {
    at::Tensor out = scores.clone();
    softmax_rows_again(in(out), sum());
    return out;
  }
  at::Tensor gradient() const {
    at::Tensor out = scores.clone();
    softmax_rows_backward(p.const_data_ptr<T>(), out.mutable_data_ptr<T>(), out.size(0), out.size(1), 0.25);
    return out;
  }
  at::Tensor by_formula() const {
    const at::Tensor hidden = mask.index_select(0, at::arange(scores.size(0)).remainder(period));
    const at::Tensor x = (scores.to(at::kDouble) * 0.25).masked_fill(hidden, -1e30);
    return x.softmax(1).masked_fill(hidden, 0);
  }
};

template <typename T>
void check_rows(at::ScalarType type) {
  for (int64_t keys = 1; keys <= 70; ++keys) {
    const Rows<T> rows(7, keys, type);
    const at::Tensor want = rows.by_formula(), p = rows.p.to(at::kDouble), grad = rows.scores.to(at::kDouble);
    CHECK_NEAR((p - want).abs().max().template item<double>(), 0, tolerance_of(type) / 2);
    CHECK(at::equal(rows.p, rows.again()));
    const at::Tensor slope = 0.25 * p * (grad - (p * grad).sum(1, true));
    CHECK_NEAR((rows.gradient().to(at::kDouble) - slope).abs().max().template item<double>(), 0, tolerance_of(type));
  }
}

template <typename T>
std::vector<at::Tensor> with_threads(int threads, at::ScalarType type) {
  at::set_num_threads(threads);
  const Rows<T> rows(501, 129, type);
  return {rows.p, rows.again(), rows.gradient(), rows.sums};
}

}  // namespace

static void rows_of_every_length(void**) {
  check_rows<float>(at::kFloat);
  check_rows<double>(at::kDouble);
  check_rows<c10::BFloat16>(at::kBFloat16);
}

static void rows_same_bits_for_one_and_two_threads(void**) {
  check_same(with_threads<float>(1, at::kFloat), with_threads<float>(2, at::kFloat));
  check_same(with_threads<double>(1, at::kDouble), with_threads<double>(2, at::kDouble));
  check_same(with_threads<c10::BFloat16>(1, at::kBFloat16), with_threads<c10::BFloat16>(2, at::kBFloat16));
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {
      cmocka_unit_test(values_and_gradients),
      cmocka_unit_test(finite_differences),
      cmocka_unit_test(one_query_and_none),
      cmocka_unit_test(blocked_rows_are_zero),
      cmocka_unit_test(not_a_number_passes),
      cmocka_unit_test(route_by_shape_and_type),
      cmocka_unit_test(two_runs_same_bits),
      cmocka_unit_test(rows_of_every_length),
      cmocka_unit_test(rows_same_bits_for_one_and_two_threads),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
