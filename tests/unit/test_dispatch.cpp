// Dispatch and combine against std::stable_sort and plain loops in double, on awkward sizes; filler rows; the same bits
// for one and two threads; zero tokens, one token, one expert, all dropped.
#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>

#include "moe/dispatch.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "tensor/gemm.h"

using moe::Dispatch;
using moe::RowCounts;
using moe::sort_by_expert;

struct Case {
  int64_t tokens, slots, experts, dim;
  bool dropping;  // one pair in E + 1 is dropped
};

static std::vector<Case> cases() {
  return {
      {23, 2, 4, 5, true},   {1, 1, 1, 1, false},     {1, 3, 3, 16, false},
      {0, 2, 4, 8, false},   {5000, 4, 16, 17, true}, {300, 2, 64, 33, true},
      {40, 1, 1, 512, true}, {7, 2, 3, 1030, true},   {9000, 2, 3, 4, false},
  };
}

static at::Tensor random_experts(const Case& c) {
  const int64_t choices = c.experts + (c.dropping ? 1 : 0);
  const at::Tensor u = hash_fill::uniform("experts", {c.tokens, c.slots});
  return (u * static_cast<double>(choices)).floor().to(at::kLong) - (c.dropping ? 1 : 0);
}

static std::vector<int64_t> values(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  const int64_t* data = dense.const_data_ptr<int64_t>();
  return {data, data + dense.numel()};
}

// Kept pairs in the order of a stable sort by expert.
static std::vector<int64_t> sorted_pairs(const std::vector<int64_t>& experts) {
  std::vector<int64_t> order(experts.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int64_t pair) { return experts[static_cast<size_t>(pair)] < 0; });
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return experts[static_cast<size_t>(a)] < experts[static_cast<size_t>(b)];
  });
  return order;
}

static void check_maps(const Dispatch& d, int64_t experts, RowCounts kind) {
  const std::vector<int64_t> expert_of = values(d.experts), offsets = values(d.offsets), counts = values(d.counts);
  std::vector<int64_t> row_of = values(d.row_of), pos_of = values(d.pos_of);
  CHECK(offsets[0] == 0 && offsets.back() == d.rows());
  std::vector<int64_t> wanted_pos(pos_of.size(), -1), kept;
  for (int64_t e = 0; e < experts; ++e) {
    const auto i = static_cast<size_t>(e);
    CHECK(counts[i] == std::count(expert_of.begin(), expert_of.end(), e));
    CHECK(offsets[i + 1] - offsets[i] == (kind == RowCounts::exact ? counts[i] : moe::gemm_rows(counts[i])));
    for (int64_t row = offsets[i]; row < offsets[i + 1]; ++row) {
      const int64_t pair = row_of[static_cast<size_t>(row)];
      CHECK((pair >= 0) == (row < offsets[i] + counts[i]));
      if (pair < 0) continue;
      wanted_pos[static_cast<size_t>(pair)] = row;
      kept.push_back(pair);
    }
  }
  CHECK(kept == sorted_pairs(expert_of));
  CHECK(pos_of == wanted_pos);
}

static void test_stable_counting_sort(void**) {
  for (const Case& c : cases()) {
    for (const RowCounts kind : {RowCounts::exact, RowCounts::rounded}) {
      const at::Tensor experts = random_experts(c);
      const Dispatch d = sort_by_expert(experts, c.experts, kind);
      CHECK(d.tokens() == c.tokens && d.slots() == c.slots && d.expert_count() == c.experts);
      CHECK(d.experts.equal(experts));
      check_maps(d, c.experts, kind);
    }
  }
}

static void test_all_dropped(void**) {
  const Dispatch d = sort_by_expert(at::full({5, 2}, -1, at::kLong), 3, RowCounts::rounded);
  CHECK(d.rows() == 0);
  CHECK(d.pos_of.equal(at::full({5, 2}, -1, at::kLong)));
  CHECK(moe::combine_rows(d, at::empty({0, 4}), at::ones({5, 2})).equal(at::zeros({5, 4})));
}

static void test_transposed_experts(void**) {
  const at::Tensor experts = random_experts({40, 3, 5, 1, true});
  const Dispatch d = sort_by_expert(experts.t().contiguous().t(), 5);
  CHECK(d.row_of.equal(sort_by_expert(experts, 5).row_of));
}

struct Values {
  at::Tensor x, rows, gates, bias;

  Values(const Case& c, const Dispatch& d, at::ScalarType type) {
    const at::ScalarType sums = type == at::kDouble ? at::kDouble : at::kFloat;
    const auto make = [](const char* name, at::IntArrayRef shape) { return hash_fill::uniform(name, shape) - 0.4; };
    x = make("x", {c.tokens, c.dim}).to(type);
    rows = make("rows", {d.rows(), c.dim}).to(type);
    gates = make("gates", {c.tokens, c.slots}).to(sums);
    bias = make("bias", {c.experts, c.dim}).to(sums);
  }
};

static at::Tensor gathered(const Dispatch& d, const at::Tensor& x) {
  at::Tensor out = at::empty({d.rows(), x.size(1)}, x.options());
  moe::gather_rows(d, x, 0, out);
  return out;
}

// One token and slot at a time, in double.
static at::Tensor plain_combine(const Dispatch& d, const Values& v, bool gated, bool with_bias) {
  const at::Tensor rows = v.rows.to(at::kDouble), gates = v.gates.to(at::kDouble), bias = v.bias.to(at::kDouble);
  at::Tensor out = at::zeros({d.tokens(), v.rows.size(1)}, at::kDouble);
  const std::vector<int64_t> pos_of = values(d.pos_of), expert_of = values(d.experts);
  for (int64_t pair = 0; pair < static_cast<int64_t>(pos_of.size()); ++pair) {
    const auto i = static_cast<size_t>(pair);
    if (pos_of[i] < 0) continue;
    const int64_t token = pair / d.slots();
    at::Tensor row = rows[pos_of[i]];
    if (with_bias) row = row + bias[expert_of[i]];
    out[token] += gated ? row * gates[token][pair % d.slots()] : row;
  }
  return out;
}

static void check_close(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  CHECK(got.sizes() == want.sizes());
  if (got.numel() > 0) CHECK_NEAR((got.to(at::kDouble) - want).abs().max().item<double>(), 0.0, tolerance);
}

static void check_combine(at::ScalarType type, double tolerance) {
  for (const Case& c : cases()) {
    if (c.tokens > 1000) continue;
    const Dispatch d = sort_by_expert(random_experts(c), c.experts, RowCounts::rounded);
    const Values v(c, d, type);
    check_close(moe::combine_rows(d, v.rows, v.gates, v.bias), plain_combine(d, v, true, true), tolerance);
    check_close(moe::combine_rows(d, v.rows, v.gates), plain_combine(d, v, true, false), tolerance);
    check_close(moe::combine_rows(d, v.rows, {}), plain_combine(d, v, false, false), tolerance);
    CHECK(moe::combine_rows(d, v.rows, v.gates).scalar_type() == type);
  }
}

static void test_combine_fp64(void**) {
  check_combine(at::kDouble, 1e-14);
}
static void test_combine_fp32(void**) {
  check_combine(at::kFloat, 1e-6);
}
static void test_combine_bf16(void**) {  // sums in float, one rounding at the end
  check_combine(at::kBFloat16, 1.2e-2);
}

static void test_gather(void**) {
  for (const Case& c : cases()) {
    const Dispatch d = sort_by_expert(random_experts(c), c.experts, RowCounts::rounded);
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
      const Values v(c, d, type);
      at::Tensor want = at::zeros({d.rows(), c.dim}, type);
      const at::Tensor real = d.row_of.ge(0).nonzero().flatten();
      const at::Tensor tokens = d.row_of.index_select(0, real).div(c.slots, "floor");
      want.index_copy_(0, real, v.x.index_select(0, tokens));
      CHECK(gathered(d, v.x).equal(want));
    }
  }
}

// A slice of the rows, as one expert takes it.
static void test_gather_slice(void**) {
  const Case c{50, 2, 4, 6, true};
  const Dispatch d = sort_by_expert(random_experts(c), c.experts);
  const Values v(c, d, at::kFloat);
  at::Tensor slice = at::empty({9, 6});
  moe::gather_rows(d, v.x, 11, slice);
  CHECK(slice.equal(gathered(d, v.x).narrow(0, 11, 9)));
}

static void test_gates_round_trip(void**) {
  for (const Case& c : cases()) {
    const Dispatch d = sort_by_expert(random_experts(c), c.experts, RowCounts::rounded);
    for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
      const Values v(c, d, type);
      const at::Tensor rows = moe::gather_gates(d, v.gates);
      CHECK(rows.sizes() == at::IntArrayRef({d.rows()}));
      CHECK(moe::scatter_gates(d, rows).equal(v.gates * d.experts.ge(0)));
      CHECK(rows.masked_select(d.row_of.lt(0)).abs().sum().item<double>() == 0);
    }
  }
}

// A bfloat16 sum that is not a number stays one, and infinities stay infinite.
static void test_bf16_keeps_non_finite_values(void**) {
  const Dispatch d = sort_by_expert(at::zeros({4, 1}, at::kLong), 1);
  const at::Tensor rows = at::tensor({NAN, INFINITY, -INFINITY, 1.00390625f}).view({4, 1}).to(at::kBFloat16);
  const at::Tensor out = moe::combine_rows(d, rows, {});
  CHECK(std::isnan(out[0][0].item<float>()));
  CHECK(out.narrow(0, 1, 3).equal(rows.narrow(0, 1, 3)));
}

static void test_same_bits_for_any_thread_count(void**) {
  const Case c{9000, 2, 8, 40, true};
  std::vector<at::Tensor> first;
  for (const int threads : {1, 2, 2}) {
    at::set_num_threads(threads);
    const Dispatch d = sort_by_expert(random_experts(c), c.experts, RowCounts::rounded);
    const Values v(c, d, at::kFloat);
    const std::vector<at::Tensor> results = {d.row_of, d.pos_of, d.offsets, gathered(d, v.x),
                                             moe::combine_rows(d, v.rows, v.gates, v.bias)};
    if (first.empty()) first = results;
    for (size_t i = 0; i < results.size(); ++i) CHECK(results[i].equal(first[i]));
  }
  at::set_num_threads(2);
}

static void test_errors(void**) {
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "expected experts in -1..3, got 4 for token 1",
              sort_by_expert(at::tensor({0, 3, 1, 4}, at::kLong).view({2, 2}), 4));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "got -2 for token 0", sort_by_expert(at::full({1, 1}, -2, at::kLong), 4));
  CHECK_ERROR(MOE_ERR_DTYPE, "int64, got Float", sort_by_expert(at::zeros({2, 2}), 4));
  CHECK_ERROR(MOE_ERR_SHAPE, "[T, k]", sort_by_expert(at::zeros({4}, at::kLong), 4));
  CHECK_ERROR(MOE_ERR_SHAPE, "at least one", sort_by_expert(at::zeros({2, 2}, at::kLong), 0));
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_stable_counting_sort),
      cmocka_unit_test(test_all_dropped),
      cmocka_unit_test(test_transposed_experts),
      cmocka_unit_test(test_combine_fp64),
      cmocka_unit_test(test_combine_fp32),
      cmocka_unit_test(test_combine_bf16),
      cmocka_unit_test(test_gather),
      cmocka_unit_test(test_gather_slice),
      cmocka_unit_test(test_gates_round_trip),
      cmocka_unit_test(test_bf16_keeps_non_finite_values),
      cmocka_unit_test(test_same_bits_for_any_thread_count),
      cmocka_unit_test(test_errors),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
