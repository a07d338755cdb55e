// Kernels of the mixture layer against the CPU's own: gate against route(), counting sort, gather and combine against
// moe/dispatch, experts against ffn_experts(); gradients by finite differences in double; the same bits in both orders
// of threads. Empty experts, dropped pairs, padded tokens, ties, one token, no tokens, odd widths, half types.
#include <torch/torch.h>

#include "cuda/functions.h"
#include "device_under_test.h"
#include "moe/router.h"
#include "support/finite_difference.h"
#include "support/hash_fill.h"

using moe::Dispatch;
using moe::FfnActivation;
using moe::cuda::Gate;
using moe::cuda::GateKind;
using moe::cuda::GateOptions;

static at::Tensor filled(const char* name, at::IntArrayRef shape, double scale = 2) {
  return (hash_fill::uniform(name, shape) - 0.5) * scale;
}

static at::Tensor leaf(const at::Tensor& tensor) {
  return there(tensor).requires_grad_();
}

// --- gate ---

struct GateCase {
  int64_t tokens, experts, top_k;
  bool padded;
};

static std::vector<GateCase> gate_cases() {
  return {{37, 8, 2, true},    {1, 1, 1, false},  {0, 4, 2, false},
          {300, 64, 8, false}, {130, 5, 5, true}, {9, 3000, 3, false}};
}

static at::Tensor valid_tokens(const GateCase& c) {
  return c.padded ? hash_fill::uniform("valid", {c.tokens}) < 0.7 : at::Tensor();
}

static moe::Routing routed(const GateCase& c, const GateOptions& options, const at::Tensor& logits) {
  moe::RouterOptions router;
  router.top_k = c.top_k;
  router.gate = static_cast<moe::RouterGate>(options.kind);
  router.gate_scale = options.scale;
  return moe::route(router, {.logits = logits, .valid = valid_tokens(c)});
}

static void gate_against_router(void**) {
  for (const GateCase& c : gate_cases()) {
    for (const GateKind kind : {GateKind::raw, GateKind::renormalized, GateKind::softmax}) {
      if (c.top_k == 1 && kind != GateKind::raw && c.experts > 1) continue;
      const GateOptions options{c.top_k, kind, 1.5};
      // quarters: many ties
      const at::Tensor logits = (filled("logits", {c.tokens, c.experts}, 8) * 4).round() / 4;
      const moe::Routing want = routed(c, options, logits);
      const Gate got = moe::cuda::gate(kernels(), there(logits), there(valid_tokens(c)), options);
      CHECK(at::equal(here(got.chosen), want.chosen));
      check_close(got.probabilities, want.probabilities, 1e-13, "probabilities");
      check_close(got.weights, want.weights, 1e-13, "weights");
    }
  }
}

static void gate_gradients(void**) {
  for (const GateCase& c : gate_cases()) {
    for (const GateKind kind : {GateKind::raw, GateKind::renormalized, GateKind::softmax}) {
      if (c.top_k == 1 && kind != GateKind::raw) continue;
      const GateOptions options{c.top_k, kind, 1.5};
      const at::Tensor values = filled("logits", {c.tokens, c.experts}, 8);
      const at::Tensor dp = filled("dp", values.sizes()), dw = filled("dw", {c.tokens, c.top_k});
      const at::Tensor logits = values.clone().requires_grad_(), ours = leaf(values);
      const moe::Routing want = routed(c, options, logits);
      const Gate got = moe::cuda::gate(kernels(), ours, there(valid_tokens(c)), options);
      ((want.probabilities * dp).sum() + (want.weights * dw).sum()).backward();
      ((got.probabilities * there(dp)).sum() + (got.weights * there(dw)).sum()).backward();
      check_close(ours.grad(), logits.grad(), 1e-12, "gradient of the logits");
    }
  }
}

// Only one of the two results used: the other's gradient is undefined.
static void gate_with_one_gradient(void**) {
  const at::Tensor values = filled("logits", {6, 4}, 4);
  for (const bool weights : {false, true}) {
    const at::Tensor theirs = values.clone().requires_grad_(), ours = leaf(values);
    const moe::Routing want = routed({6, 4, 2, false}, {2, GateKind::renormalized, 1}, theirs);
    const Gate got = moe::cuda::gate(kernels(), ours, {}, {2, GateKind::renormalized, 1});
    (weights ? want.weights : want.probabilities).square().sum().backward();
    (weights ? got.weights : got.probabilities).square().sum().backward();
    check_close(ours.grad(), theirs.grad(), 1e-13, "gradient of the logits");
  }
}

// NaN reaches the weights, and no index leaves the range.
static void gate_of_nan(void**) {
  at::Tensor logits = filled("logits", {3, 5});
  logits[1][3] = std::nan("");
  const Gate got = moe::cuda::gate(kernels(), there(logits), {}, {2, GateKind::renormalized, 1});
  CHECK(here(got.weights)[1].isnan().all().item<bool>() && !here(got.weights)[0].isnan().any().item<bool>());
  CHECK(here(got.chosen).min().item<int64_t>() >= 0 && here(got.chosen).max().item<int64_t>() < 5);
}

// --- dispatch ---

struct RowCase {
  int64_t tokens, slots, experts, dim;
  bool dropping;
};

static std::vector<RowCase> row_cases() {
  return {{23, 2, 4, 5, true},   {1, 1, 1, 1, false},    {1, 3, 3, 16, false}, {0, 2, 4, 8, false},
          {900, 4, 16, 6, true}, {70, 2, 64, 130, true}, {40, 1, 1, 8, true}};
}

static at::Tensor random_experts(const RowCase& c) {
  const int64_t choices = c.experts + (c.dropping ? 1 : 0);
  const at::Tensor u = hash_fill::uniform("experts", {c.tokens, c.slots});
  return (u * static_cast<double>(choices)).floor().to(at::kLong) - (c.dropping ? 1 : 0);
}

static void sort_against_reference(void**) {
  for (const RowCase& c : row_cases()) {
    const Dispatch want = moe::sort_by_expert(random_experts(c), c.experts);
    const Dispatch got = kernels().sort_by_expert(there(random_experts(c)), c.experts);
    CHECK(at::equal(here(got.counts), want.counts) && at::equal(here(got.offsets), want.offsets));
    CHECK(at::equal(here(got.pos_of), want.pos_of));
    CHECK(got.rows() == c.tokens * c.slots);
    CHECK(at::equal(here(got.row_of).narrow(0, 0, want.rows()), want.row_of));
    CHECK((here(got.row_of).narrow(0, want.rows(), got.rows() - want.rows()) == -1).all().item<bool>());
  }
}

// More than 256 chunks of pairs.
static void sort_of_many_pairs(void**) {
  const RowCase c{40000, 2, 7, 1, true};
  const Dispatch want = moe::sort_by_expert(random_experts(c), c.experts);
  const Dispatch got = kernels().sort_by_expert(there(random_experts(c)), c.experts);
  CHECK(at::equal(here(got.pos_of), want.pos_of) && at::equal(here(got.counts), want.counts));
}

static void gather_against_reference(void**) {
  for (const RowCase& c : row_cases()) {
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
      const Dispatch reference = moe::sort_by_expert(random_experts(c), c.experts);
      const at::Tensor x = filled("x", {c.tokens, c.dim}).to(type);
      at::Tensor want = at::empty({reference.rows(), c.dim}, x.options());
      moe::gather_rows(reference, x, 0, want);
      const Dispatch dispatch = kernels().sort_by_expert(there(random_experts(c)), c.experts);
      const at::Tensor got = here(moe::cuda::gather_rows(kernels(), dispatch, there(x)));
      CHECK(at::equal(got.narrow(0, 0, want.size(0)), want));
      CHECK((got.narrow(0, want.size(0), got.size(0) - want.size(0)) == 0).all().item<bool>());
    }
  }
}

// A view that begins between two 16-byte units.
static void gather_of_unaligned_rows(void**) {
  const Dispatch dispatch = kernels().sort_by_expert(there(at::tensor({1, 0}, at::kLong).view({2, 1})), 2);
  const at::Tensor x = there(filled("x", {17}).to(at::kBFloat16)).narrow(0, 1, 16).view({2, 8});
  CHECK(at::equal(here(moe::cuda::gather_rows(kernels(), dispatch, x)), here(x).flip(0)));
}

struct RowTensors {
  at::Tensor rows, gates, bias;

  RowTensors(const RowCase& c, int64_t count)
      : rows(filled("rows", {count, c.dim})),
        gates(filled("gates", {c.tokens, c.slots})),
        bias(filled("bias", {c.experts, c.dim})) {}
};

static void combine_against_reference(void**) {
  for (const RowCase& c : row_cases()) {
    for (const bool full : {false, true}) {
      const Dispatch dispatch = moe::sort_by_expert(random_experts(c), c.experts);
      const RowTensors t(c, dispatch.rows());
      const at::Tensor gates = full ? t.gates : at::Tensor(), bias = full ? t.bias : at::Tensor();
      const at::Tensor want = moe::combine_rows(dispatch, t.rows, gates, bias);
      const at::Tensor got =
          moe::cuda::combine_rows(kernels(), there(dispatch), there(t.rows), there(gates), there(bias));
      check_close(got, want, 1e-14, "combine");
    }
    const Dispatch dispatch = moe::sort_by_expert(random_experts(c), c.experts);
    const RowTensors t(c, dispatch.rows());
    const at::Tensor half = t.rows.to(at::kBFloat16), gates = t.gates.to(at::kFloat);
    check_close(moe::cuda::combine_rows(kernels(), there(dispatch), there(half), there(gates)),
                moe::combine_rows(dispatch, half, gates), 8e-3, "combine in bfloat16");
  }
}

// The definition, by LibTorch's own functions and gradients.
static at::Tensor plain_combine(const Dispatch& d, const at::Tensor& rows, const at::Tensor& gates,
                                const at::Tensor& bias) {
  const auto picked = [&](const at::Tensor& from, const at::Tensor& index) {
    return from.index_select(0, index.clamp_min(0).flatten()).view({d.tokens(), d.slots(), from.size(1)});
  };
  const at::Tensor kept = (d.pos_of >= 0).to(rows.scalar_type()) * gates;
  return ((picked(rows, d.pos_of) + picked(bias, d.experts)) * kept.unsqueeze(2)).sum(1);
}

static void combine_gradients(void**) {
  for (const RowCase& c : {row_cases()[0], row_cases()[2], row_cases()[6]}) {
    const Dispatch dispatch = moe::sort_by_expert(random_experts(c), c.experts);
    const RowTensors t(c, dispatch.rows());
    const at::Tensor direction = filled("direction", {c.tokens, c.dim});
    const std::vector<at::Tensor> theirs{t.rows, t.gates, t.bias}, ours{leaf(t.rows), leaf(t.gates), leaf(t.bias)};
    for (const at::Tensor& tensor : theirs) at::Tensor(tensor).requires_grad_();
    (plain_combine(dispatch, t.rows, t.gates, t.bias) * direction).sum().backward();
    (moe::cuda::combine_rows(kernels(), there(dispatch), ours[0], ours[1], ours[2]) * there(direction))
        .sum()
        .backward();
    for (size_t i = 0; i < 3; ++i) check_close(ours[i].grad(), theirs[i].grad(), 1e-13, "gradient of combine");
  }
}

// Every backward of a mixture layer at once: gate, gather, grouped products, biases, combine.
static void layer_by_finite_differences(void**) {
  if (on_gpu()) return;  // differences are taken in the CPU's memory; the GPU is compared with references above
  const RowCase c{7, 2, 3, 5, false};
  const at::Tensor logits = leaf(filled("logits", {c.tokens, c.experts}, 6)), x = leaf(filled("x", {c.tokens, c.dim}));
  const at::Tensor w1 = leaf(filled("w1", {3, 8, 5})), b1 = leaf(filled("b1", {3, 8}));
  const at::Tensor w2 = leaf(filled("w2", {3, 5, 4})), b2 = leaf(filled("b2", {3, 5}));
  const at::Tensor direction = filled("direction", {c.tokens, c.dim});
  const auto scalar = [&] {
    const Gate gate = moe::cuda::gate(kernels(), logits, {}, {2, GateKind::renormalized, 1});
    const Dispatch d = kernels().sort_by_expert(gate.chosen, c.experts);
    const moe::FfnWeights weights{w1, b1, w2, b2};
    return (moe::cuda::ffn_experts(kernels(), x, gate.weights, d, weights, FfnActivation::swiglu) * direction).sum();
  };
  CHECK(gradient_error(scalar, {logits, x, w1, b1, w2, b2}) < 1e-7);
}

// --- experts ---

struct FfnCase {
  RowCase rows;
  int64_t width;
  FfnActivation activation;
  bool biases;
};

static std::vector<FfnCase> ffn_cases() {
  return {{{23, 2, 4, 5, true}, 7, FfnActivation::relu, true},   {{40, 2, 8, 16, true}, 8, FfnActivation::swiglu, true},
          {{9, 3, 3, 12, false}, 4, FfnActivation::gelu, false}, {{30, 1, 2, 8, true}, 12, FfnActivation::geglu, true},
          {{1, 2, 5, 6, false}, 3, FfnActivation::silu, true},   {{0, 2, 5, 6, false}, 3, FfnActivation::silu, true}};
}

// x, gates and the weights; leaves on one device.
struct FfnProblem {
  at::Tensor x, gates, w1, b1, w2, b2;

  FfnProblem(const FfnCase& c, at::ScalarType type, at::Device where) {
    const RowCase& r = c.rows;
    const int64_t hidden = moe::is_gated(c.activation) ? 2 * c.width : c.width;
    const auto make = [&](const char* name, at::IntArrayRef shape, at::ScalarType as) {
      return filled(name, shape).to(as).to(where).requires_grad_();
    };
    const at::ScalarType sums = type == at::kDouble ? at::kDouble : at::kFloat;
    x = make("x", {r.tokens, r.dim}, type);
    gates = make("gates", {r.tokens, r.slots}, sums);
    w1 = make("w1", {r.experts, hidden, r.dim}, type);
    w2 = make("w2", {r.experts, r.dim, c.width}, type);
    if (!c.biases) return;
    b1 = make("b1", {r.experts, hidden}, sums);
    b2 = make("b2", {r.experts, r.dim}, sums);
  }

  moe::FfnWeights weights() const { return {w1, b1, w2, b2}; }
  std::vector<at::Tensor> leaves() const { return {x, gates, w1, b1, w2, b2}; }
};

static void experts_against_reference(void**) {
  for (const FfnCase& c : ffn_cases()) {
    for (const auto& [type, tolerance] : {std::pair{at::kDouble, 1e-12}, std::pair{at::kFloat, 1e-5}}) {
      const FfnProblem cpu(c, type, at::kCPU), ours(c, type, device());
      const at::Tensor experts = random_experts(c.rows);
      const at::Tensor want =
          moe::ffn_experts(cpu.x, cpu.gates, moe::sort_by_expert(experts, c.rows.experts), cpu.weights(), c.activation);
      const Dispatch dispatch = kernels().sort_by_expert(there(experts), c.rows.experts);
      const at::Tensor got =
          moe::cuda::ffn_experts(kernels(), ours.x, ours.gates, dispatch, ours.weights(), c.activation);
      check_close(got, want, tolerance, "experts");
      const at::Tensor direction = filled("direction", want.sizes()).to(type);
      want.backward(direction);
      got.backward(there(direction));
      for (size_t i = 0; i < 6; ++i) {
        if (cpu.leaves()[i].defined()) {
          check_close(ours.leaves()[i].grad(), cpu.leaves()[i].grad(), 10 * tolerance, "gradient of the experts");
        }
      }
    }
  }
}

static void experts_in_bfloat16(void**) {
  const FfnCase c{{64, 2, 4, 32, true}, 16, FfnActivation::swiglu, true};
  const FfnProblem exact(c, at::kDouble, at::kCPU), ours(c, at::kBFloat16, device());
  const at::Tensor experts = random_experts(c.rows);
  const at::Tensor want = moe::ffn_experts(exact.x, exact.gates, moe::sort_by_expert(experts, c.rows.experts),
                                           exact.weights(), c.activation);
  const Dispatch dispatch = kernels().sort_by_expert(there(experts), c.rows.experts);
  const at::Tensor got = moe::cuda::ffn_experts(kernels(), ours.x, ours.gates, dispatch, ours.weights(), c.activation);
  check_close(got, want, 3e-2, "experts in bfloat16");
}

// --- both orders of threads ---

static std::vector<at::Tensor> everything(const moe::cuda::Kernels& k) {
  const RowCase c{200, 3, 9, 35, true};
  const at::Tensor logits = there(filled("logits", {c.tokens, c.experts}, 6).to(at::kFloat));
  const Gate gate = k.gate(logits, {}, {c.slots, GateKind::renormalized, 1});
  const Dispatch d = k.sort_by_expert(there(random_experts(c)), c.experts);
  const at::Tensor x = there(filled("x", {c.tokens, c.dim}).to(at::kFloat)), rows = k.gather_rows(d, x);
  const at::Tensor bias = there(filled("bias", {c.experts, c.dim}).to(at::kFloat));
  const auto grad = k.combine_backward(d, rows, gate.weights, bias, x);
  return {gate.probabilities,
          gate.chosen,
          gate.weights,
          d.counts,
          d.offsets,
          d.row_of,
          d.pos_of,
          rows,
          k.gate_backward(gate, {gate.probabilities, gate.weights}, {c.slots, GateKind::renormalized, 1}),
          k.combine_rows(d, rows, gate.weights, bias),
          grad.rows,
          grad.gates,
          k.add_expert_bias(d, rows, bias),
          k.sum_by_expert(d, rows)};
}

static void same_bits_in_any_order(void**) {
  const auto once = everything(kernels()), again = everything(kernels_again());
  for (size_t i = 0; i < once.size(); ++i) CHECK(at::equal(once[i], again[i]));
}

static void one_line_errors(void**) {
  const auto& k = kernels();
  const at::Tensor logits = there(at::zeros({2, 4}));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "top_k of 1 to 4", moe::cuda::gate(k, logits, {}, {5}));
  CHECK_ERROR(MOE_ERR_DTYPE, "float32 or float64", moe::cuda::gate(k, logits.to(at::kHalf), {}, {2}));
  CHECK_ERROR(MOE_ERR_UNSUPPORTED, "at most", moe::cuda::gate(k, there(at::zeros({1, 20000})), {}, {2}));
  const Dispatch d = k.sort_by_expert(there(at::zeros({2, 1}, at::kLong)), 1);
  CHECK_ERROR(MOE_ERR_SHAPE, "expected x [2, D]", moe::cuda::gather_rows(k, d, there(at::zeros({3, 4}))));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected weights [1, N, 4]",
              moe::cuda::grouped_linear(k, d, there(at::zeros({2, 4})), there(at::zeros({1, 3, 5}))));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(gate_against_router),
      cmocka_unit_test(gate_gradients),
      cmocka_unit_test(gate_with_one_gradient),
      cmocka_unit_test(gate_of_nan),
      cmocka_unit_test(sort_against_reference),
      cmocka_unit_test(sort_of_many_pairs),
      cmocka_unit_test(gather_against_reference),
      cmocka_unit_test(gather_of_unaligned_rows),
      cmocka_unit_test(combine_against_reference),
      cmocka_unit_test(combine_gradients),
      cmocka_unit_test(layer_by_finite_differences),
      cmocka_unit_test(experts_against_reference),
      cmocka_unit_test(experts_in_bfloat16),
      cmocka_unit_test(same_bits_in_any_order),
      cmocka_unit_test(one_line_errors),
  };
  return run_on_device(tests, "cuda_moe");
}
