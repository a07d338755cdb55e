// Feed-forward experts against a loop over tokens and slots through autograd, in double, and against finite
// differences; every activation with and without biases; many and few rows an expert; empty experts, masked tokens,
// no tokens, one token; permuted and doubled batches; bfloat16 and float16 under autocast with float32 weights.
#include <ATen/Parallel.h>

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "moe/expert_schedule.h"
#include "moe/ffn_experts.h"
#include "support/finite_difference.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "tensor/scope.h"

using moe::Dispatch;
using moe::ffn_experts;
using moe::FfnActivation;
using moe::RowCounts;
using moe::sort_by_expert;

static const std::vector<FfnActivation> all_activations = {
    FfnActivation::relu, FfnActivation::gelu, FfnActivation::silu, FfnActivation::geglu, FfnActivation::swiglu};

struct Case {
  int64_t tokens, slots, experts, dim, width;
  FfnActivation activation = FfnActivation::relu;
  bool biases = true, dropping = true;
};

static at::Tensor random_experts(const Case& c) {
  const int64_t choices = c.experts + (c.dropping ? 1 : 0);
  const at::Tensor u = hash_fill::uniform("experts", {c.tokens, c.slots});
  return (u * static_cast<double>(choices)).floor().to(at::kLong) - (c.dropping ? 1 : 0);
}

// x, gates, w1, w2 and the biases, leaves that want gradients.
struct Problem {
  Case c;
  at::Tensor experts, x, gates, w1, w2, b1, b2;

  explicit Problem(const Case& given, at::ScalarType type = at::kDouble) : c(given), experts(random_experts(given)) {
    const int64_t hidden = moe::is_gated(c.activation) ? 2 * c.width : c.width;
    const auto make = [&](const char* name, at::IntArrayRef shape, double scale) {
      return ((hash_fill::uniform(name, shape) - 0.5) * scale).to(type).requires_grad_();
    };
    x = make("x", {c.tokens, c.dim}, 2);
    gates = make("gates", {c.tokens, c.slots}, 2);
    w1 = make("w1", {c.experts, hidden, c.dim}, 3 / std::sqrt(static_cast<double>(c.dim)));
    w2 = make("w2", {c.experts, c.dim, c.width}, 3 / std::sqrt(static_cast<double>(c.width)));
    if (!c.biases) return;
    b1 = make("b1", {c.experts, hidden}, 1);
    b2 = make("b2", {c.experts, c.dim}, 1);
  }

  std::vector<at::Tensor> leaves() const {
    return c.biases ? std::vector{x, gates, w1, w2, b1, b2} : std::vector{x, gates, w1, w2};
  }
  std::vector<at::Tensor> gradients() const {
    std::vector<at::Tensor> out;
    for (const at::Tensor& leaf : leaves()) out.push_back(leaf.grad());
    return out;
  }
  Dispatch dispatch() const { return sort_by_expert(experts, c.experts, RowCounts::rounded); }
  at::Tensor forward() const { return ffn_experts(x, gates, dispatch(), {w1, b1, w2, b2}, c.activation); }
};

static at::Tensor plain_activation(FfnActivation activation, const at::Tensor& h) {
  switch (activation) {
    case FfnActivation::relu:
      return at::relu(h);
    case FfnActivation::gelu:
      return at::gelu(h);
    case FfnActivation::silu:
      return at::silu(h);
    default: {
      const std::vector<at::Tensor> half = h.chunk(2);
      return (activation == FfnActivation::geglu ? at::gelu(half[0]) : at::silu(half[0])) * half[1];
    }
  }
}

// The definition: one token and one slot at a time.
static at::Tensor oracle(const Problem& p) {
  std::vector<at::Tensor> out;
  const auto expert = p.experts.accessor<int64_t, 2>();
  for (int64_t t = 0; t < p.c.tokens; ++t) {
    at::Tensor y = at::zeros({p.c.dim}, p.x.options());
    for (int64_t j = 0; j < p.c.slots; ++j) {
      const int64_t e = expert[t][j];
      if (e < 0) continue;
      at::Tensor h = at::mv(p.w1[e], p.x[t]);
      if (p.c.biases) h = h + p.b1[e];
      at::Tensor row = at::mv(p.w2[e], plain_activation(p.c.activation, h));
      if (p.c.biases) row = row + p.b2[e];
      y = y + p.gates[t][j] * row;
    }
    out.push_back(y);
  }
  return out.empty() ? at::zeros({0, p.c.dim}, p.x.options()) : at::stack(out);
}

// Relative to the largest number of `want`.
static void check_close(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  CHECK(got.sizes() == want.sizes());
  if (want.numel() == 0) return;
  const double size = std::fmax(1.0, want.abs().max().item<double>());
  CHECK_NEAR((got.to(at::kDouble) - want.to(at::kDouble)).abs().max().item<double>() / size, 0.0, tolerance);
}

static at::Tensor direction(const at::Tensor& y) {
  return (hash_fill::uniform("direction", y.sizes()) - 0.5).to(y.scalar_type());
}

static void check_against(const Problem& fast, const Problem& slow, double tolerance) {
  const at::Tensor got = fast.forward(), want = oracle(slow);
  check_close(got, want, tolerance);
  got.backward(direction(got));
  if (want.requires_grad()) want.backward(direction(want));
  const std::vector<at::Tensor> grads = fast.gradients(), wanted = slow.gradients();
  for (size_t i = 0; i < grads.size(); ++i) {
    CHECK(grads[i].defined());
    check_close(grads[i], wanted[i].defined() ? wanted[i] : at::zeros_like(grads[i]), tolerance);
  }
}

static std::vector<Case> small_cases() {
  std::vector<Case> out;
  for (const FfnActivation activation : all_activations) {
    for (const bool biases : {false, true}) {
      out.push_back({19, 2, 4, 6, 10, activation, biases});
      out.push_back({40, 3, 3, 17, 33, activation, biases, false});
    }
  }
  return out;
}

static void test_oracle_fp64(void**) {
  for (const Case& c : small_cases()) check_against(Problem(c), Problem(c), 1e-13);
}

static void test_oracle_fp32(void**) {
  for (const Case& c : small_cases()) check_against(Problem(c, at::kFloat), Problem(c), 3e-6);
}

// Experts in order with threads inside, experts over threads, and both; hidden widths beyond one block of columns.
static void test_schedules(void**) {
  check_against(Problem({420, 2, 2, 8, 12, FfnActivation::gelu}), Problem({420, 2, 2, 8, 12, FfnActivation::gelu}),
                1e-12);
  const Case few{90, 2, 16, 8, 1030, FfnActivation::swiglu};
  check_against(Problem(few), Problem(few), 1e-12);
  Problem fast({400, 1, 9, 8, 12, FfnActivation::silu}), slow(fast.c);
  fast.experts = fast.experts.where(at::arange(400).unsqueeze(1).ge(270), at::Scalar(4));
  slow.experts = fast.experts;
  check_against(fast, slow, 1e-12);
}

static void test_every_expert_once(void**) {
  for (const int64_t tokens : {0, 3, 100, 3000}) {
    const Case c{tokens, 2, 13, 1, 1};
    const Dispatch d = sort_by_expert(random_experts(c), 13, RowCounts::rounded);
    std::vector<int64_t> seen(13);
    moe::for_each_expert(d, [&](const moe::ExpertRows& rows, moe::ExpertScratch&) {
      seen[static_cast<size_t>(rows.expert)] += rows.count;
    });
    for (int64_t e = 0; e < 13; ++e) {
      CHECK(seen[static_cast<size_t>(e)] == (d.offsets[e + 1] - d.offsets[e]).item<int64_t>());
    }
  }
}

static size_t distinct(const std::vector<std::thread::id>& ids) {
  return std::set<std::thread::id>(ids.begin(), ids.end()).size();
}

struct Call {
  int64_t rows;
  bool inside;  // of a parallel region: the products run on one thread
};

struct Calls {
  std::vector<Call> calls;
  std::vector<std::thread::id> threads;
};

// Experts of these loads, in the order of their calls.
static Calls run_loads(const std::vector<int64_t>& loads) {
  std::vector<at::Tensor> experts;
  for (const int64_t load : loads)
    experts.push_back(at::full({load, 1}, static_cast<int64_t>(experts.size()), at::kLong));
  const Dispatch d = sort_by_expert(at::cat(experts), static_cast<int64_t>(loads.size()));
  std::mutex mutex;
  std::condition_variable changed;
  Calls seen;
  moe::for_each_expert(d, [&](const moe::ExpertRows& rows, moe::ExpertScratch&) {
    std::unique_lock lock(mutex);
    seen.calls.push_back({rows.count, at::in_parallel_region()});
    seen.threads.push_back(std::this_thread::get_id());
    changed.notify_all();
    if (!at::in_parallel_region()) return;  // else time for the other thread to come
    changed.wait_for(lock, std::chrono::seconds(5), [&] { return distinct(seen.threads) == 2; });
  });
  return seen;
}

// Two threads share experts that make even shares; one that does not has both inside its products.
static void test_levels_of_threads(void**) {
  const Calls uneven = run_loads({100, 700}), even = run_loads({300, 256, 700}),
              small = run_loads({40, 30, 20, 10, 50});
  const Calls mixed = run_loads({40, 300, 30, 20, 600, 10});
  CHECK(uneven.calls.size() == 2 && even.calls.size() == 3 && small.calls.size() == 5 && mixed.calls.size() == 6);
  CHECK(distinct(uneven.threads) == 1 && uneven.threads[0] == std::this_thread::get_id());
  for (const Calls* calls : {&even, &small, &mixed}) CHECK(distinct(calls->threads) == 2);
  for (const Call& call : uneven.calls) CHECK(!call.inside);
  for (const Calls* calls : {&even, &small}) {
    for (const Call& call : calls->calls) CHECK(call.inside);
  }
  for (const Call& call : mixed.calls) CHECK(call.inside == (call.rows < 300));
  CHECK(mixed.calls[0].rows == 600 && mixed.calls[1].rows == 300);
}

static void test_edges(void**) {
  for (const bool dropping : {false, true}) {
    const std::vector<Case> cases = {{0, 2, 4, 6, 10, FfnActivation::gelu, true, dropping},
                                     {1, 2, 4, 6, 10, FfnActivation::swiglu, true, dropping},
                                     {30, 1, 1, 6, 10, FfnActivation::relu, true, dropping},
                                     {30, 5, 5, 1, 1, FfnActivation::silu, true, dropping},
                                     {3, 1, 40, 6, 10, FfnActivation::geglu, true, dropping}};
    for (const Case& c : cases) check_against(Problem(c), Problem(c), 1e-13);
  }
  Problem all({6, 6, 6, 5, 7, FfnActivation::gelu}), slow(all.c);  // k = E, every expert once a token
  all.experts = slow.experts = at::arange(6).expand({6, 6}).contiguous();
  check_against(all, slow, 1e-13);
}

// No expert, expert 2, or a whole token without rows: exact zeros, and what a masked token holds is never read.
static void test_masked_tokens_and_empty_experts(void**) {
  Problem p({8, 2, 4, 6, 10, FfnActivation::gelu}, at::kFloat);
  p.experts = at::tensor({0, 1, -1, -1, 3, 0, 1, 3, -1, -1, 0, -1, 1, 0, 3, 1}, at::kLong).view({8, 2});
  {
    at::NoGradGuard no_grad;
    p.x[1].fill_(NAN);
    p.gates[4].fill_(NAN);
  }
  const at::Tensor y = p.forward();
  y.backward(direction(y));
  CHECK(at::isfinite(y).all().item<bool>());
  for (const int64_t masked : {1, 4}) {
    for (const at::Tensor& row : {y[masked], p.x.grad()[masked], p.gates.grad()[masked]}) {
      CHECK(row.equal(at::zeros_like(row)));
    }
  }
  for (const at::Tensor& grad : {p.w1.grad(), p.w2.grad(), p.b1.grad(), p.b2.grad()}) {
    CHECK(grad[2].equal(at::zeros_like(grad[2])));
    CHECK(at::isfinite(grad).all().item<bool>() && grad[0].abs().sum().item<double>() > 0);
  }
}

static void test_finite_differences(void**) {
  for (const FfnActivation activation : all_activations) {
    const Problem p({7, 2, 3, 3, 4, activation});
    const at::Tensor along = direction(p.forward());
    CHECK_NEAR(gradient_error([&] { return (p.forward() * along).sum(); }, p.leaves(), 1e-6), 0.0, 1e-8);
  }
}

// Tokens of two kinds with experts of their own, mixed and sorted by kind: every expert sees its rows in the same
// order.
static void test_permutation_bit_for_bit(void**) {
  Problem p({60, 2, 4, 16, 48, FfnActivation::silu}, at::kFloat);
  const at::Tensor kind = hash_fill::uniform("kind", {60}).gt(0.5).to(at::kLong);
  p.experts = kind.unsqueeze(1) * 2 + at::tensor({0, 1}, at::kLong);
  const at::Tensor order = at::argsort(kind, /*stable=*/true, /*dim=*/0);
  const at::Tensor y = p.forward();
  y.backward(direction(y));
  Problem q(p.c, at::kFloat);
  q.experts = p.experts.index_select(0, order);
  q.x = p.x.detach().index_select(0, order).requires_grad_();
  q.gates = p.gates.detach().index_select(0, order).requires_grad_();
  const at::Tensor shuffled = q.forward();
  shuffled.backward(direction(y).index_select(0, order));
  CHECK(shuffled.equal(y.index_select(0, order)));
  CHECK(q.x.grad().equal(p.x.grad().index_select(0, order)));
  CHECK(q.gates.grad().equal(p.gates.grad().index_select(0, order)));
  for (size_t i = 2; i < 6; ++i) CHECK(q.gradients()[i].equal(p.gradients()[i]));
}

static void test_doubled_batch(void**) {
  const Problem one({25, 2, 4, 6, 10, FfnActivation::geglu});
  Problem two(one.c);
  two.c.tokens = 50;
  two.experts = at::cat({one.experts, one.experts});
  two.x = at::cat({one.x, one.x}).detach().requires_grad_();
  two.gates = at::cat({one.gates, one.gates}).detach().requires_grad_();
  const at::Tensor y = one.forward(), yy = two.forward();
  y.backward(direction(y));
  yy.backward(at::cat({direction(y), direction(y)}));
  check_close(yy, at::cat({y, y}), 1e-14);
  check_close(two.x.grad(), at::cat({one.x.grad(), one.x.grad()}), 1e-14);
  for (size_t i = 2; i < 6; ++i) check_close(two.gradients()[i], one.gradients()[i] * 2, 1e-13);
}

static std::vector<at::Tensor> run(const Problem& p) {
  const at::Tensor y = p.forward();
  y.backward(direction(y));
  std::vector<at::Tensor> out = p.gradients();
  out.push_back(y.detach());
  return out;
}

static void test_same_bits_twice(void**) {
  for (const int64_t tokens : {80, 2000}) {
    const Case c{tokens, 2, 8, 32, 64, FfnActivation::swiglu};
    const std::vector<at::Tensor> first = run(Problem(c, at::kFloat)), second = run(Problem(c, at::kFloat));
    for (size_t i = 0; i < first.size(); ++i) CHECK(first[i].equal(second[i]));
  }
}

// The parts of a range give the bits of the whole: what threads do with the kernels.
static void test_kernels_give_the_same_bits_in_parts(void**) {
  const at::Tensor hidden = (hash_fill::uniform("h", {9, 2 * 700}) - 0.5).to(at::kFloat) * 8;
  at::Tensor whole = at::empty({9, 700}), parts = at::empty({9, 700});
  const moe::ActivationRows<float, float> in{FfnActivation::geglu, 700, hidden.const_data_ptr<float>(), nullptr};
  moe::activate_rows(in, whole.mutable_data_ptr<float>(), 0, 9);
  for (const int64_t begin : {0, 4}) moe::activate_rows(in, parts.mutable_data_ptr<float>(), begin, begin + 5);
  CHECK(whole.equal(parts));
  const moe::ColumnSums<float, float> columns{hidden.const_data_ptr<float>(), nullptr, 9, 1400};
  at::Tensor sums = at::empty({1400}), pieces = at::empty({1400});
  moe::sum_columns(columns, sums.mutable_data_ptr<float>(), 0, 1400);
  for (int64_t at = 0; at < 1400; at += 35) moe::sum_columns(columns, pieces.mutable_data_ptr<float>(), at, at + 35);
  CHECK(sums.equal(pieces));
}

// Values and slopes of the float activations against double, tails included.
static void test_float_activations(void**) {
  for (const FfnActivation activation : {FfnActivation::relu, FfnActivation::gelu, FfnActivation::silu}) {
    const at::Tensor x = at::linspace(-30, 30, 6001).view({1, 6001}).requires_grad_();
    const at::Tensor exact_x = x.detach().to(at::kDouble).requires_grad_();
    const at::Tensor exact = plain_activation(activation, exact_x);
    exact.sum().backward();
    at::Tensor act = at::ones_like(x), slope = at::empty_like(x), gates = at::ones({1}), sum = at::empty({1});
    const moe::ActivationRows<float, float> in{activation, 6001, x.const_data_ptr<float>(), nullptr};
    const moe::ActivationGradient<float, float> out{
        act.mutable_data_ptr<float>(), slope.mutable_data_ptr<float>(), nullptr, nullptr, 0,
        gates.const_data_ptr<float>(), sum.mutable_data_ptr<float>()};
    moe::activate_rows_backward(in, out, 0, 1);
    CHECK(((act - exact).abs() <= 3e-7 * exact.abs().clamp_min(1)).all().item<bool>());
    CHECK(((slope - exact_x.grad()).abs() <= 1e-6).all().item<bool>());
    at::Tensor forward = at::empty_like(x);
    moe::activate_rows(in, forward.mutable_data_ptr<float>(), 0, 1);
    CHECK(forward.equal(act));
  }
}

// What a forward pass without gradients does not keep makes no difference.
static void test_inference(void**) {
  const Problem p({50, 2, 4, 16, 32, FfnActivation::geglu}, at::kFloat);
  const at::Tensor y = p.forward();
  at::NoGradGuard no_grad;
  CHECK(p.forward().equal(y));
}

// A stack that lies in memory as [E, D, F] gives the same numbers, and its gradient lies the same way.
static void test_transposed_weights(void**) {
  const Problem plain({50, 2, 4, 16, 32, FfnActivation::gelu});
  Problem turned(plain.c);
  const auto turn = [](const at::Tensor& w) {
    return w.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_();
  };
  turned.w1 = turn(plain.w1);
  turned.w2 = turn(plain.w2);
  const std::vector<at::Tensor> want = run(plain), got = run(turned);
  for (size_t i = 0; i < want.size(); ++i) check_close(got[i], want[i], 1e-14);
  CHECK(turned.w1.grad().strides() == turned.w1.strides());
  CHECK(turned.w2.grad().strides() == turned.w2.strides());
}

// Inputs that want no gradient get none, and the others the same bits.
static void test_partial_gradients(void**) {
  const Problem all({50, 2, 4, 16, 32, FfnActivation::gelu});
  const std::vector<at::Tensor> want = run(all);
  for (size_t only = 0; only < 6; ++only) {
    const Problem p(all.c);
    const std::vector<at::Tensor> leaves = p.leaves();
    for (size_t i = 0; i < 6; ++i) leaves[i].requires_grad_(i == only);
    const std::vector<at::Tensor> got = run(p);
    for (size_t i = 0; i < 6; ++i) CHECK(i == only ? got[i].equal(want[i]) : !got[i].defined());
  }
}

static void check_autocast(at::ScalarType type, double tolerance) {
  for (const Case& c : {Case{60, 2, 4, 16, 48, FfnActivation::swiglu}, Case{60, 2, 4, 16, 48, FfnActivation::gelu}}) {
    const Problem exact(c, at::kFloat), half(c, at::kFloat);
    const std::vector<at::Tensor> want = run(exact);
    at::Tensor y;
    {
      moe::AutocastScope scope(type);
      y = half.forward();
    }
    CHECK(y.scalar_type() == type);
    check_close(y, want.back(), tolerance);
    y.backward(direction(y));
    const std::vector<at::Tensor> got = half.gradients();
    for (size_t i = 0; i < got.size(); ++i) {
      CHECK(got[i].scalar_type() == at::kFloat);
      check_close(got[i], want[i], tolerance);
    }
  }
}

static void test_autocast_bf16(void**) {
  check_autocast(at::kBFloat16, 3e-2);
}
static void test_autocast_fp16(void**) {  // computed in float: only the output is rounded
  check_autocast(at::kHalf, 2e-3);
}

// bfloat16 tokens with float32 weights need no autocast; fp64 is left alone by it.
static void test_mixed_types(void**) {
  const Problem p({60, 2, 4, 16, 48, FfnActivation::gelu}, at::kFloat);
  const at::Tensor x = p.x.detach().to(at::kBFloat16).requires_grad_();
  const at::Tensor y = ffn_experts(x, p.gates, p.dispatch(), {p.w1, p.b1, p.w2, p.b2}, p.c.activation);
  y.sum().backward();
  CHECK(y.scalar_type() == at::kBFloat16 && x.grad().scalar_type() == at::kBFloat16);
  CHECK(p.w1.grad().scalar_type() == at::kFloat);
  check_close(y, p.forward(), 3e-2);
  moe::AutocastScope scope(at::kBFloat16);
  const Problem exact(p.c);
  CHECK(exact.forward().scalar_type() == at::kDouble);
}

static void test_errors(void**) {
  const Problem p({8, 2, 4, 6, 10, FfnActivation::gelu});
  const auto call = [&](const at::Tensor& x, const at::Tensor& gates, const moe::FfnWeights& weights,
                        FfnActivation activation) { ffn_experts(x, gates, p.dispatch(), weights, activation); };
  const moe::FfnWeights good = {p.w1, p.b1, p.w2, p.b2};
  CHECK_ERROR(MOE_ERR_SHAPE, "expected x [8, D]", call(p.x.narrow(0, 0, 7), p.gates, good, p.c.activation));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected gates [8, 2]", call(p.x, p.gates.t(), good, p.c.activation));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected w1 [4, 20, 6], got [4, 10, 6]", call(p.x, p.gates, good, FfnActivation::swiglu));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected w2 [4, 6, F]", call(p.x, p.gates, {p.w1, {}, p.w1, {}}, p.c.activation));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected b1 [4, 10]", call(p.x, p.gates, {p.w1, p.b2, p.w2, {}}, p.c.activation));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected b2 [4, 6]", call(p.x, p.gates, {p.w1, {}, p.w2, p.b1}, p.c.activation));
  CHECK_ERROR(MOE_ERR_DTYPE, "got Double and Float",
              call(p.x, p.gates, {p.w1, {}, p.w2.to(at::kFloat), {}}, p.c.activation));
  CHECK_ERROR(MOE_ERR_DTYPE, "got Long", call(p.x.to(at::kLong), p.gates, good, p.c.activation));
  CHECK_ERROR(MOE_ERR_UNSUPPORTED, "gradient of a gradient",
              torch::autograd::grad({p.forward().sum()}, {p.x}, {}, /*retain_graph=*/true, /*create_graph=*/true));
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_oracle_fp64),
      cmocka_unit_test(test_oracle_fp32),
      cmocka_unit_test(test_schedules),
      cmocka_unit_test(test_every_expert_once),
      cmocka_unit_test(test_levels_of_threads),
      cmocka_unit_test(test_edges),
      cmocka_unit_test(test_masked_tokens_and_empty_experts),
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_permutation_bit_for_bit),
      cmocka_unit_test(test_doubled_batch),
      cmocka_unit_test(test_same_bits_twice),
      cmocka_unit_test(test_kernels_give_the_same_bits_in_parts),
      cmocka_unit_test(test_float_activations),
      cmocka_unit_test(test_inference),
      cmocka_unit_test(test_transposed_weights),
      cmocka_unit_test(test_partial_gradients),
      cmocka_unit_test(test_autocast_bf16),
      cmocka_unit_test(test_autocast_fp16),
      cmocka_unit_test(test_mixed_types),
      cmocka_unit_test(test_errors),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
