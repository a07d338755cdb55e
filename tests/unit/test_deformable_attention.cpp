// Multi-scale deformable attention: the kernel against the grid-sample form and finite differences, on awkward sizes;
// the same bits for one and two threads; the module's sampling locations.
#include <ATen/Parallel.h>

#include <array>

#include "nn/deformable_attention.h"
#include "support/hash_fill.h"
#include "support/finite_difference.h"
#include "support/test.h"
#include "tensor/scope.h"

using moe::nn::deformable_attention;
using moe::nn::deformable_attention_reference;
using moe::nn::MsDeformAttn;
using moe::nn::SamplingPlan;

struct Case {
  SamplingPlan plan;
  int64_t rows, queries, heads, dim;
  std::vector<int64_t> image_index = {};  // empty: group g reads row g
};

struct Inputs {
  at::Tensor value, locations, weights, image_index;

  Inputs(const Case& c, at::ScalarType type) {
    const int64_t groups = c.image_index.empty() ? c.rows : static_cast<int64_t>(c.image_index.size());
    int64_t points = 0;
    for (const int64_t count : c.plan.points) points += count;
    const auto make = [&](const char* name, at::IntArrayRef shape, double low, double high) {
      return (hash_fill::uniform(name, shape) * (high - low) + low).to(type).requires_grad_();
    };
    value = make("value", {c.rows, moe::nn::cells(c.plan.levels), c.heads, c.dim}, -1, 1);
    locations = make("locations", {groups, c.queries, c.heads, points, 2}, -0.3, 1.3);  // a good part lies outside
    weights = make("weights", {groups, c.queries, c.heads, points}, -0.5, 1);
    if (!c.image_index.empty()) image_index = at::tensor(c.image_index, at::kLong);
  }

  std::array<at::Tensor, 3> gradients() const { return {value.grad(), locations.grad(), weights.grad()}; }
};

static std::vector<Case> cases() {
  return {
      {{{{5, 7}, {3, 4}, {1, 2}}, {4, 4, 4}}, 2, 9, 2, 16},
      {{{{6, 6}}, {3}}, 1, 5, 3, 32},                           // one level
      {{{{1, 1}, {1, 1}}, {2, 1}}, 2, 4, 1, 16},                // 1x1 maps
      {{{{4, 3}, {2, 2}}, {3, 6}}, 2, 3, 2, 12},                // points differ by level, width not a multiple of 16
      {{{{4, 3}}, {2}}, 1, 3, 2, 5},                            // odd width
      {{{{5, 3}, {3, 2}}, {2, 2}}, 3, 4, 2, 16, {2, 0, 2, 0}},  // four groups read two of three rows
      {{{{4, 4}}, {4}}, 2, 0, 2, 16},                           // no queries
      {{{{4, 4}}, {4}}, 2, 3, 2, 16, {}},
  };
}

static void check_close(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  CHECK(got.sizes() == want.sizes());
  if (want.numel() > 0) CHECK_NEAR((got - want).abs().max().item<double>(), 0.0, tolerance);
}

static void check_against_reference(at::ScalarType type, double tolerance) {
  for (const Case& c : cases()) {
    const Inputs fast(c, type), slow(c, type);
    const at::Tensor got = deformable_attention(fast.value, c.plan, fast.locations, fast.weights, fast.image_index);
    const at::Tensor want =
        deformable_attention_reference(slow.value, c.plan, slow.locations, slow.weights, slow.image_index);
    check_close(got, want, tolerance);
    const at::Tensor direction = hash_fill::uniform("direction", got.sizes()).to(type) - 0.5;
    (got * direction).sum().backward();
    (want * direction).sum().backward();
    for (size_t i = 0; i < 3; ++i) check_close(fast.gradients()[i], slow.gradients()[i], 10 * tolerance);
  }
}

static void test_reference_fp64(void**) {
  check_against_reference(at::kDouble, 1e-13);
}
static void test_reference_fp32(void**) {
  check_against_reference(at::kFloat, 1e-5);
}

// float32 sums of the same bfloat16 values: only the rounding of results differs.
static void test_bf16(void**) {
  for (const Case& c : cases()) {
    if (c.queries == 0) continue;
    const Inputs exact(c, at::kFloat), half(c, at::kFloat);
    const at::Tensor rounded = exact.value.detach().to(at::kBFloat16);
    const at::Tensor value16 = rounded.clone().requires_grad_(), value32 = rounded.to(at::kFloat).requires_grad_();
    const at::Tensor got = deformable_attention(value16, c.plan, half.locations, half.weights, half.image_index);
    const at::Tensor want = deformable_attention(value32, c.plan, exact.locations, exact.weights, exact.image_index);
    CHECK(got.scalar_type() == at::kBFloat16);
    CHECK(got.equal(want.to(at::kBFloat16)));
    const at::Tensor direction = (hash_fill::uniform("direction", got.sizes()) - 0.5).to(at::kBFloat16);
    got.backward(direction);
    want.backward(direction.to(at::kFloat));
    CHECK(value16.grad().equal(value32.grad().to(at::kBFloat16)));
    CHECK(half.locations.grad().equal(exact.locations.grad()));
    CHECK(half.weights.grad().equal(exact.weights.grad()));
  }
}

// float16 has no kernel: it computes in float32 and rounds the result.
static void test_fp16(void**) {
  const Case c = cases()[0];
  const Inputs in(c, at::kFloat);
  const at::Tensor value = in.value.detach().to(at::kHalf);
  const at::Tensor want = deformable_attention(value.to(at::kFloat), c.plan, in.locations, in.weights);
  CHECK(deformable_attention(value, c.plan, in.locations, in.weights).equal(want.to(at::kHalf)));
}

// Hashed locations stay clear of the cell borders, where the slope jumps.
static void test_finite_differences(void**) {
  for (const Case& c :
       {Case{{{{3, 4}, {2, 1}}, {2, 1}}, 2, 2, 2, 4, {}}, Case{{{{3, 3}}, {2}}, 2, 2, 1, 3, {1, 1, 0}}}) {
    const Inputs in(c, at::kDouble);
    const auto forward = [&] {
      return deformable_attention(in.value, c.plan, in.locations, in.weights, in.image_index);
    };
    const at::Tensor direction = hash_fill::uniform("direction", forward().sizes());
    const auto loss = [&] { return (forward() * direction).sum(); };
    CHECK_NEAR(gradient_error(loss, {in.value, in.locations, in.weights}, 1e-7), 0, 2e-6);
  }
}

static void test_same_bits_for_any_thread_count(void**) {
  const Case c{{{{13, 17}, {7, 9}}, {4, 4}}, 2, 50, 4, 32, {1, 0, 1}};
  std::vector<at::Tensor> first;
  for (const int threads : {1, 2, 2}) {
    at::set_num_threads(threads);
    const Inputs in(c, at::kFloat);
    const at::Tensor out = deformable_attention(in.value, c.plan, in.locations, in.weights, in.image_index);
    (out * out).sum().backward();
    std::vector<at::Tensor> results = {out.detach()};
    for (const at::Tensor& gradient : in.gradients()) results.push_back(gradient);
    if (first.empty()) first = results;
    for (size_t i = 0; i < results.size(); ++i) CHECK(results[i].equal(first[i]));
  }
  at::set_num_threads(2);
}

// Not-a-number and huge locations read nothing and write nothing outside the tensors.
static void test_wild_locations(void**) {
  const Case c{{{{3, 3}}, {4}}, 1, 1, 1, 16};
  const Inputs in(c, at::kFloat);
  const at::Tensor wild =
      at::tensor({NAN, 0.5f, INFINITY, 0.5f, -1e30f, 1e30f, 1e18f, -1e18f}).view({1, 1, 1, 4, 2}).requires_grad_();
  const at::Tensor out = deformable_attention(in.value, c.plan, wild, in.weights);
  CHECK(out.equal(at::zeros_like(out)));
  out.sum().backward();
  CHECK(wild.grad().equal(at::zeros_like(wild)));
  CHECK(in.value.grad().equal(at::zeros_like(in.value)));
}

static void test_errors(void**) {
  const Case c{{{{3, 3}}, {4}}, 2, 5, 2, 16};
  const Inputs in(c, at::kFloat);
  const SamplingPlan other{{{3, 4}}, {4}}, uneven{{{3, 3}}, {4, 4}};
  CHECK_ERROR(MOE_ERR_SHAPE, "expected values [B, 12, M, D], got [2, 9, 2, 16]",
              deformable_attention(in.value, other, in.locations, in.weights));
  CHECK_ERROR(MOE_ERR_SHAPE, "point count", deformable_attention(in.value, uneven, in.locations, in.weights));
  CHECK_ERROR(MOE_ERR_SHAPE, "image indices in 0..1, got 0..2",
              deformable_attention(in.value, c.plan, in.locations, in.weights, at::tensor({0, 2}, at::kLong)));
  CHECK_ERROR(MOE_ERR_SHAPE, "image index [2]",
              deformable_attention(in.value, c.plan, in.locations, in.weights, at::tensor({0}, at::kLong)));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected locations [2, 5, 2, 4, 2]",
              deformable_attention(in.value, c.plan, in.weights, in.weights));
  CHECK_ERROR(MOE_ERR_DTYPE, "bfloat16, got Int",
              deformable_attention(in.value.to(at::kInt), c.plan, in.locations, in.weights));
  CHECK_ERROR(MOE_ERR_CONFIG, "heads", MsDeformAttn(30, 8, {4}));
}

static at::Tensor parameter(const torch::nn::Module& module, const std::string& name) {
  return module.named_parameters()[name];
}

// Directions of the offset bias: head 0 looks along +x, head 1 along the diagonal, point p at distance p + 1.
static void test_module_initialisation(void**) {
  MsDeformAttn module(64, 8, {4, 4, 4});
  moe::nn::init_parameters(module, 3, "cross_attn");
  const at::Tensor ring = parameter(module, "sampling_offsets.bias").view({8, 12, 2});
  for (int64_t point = 0; point < 12; ++point) {
    const double distance = static_cast<double>(point % 4 + 1);
    CHECK_NEAR(ring[0][point][0].item<double>(), distance, 1e-6);
    CHECK_NEAR(ring[0][point][1].item<double>(), 0.0, 1e-6);
    CHECK_NEAR(ring[1][point][0].item<double>(), distance, 1e-6);
    CHECK_NEAR(ring[1][point][1].item<double>(), distance, 1e-6);
  }
  CHECK(parameter(module, "attention_weights.weight").equal(at::zeros({96, 64})));
  CHECK(parameter(module, "value_proj.weight").abs().max().item<double>() <= std::sqrt(6.0 / 128));
  CHECK(parameter(module, "value_proj.weight").std().item<double>() > 0.1);
  CHECK(MsDeformAttn(64, 8, {4}, false).named_parameters().size() == 6);
}

// The forms of the reference say the same thing: a box, and a box a level; a point, and a point a level.
static void test_module_references(void**) {
  const moe::nn::LevelShapes levels = {{6, 5}, {3, 3}};
  MsDeformAttn module(32, 2, {2, 3});
  hash_fill::fill(module, "cross_attn");
  module.to(at::kDouble);
  const at::Tensor memory = hash_fill::uniform("memory", {2, 39, 32}) - 0.5,
                   query = hash_fill::uniform("query", {2, 4, 32});
  const at::Tensor box = hash_fill::uniform("box", {2, 4, 4}), value = module.project_value(memory);
  CHECK(value.sizes() == at::IntArrayRef({2, 39, 2, 16}));
  for (const at::Tensor& reference : {box, box.narrow(2, 0, 2)}) {
    const at::Tensor one = module.forward(query, reference, value, levels);
    const at::Tensor each = module.forward(query, reference.unsqueeze(2).expand({2, 4, 2, -1}), value, levels);
    CHECK(one.sizes() == at::IntArrayRef({2, 4, 32}));
    check_close(one, each, 1e-14);
  }
  // Two groups that read the same image equal that image's own group.
  const at::Tensor shared =
      module.forward(query.narrow(0, 1, 1).expand({2, 4, 32}), box.narrow(0, 1, 1).expand({2, 4, 4}), value, levels,
                     at::tensor({1, 1}, at::kLong));
  check_close(shared[0], module.forward(query, box, value, levels)[1], 1e-14);
  check_close(shared[1], shared[0], 0);
}

// bfloat16 autocast keeps locations and softmax in float32.
static void test_module_autocast(void**) {
  const moe::nn::LevelShapes levels = {{6, 5}};
  MsDeformAttn module(32, 2, {4});
  moe::nn::init_parameters(module, 5);
  const at::Tensor memory = hash_fill::uniform("memory", {1, 30, 32}).to(at::kFloat);
  const at::Tensor query = hash_fill::uniform("query", {1, 4, 32}).to(at::kFloat),
                   box = hash_fill::uniform("box", {1, 4, 4}).to(at::kFloat);
  const auto run = [&] { return module.forward(query, box, module.project_value(memory), levels); };
  const at::Tensor exact = run();
  moe::AutocastScope scope(at::kBFloat16);
  const at::Tensor half = run();
  CHECK(half.scalar_type() == at::kBFloat16);
  check_close(half.to(at::kFloat), exact, 0.02);
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_reference_fp64),
      cmocka_unit_test(test_reference_fp32),
      cmocka_unit_test(test_bf16),
      cmocka_unit_test(test_fp16),
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_same_bits_for_any_thread_count),
      cmocka_unit_test(test_wild_locations),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_module_initialisation),
      cmocka_unit_test(test_module_references),
      cmocka_unit_test(test_module_autocast),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
