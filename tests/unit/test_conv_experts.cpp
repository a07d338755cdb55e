// Convolution experts: both ways against a plain loop over samples and slots in float64, gradients also against finite
// differences; what is not chosen is not touched; the same bits for one and two threads; the blocks they are made of.
#include "moe/conv_experts.h"

#include <ATen/Parallel.h>

#include "moe/sample_groups.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "tensor/scope.h"

using moe::conv_experts;
using moe::conv_route;
using moe::ConvActivation;
using moe::ConvExpertsOptions;
using moe::ConvRoute;
using moe::ConvStage;

struct StageCase {
  int64_t out = 0, kernel = 3;
  bool depthwise = false, bias = false, norm = false, modulation = false;
  ConvActivation activation = ConvActivation::none;
};

struct Case {
  int64_t channels, height, width;
  std::vector<std::vector<int64_t>> experts;  // [B][k]
  int64_t expert_count;
  std::vector<StageCase> stages;
  std::vector<int64_t> dilation = {};
};

struct Inputs {
  at::Tensor x, experts, gates;
  std::vector<ConvStage> stages;

  Inputs(const Case& c, at::ScalarType type) {
    const int64_t batch = static_cast<int64_t>(c.experts.size());
    const int64_t slots = batch > 0 ? static_cast<int64_t>(c.experts[0].size()) : 2;
    x = leaf("x", {batch, c.channels, c.height, c.width}, type);
    gates = leaf("gates", {batch, slots}, type == at::kDouble ? at::kDouble : at::kFloat);
    experts = at::empty({batch, slots}, at::kLong);
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t j = 0; j < slots; ++j) experts[b][j] = c.experts[static_cast<size_t>(b)][static_cast<size_t>(j)];
    }
    int64_t channels = c.channels;
    for (const StageCase& stage : c.stages) {
      stages.push_back(make(stage, c.expert_count, channels, batch, type));
      channels = stage.out;
    }
  }

  std::vector<at::Tensor> leaves() const {
    std::vector<at::Tensor> out = {x, gates};
    for (const ConvStage& s : stages) {
      for (const at::Tensor& t : {s.weight, s.depthwise, s.bias, s.norm_weight, s.norm_bias, s.scale, s.shift}) {
        if (t.defined()) out.push_back(t);
      }
    }
    return out;
  }

  std::vector<at::Tensor> gradients() const {
    std::vector<at::Tensor> out;
    for (const at::Tensor& leaf : leaves()) out.push_back(leaf.grad());
    return out;
  }

 private:
  at::Tensor leaf(const std::string& name, at::IntArrayRef shape, at::ScalarType type) const {
    return (hash_fill::uniform(name + std::to_string(stages.size()), shape) * 2 - 1).to(type).requires_grad_();
  }

  ConvStage make(const StageCase& c, int64_t experts_, int64_t channels, int64_t batch, at::ScalarType type) const {
    const int64_t k = c.depthwise ? 1 : c.kernel;
    ConvStage out;
    out.weight = leaf("weight", {experts_, c.out, channels, k, k}, type);
    if (c.depthwise) out.depthwise = leaf("depthwise", {experts_, channels, 1, c.kernel, c.kernel}, type);
    if (c.bias) out.bias = leaf("bias", {experts_, c.out}, type);
    if (c.norm) out.norm_weight = leaf("norm_weight", {experts_, channels}, type);
    if (c.norm) out.norm_bias = leaf("norm_bias", {experts_, channels}, type);
    if (c.modulation) out.scale = leaf("scale", {batch, channels}, type);
    if (c.modulation) out.shift = leaf("shift", {batch, channels}, type);
    out.activation = c.activation;
    return out;
  }
};

static std::vector<Case> linear_cases() {
  return {
      {4, 5, 6, {{0, 1}, {2, 0}, {1, 2}}, 3, {{3, 3}}},
      {3, 4, 4, {{1, 0}, {3, 1}}, 5, {{5, 1, false, true}}},                                // 1 x 1, bias, two idle
      {2, 7, 5, {{0, 1, 2}, {2, 1, 0}}, 3, {{2, 5, false, true}}},                          // k = E, 5 x 5
      {4, 6, 6, {{0, 1}, {1, 2}, {2, 3}, {0, 2}}, 4, {{4, 3, false, true}}, {1, 2, 1, 3}},  // dilations
      {3, 5, 5, {{-1, 1}, {-1, -1}, {2, -1}}, 3, {{4, 3, false, true}}},                    // masked
      {3, 3, 3, {{1, 1}, {0, 1}}, 2, {{3, 3}}},                                             // an expert twice
      {1, 1, 1, {{0}, {1}, {0}}, 2, {{1, 3}}},                                              // one pixel, k = 1
      {4, 5, 5, {{0, 2}, {2, 1}, {1, 0}}, 3, {{6, 3, true, true}}, {1, 2, 4}},              // depthwise-separable
      {2, 4, 4, {}, 2, {{3, 3, false, true}}},                                              // B = 0
      {2, 4, 4, {{-1, -1}, {-1, -1}}, 2, {{3, 3, false, true}}},                            // nobody
  };
}

static std::vector<Case> deep_cases() {
  const StageCase v2{8, 3, true, true, true, true, ConvActivation::gelu};
  return {
      {8, 5, 6, {{0, 1}, {2, 0}, {1, 2}}, 4, {{8, 3, true, true, true, false, ConvActivation::gelu}, v2}, {1, 2, 4, 1}},
      {4, 4, 4, {{0, -1}, {1, 0}}, 2, {{6, 3, false, true}, {5, 1, false, true, true, false, ConvActivation::silu}}},
      {4, 4, 5, {{1, 0}, {-1, -1}}, 3, {{4, 3, false, false, false, true, ConvActivation::relu}}},
      {4, 4, 4, {}, 2, {{8, 3}, v2}},
      {4, 4, 4, {{-1}, {-1}}, 2, {{8, 3}, v2}},
  };
}

static at::Tensor pick(const at::Tensor& stacked, int64_t expert) {
  return stacked.defined() ? stacked[expert] : at::Tensor();
}

// One stage of one expert on one sample x [1, C, H, W], written out.
static at::Tensor stage_of(const ConvStage& s, int64_t expert, int64_t sample, int64_t dilation, at::Tensor x) {
  const int64_t channels = x.size(1);
  if (s.norm_weight.defined()) {
    const int64_t groups = moe::norm_group_count(channels);
    const at::Tensor flat = x.view({groups, -1});
    const at::Tensor mean = flat.mean(1, true), variance = (flat - mean).square().mean(1, true);
    x = ((flat - mean) / (variance + 1e-5).sqrt()).view(x.sizes());
    x = x * s.norm_weight[expert].view({1, channels, 1, 1}) + s.norm_bias[expert].view({1, channels, 1, 1});
  }
  if (s.scale.defined()) {
    x = x * (1 + s.scale[sample].view({1, channels, 1, 1})) + s.shift[sample].view({1, channels, 1, 1});
  }
  if (s.activation == ConvActivation::relu) x = x.clamp_min(0);
  if (s.activation == ConvActivation::silu) x = x * x.sigmoid();
  if (s.activation == ConvActivation::gelu) x = x * (1 + (x / std::sqrt(2.0)).erf()) / 2;
  if (s.depthwise.defined()) {
    const at::Tensor kernel = s.depthwise[expert];
    x = at::conv2d(x, kernel, {}, 1, dilation * (kernel.size(2) / 2), dilation, channels);
  }
  const at::Tensor kernel = s.weight[expert], bias = pick(s.bias, expert);
  x = at::conv2d(x, kernel, {}, 1, dilation * (kernel.size(2) / 2), dilation);
  return bias.defined() ? x + bias.view({1, -1, 1, 1}) : x;
}

static at::Tensor oracle(const Case& c, const Inputs& in) {
  std::vector<at::Tensor> out = {at::zeros({0, c.stages.back().out, c.height, c.width}, at::kDouble)};
  for (int64_t b = 0; b < in.x.size(0); ++b) {
    at::Tensor sum = at::zeros({1, c.stages.back().out, c.height, c.width}, at::kDouble);
    for (int64_t j = 0; j < in.experts.size(1); ++j) {
      const int64_t expert = in.experts[b][j].item<int64_t>();
      if (expert < 0) continue;
      at::Tensor y = in.x.narrow(0, b, 1);
      const int64_t dilation = c.dilation.empty() ? 1 : c.dilation[static_cast<size_t>(expert)];
      for (const ConvStage& stage : in.stages) y = stage_of(stage, expert, b, dilation, y);
      sum = sum + in.gates[b][j] * y;
    }
    out.push_back(sum);
  }
  return at::cat(out);
}

static at::Tensor run(const Case& c, const Inputs& in, ConvRoute route) {
  return conv_experts(in.x, in.experts, in.gates, in.stages, {c.dilation, route});
}

static void check_close(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  CHECK(got.defined());
  CHECK(got.sizes() == want.sizes());
  if (want.numel() > 0) CHECK_NEAR((got.to(at::kDouble) - want).abs().max().item<double>(), 0.0, tolerance);
}

// Gradients the oracle never reached are zero.
static void check_gradients(const Inputs& got, const Inputs& want, double tolerance) {
  const auto mine = got.gradients(), exact = want.gradients(), leaves = want.leaves();
  for (size_t i = 0; i < mine.size(); ++i) {
    check_close(mine[i], exact[i].defined() ? exact[i] : at::zeros_like(leaves[i]), tolerance);
  }
}

static void check_against_oracle(const Case& c, ConvRoute route, at::ScalarType type, double tolerance) {
  const Inputs mine(c, type), exact(c, at::kDouble);
  const at::Tensor got = run(c, mine, route), want = oracle(c, exact);
  CHECK(got.scalar_type() == type);
  check_close(got, want, tolerance);
  const at::Tensor direction = hash_fill::uniform("direction", want.sizes()) - 0.5;
  (got * direction.to(type)).sum().backward();
  if (want.requires_grad()) (want * direction).sum().backward();
  check_gradients(mine, exact, 4 * tolerance);
}

static void test_linear_fp64(void**) {
  for (const Case& c : linear_cases()) {
    for (const ConvRoute route : {ConvRoute::merged, ConvRoute::grouped, ConvRoute::automatic}) {
      check_against_oracle(c, route, at::kDouble, 1e-12);
    }
  }
}

static void test_linear_fp32(void**) {
  for (const Case& c : linear_cases()) {
    for (const ConvRoute route : {ConvRoute::merged, ConvRoute::grouped}) {
      check_against_oracle(c, route, at::kFloat, 2e-5);
    }
  }
}

static void test_deep(void**) {
  for (const Case& c : deep_cases()) {
    check_against_oracle(c, ConvRoute::automatic, at::kDouble, 1e-11);
    check_against_oracle(c, ConvRoute::grouped, at::kFloat, 2e-4);
  }
}

static const Case& wide_case() {
  static const Case c{32, 9, 7, {{0, 1}, {2, 1}, {3, 0}, {1, 3}, {0, -1}}, 5, {{48, 3, false, true}}};
  return c;
}

// Wide enough for the vector paths and several pieces of a kernel.
static void test_wide(void**) {
  for (const ConvRoute route : {ConvRoute::merged, ConvRoute::grouped}) {
    check_against_oracle(wide_case(), route, at::kDouble, 1e-11);
    check_against_oracle(wide_case(), route, at::kFloat, 2e-4);
  }
}

// Samples in bfloat16, weights in float32, as under autocast: errors of one rounding, relative to the sums' size.
static void test_bf16(void**) {
  for (const Case& c : {wide_case(), deep_cases()[0]}) {
    for (const ConvRoute route : {ConvRoute::automatic, ConvRoute::grouped}) {
      const Inputs half(c, at::kFloat), exact(c, at::kDouble);
      const at::Tensor want = oracle(c, exact);
      const at::Tensor direction = hash_fill::uniform("direction", want.sizes()) - 0.5;
      (want * direction).sum().backward();
      {
        const moe::AutocastScope scope(at::kBFloat16);
        const at::Tensor got = run(c, half, route);
        CHECK(got.scalar_type() == at::kBFloat16);
        check_close(got, want, 0.03 * want.abs().max().item<double>());
        got.backward(direction.to(at::kBFloat16));
      }
      const auto mine = half.gradients(), reference = exact.gradients();
      for (size_t i = 0; i < mine.size(); ++i) {
        CHECK(mine[i].scalar_type() == at::kFloat);
        check_close(mine[i], reference[i], 0.05 * std::fmax(1.0, reference[i].abs().max().item<double>()));
      }
    }
  }
}

static void test_fp16(void**) {
  const Case& c = wide_case();
  const Inputs in(c, at::kFloat);
  const at::Tensor x16 = in.x.detach().to(at::kHalf);
  const at::Tensor got = conv_experts(x16, in.experts, in.gates, in.stages);
  const at::Tensor want = conv_experts(x16.to(at::kFloat), in.experts, in.gates, in.stages);
  CHECK(got.scalar_type() == at::kHalf);
  CHECK(got.equal(want.to(at::kHalf)));
}

// d loss / d input[i] by central differences against the gradient that backward left.
template <typename Loss>
static void check_slopes(const at::Tensor& input, Loss loss) {
  const double step = 1e-5;
  const at::NoGradGuard no_grad;
  double* values = input.mutable_data_ptr<double>();
  const at::Tensor gradient = input.grad().contiguous();
  for (int64_t i = 0; i < input.numel(); ++i) {
    const double kept = values[i];
    values[i] = kept + step;
    const double above = loss();
    values[i] = kept - step;
    const double below = loss();
    values[i] = kept;
    CHECK_NEAR(gradient.const_data_ptr<double>()[i], (above - below) / (2 * step), 1e-7);
  }
}

static void test_finite_differences(void**) {
  const std::vector<Case> cases = {
      {2, 3, 4, {{0, 1}, {2, 0}, {-1, 1}}, 4, {{2, 3, false, true}}, {1, 2, 1, 1}},
      {4, 3, 3, {{0, 1}, {1, -1}}, 3, {{4, 3, true, true, true, true, ConvActivation::gelu}}},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    for (const ConvRoute route : {ConvRoute::merged, ConvRoute::grouped}) {
      if (i > 0 && route == ConvRoute::merged) continue;
      const Inputs in(cases[i], at::kDouble);
      const at::Tensor direction = hash_fill::uniform("direction", run(cases[i], in, route).sizes());
      const auto loss = [&] { return (run(cases[i], in, route) * direction).sum(); };
      loss().backward();
      for (const at::Tensor& input : in.leaves()) check_slopes(input, [&] { return loss().item<double>(); });
    }
  }
}

// Weights of an expert that nobody chose may be anything, and get exact zeros; so do the gates of slots without expert.
static void test_not_chosen(void**) {
  const Case c{4, 5, 5, {{0, 3}, {3, -1}}, 4, {{4, 3, false, true}}};
  for (const ConvRoute route : {ConvRoute::merged, ConvRoute::grouped}) {
    const Inputs in(c, at::kFloat);
    {
      const at::NoGradGuard no_grad;
      in.stages[0].weight.narrow(0, 1, 2).fill_(NAN);
      in.gates[1][1] = NAN;
    }
    const at::Tensor out = run(c, in, route);
    CHECK(out.isfinite().all().item<bool>());
    out.square().sum().backward();
    for (const at::Tensor& gradient : in.gradients()) CHECK(gradient.isfinite().all().item<bool>());
    const at::Tensor idle = in.stages[0].weight.grad().narrow(0, 1, 2);
    CHECK(idle.equal(at::zeros_like(idle)));
    CHECK(in.stages[0].bias.grad().narrow(0, 1, 2).abs().max().item<float>() == 0);
    CHECK(in.gates.grad()[1][1].item<float>() == 0);
  }
}

// A sample's result does not depend on its neighbours in the batch.
static void test_samples_are_independent(void**) {
  const Case& c = wide_case();
  const Inputs in(c, at::kDouble);
  for (const ConvRoute route : {ConvRoute::merged, ConvRoute::grouped}) {
    const at::Tensor all = run(c, in, route), order = at::tensor({3, 0, 4}, at::kLong);
    const at::Tensor some = conv_experts(in.x.index_select(0, order), in.experts.index_select(0, order),
                                         in.gates.index_select(0, order), in.stages, {{}, route});
    check_close(some, all.index_select(0, order), 1e-12);
  }
}

static std::vector<at::Tensor> results_of(const Case& c, ConvRoute route) {
  const Inputs in(c, at::kFloat);
  const at::Tensor out = run(c, in, route);
  out.square().sum().backward();
  std::vector<at::Tensor> all = in.gradients();
  all.push_back(out.detach());
  return all;
}

static void check_same_bits(const Case& c, ConvRoute route, const std::vector<int>& thread_counts) {
  std::vector<at::Tensor> first;
  for (const int threads : thread_counts) {
    at::set_num_threads(threads);
    const std::vector<at::Tensor> again = results_of(c, route);
    if (first.empty()) first = again;
    for (size_t i = 0; i < again.size(); ++i) CHECK(again[i].equal(first[i]));
  }
  at::set_num_threads(2);
}

// Two runs agree. Merging, where every sample has one thread, also agrees for one and two threads; LibTorch's
// convolution of a group of samples divides its sums by threads.
static void test_same_bits(void**) {
  check_same_bits(wide_case(), ConvRoute::merged, {1, 2, 2});
  check_same_bits(wide_case(), ConvRoute::grouped, {2, 2});
  check_same_bits(deep_cases()[0], ConvRoute::grouped, {2, 2});
}

// The moves of samples alone: the same bits for one and two threads.
static void test_same_bits_of_moves(void**) {
  const Inputs in(wide_case(), at::kFloat);
  const auto groups = moe::group_samples(in.experts, 5);
  std::vector<at::Tensor> first;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    in.x.mutable_grad() = in.gates.mutable_grad() = at::Tensor();
    const auto rows = moe::gather_samples(groups, in.x, in.gates);
    const at::Tensor out = moe::combine_samples(groups, rows, in.gates);
    out.square().sum().backward();
    const std::vector<at::Tensor> again = {out.detach(), in.x.grad(), in.gates.grad()};
    if (first.empty()) first = again;
    for (size_t i = 0; i < again.size(); ++i) CHECK(again[i].equal(first[i]));
  }
  at::set_num_threads(2);
}

static void test_memory_order(void**) {
  const Case& c = wide_case();
  const Inputs in(c, at::kFloat);
  const at::Tensor plain = in.stages[0].weight.detach(), ordered = moe::channels_last_kernels(plain).requires_grad_();
  CHECK(ordered.equal(plain));
  CHECK(ordered[1].is_contiguous(at::MemoryFormat::ChannelsLast));
  for (const ConvRoute route : {ConvRoute::merged, ConvRoute::grouped}) {
    ConvStage stage = in.stages[0];
    stage.weight = ordered;
    ordered.mutable_grad() = at::Tensor();
    const at::Tensor out = conv_experts(in.x, in.experts, in.gates, {stage}, {{}, route});
    CHECK(out.is_contiguous(at::MemoryFormat::ChannelsLast));
    out.sum().backward();
    CHECK(ordered.grad().strides() == ordered.strides());
  }
}

static void test_route(void**) {
  const Case small{4, 2, 2, {{0, 1}}, 2, {{4, 3}}}, large{4, 16, 16, {{0, 1}}, 2, {{4, 3}}};
  const Case single{4, 16, 16, {{0, -1}}, 2, {{4, 3}}}, apart{4, 16, 16, {{0, 1}}, 2, {{4, 3}}, {1, 2}};
  const Case separable{4, 16, 16, {{0, 1}}, 2, {{4, 3, true}}};
  const auto route = [](const Case& c) {
    const Inputs in(c, at::kFloat);
    return conv_route(in.x, in.experts, in.stages, {c.dilation});
  };
  CHECK(route(large) == ConvRoute::merged);
  for (const Case& c : {small, single, apart, separable}) CHECK(route(c) == ConvRoute::grouped);
}

static void test_errors(void**) {
  const Case c{4, 5, 5, {{0, 1}}, 3, {{4, 3, false, true}}};
  const Inputs in(c, at::kFloat);
  const auto with = [&](const ConvStage& stage, const ConvExpertsOptions& options = {}) {
    return conv_experts(in.x, in.experts, in.gates, {stage}, options);
  };
  ConvStage active = in.stages[0], even = active, alone = active, narrow = active;
  active.activation = ConvActivation::relu;
  even.weight = at::zeros({3, 4, 4, 2, 2});
  alone.norm_weight = at::ones({3, 4});
  narrow.bias = at::zeros({3, 3});
  CHECK_ERROR(MOE_ERR_CONFIG, "use automatic or grouped", with(active, {{}, ConvRoute::merged}));
  CHECK_ERROR(MOE_ERR_SHAPE, "odd size, which keep the size of the map, got 2 x 2", with(even));
  CHECK_ERROR(MOE_ERR_SHAPE, "norm weight with norm bias", with(alone));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected bias [3, 4], got [3, 3]", with(narrow));
  CHECK_ERROR(MOE_ERR_CONFIG, "a dilation for each of 3 experts, got 2", with(in.stages[0], {{1, 2}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "dilations >= 1, got 0", with(in.stages[0], {{1, 2, 0}}));
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "experts in -1..2, got 0..3",
              conv_experts(in.x, at::tensor({0, 3}, at::kLong).view({1, 2}), in.gates, in.stages));
  CHECK_ERROR(MOE_ERR_SHAPE, "expected gates [1, 2], got [1, 3]",
              conv_experts(in.x, in.experts, at::ones({1, 3}), in.stages));
  CHECK_ERROR(MOE_ERR_SHAPE, "weights [3, O, 2, k, k]",
              conv_experts(at::ones({1, 2, 5, 5}), in.experts, in.gates, in.stages));
  CHECK_ERROR(MOE_ERR_DTYPE, "bfloat16, got Int", conv_experts(in.x.to(at::kInt), in.experts, in.gates, in.stages));
}

static at::Tensor value(const char* name, at::IntArrayRef shape) {
  return (hash_fill::uniform(name, shape) - 0.5).requires_grad_();
}

static void test_blocks(void**) {
  for (const auto& [channels, groups] : {std::pair{1, 1}, {4, 1}, {8, 2}, {12, 3}, {100, 25}, {128, 32}, {144, 24}}) {
    CHECK(moe::norm_group_count(channels) == groups);
  }
  const at::Tensor x = value("x", {2, 8, 7, 6});
  moe::DilatedFusion fusion;
  std::vector<at::Tensor> branches;
  for (const char* name : {"a", "b", "c"}) {
    const std::string base = name;
    const moe::ConvWeights w = {
        value((base + "p").c_str(), {8, 8, 1, 1}), value((base + "d").c_str(), {8, 1, 3, 3}), {}};
    const int64_t dilation = int64_t{1} << fusion.branches.size();
    const at::Tensor spatial = at::conv2d(x, w.depthwise, {}, 1, dilation, dilation, 8);
    branches.push_back(at::einsum("bchw,oc->bohw", {spatial, w.weight.flatten(1)}));
    check_close(moe::conv_same(x, w, dilation), branches.back(), 1e-13);
    fusion.branches.push_back(w);
  }
  fusion.fuse_weight = value("fuse", {8, 24, 1, 1});
  fusion.fuse_bias = value("fuse_bias", {8});
  fusion.norm_weight = value("norm", {8});
  fusion.norm_bias = value("norm_bias", {8});
  const at::Tensor fused = at::conv2d(at::cat(branches, 1), fusion.fuse_weight, fusion.fuse_bias) + x;
  const at::Tensor want = at::gelu(at::group_norm(fused, 2, fusion.norm_weight, fusion.norm_bias));
  check_close(moe::dilated_fusion(x, fusion), want, 1e-12);
  fusion.branches.pop_back();
  CHECK_ERROR(MOE_ERR_SHAPE, "fuse weights [C, 16, 1, 1] for 2 branches", moe::dilated_fusion(x, fusion));
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_linear_fp64),
      cmocka_unit_test(test_linear_fp32),
      cmocka_unit_test(test_deep),
      cmocka_unit_test(test_wide),
      cmocka_unit_test(test_bf16),
      cmocka_unit_test(test_fp16),
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_not_chosen),
      cmocka_unit_test(test_samples_are_independent),
      cmocka_unit_test(test_same_bits),
      cmocka_unit_test(test_same_bits_of_moves),
      cmocka_unit_test(test_memory_order),
      cmocka_unit_test(test_route),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_blocks),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
