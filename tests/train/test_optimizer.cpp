// The optimizers against torch::optim and at::_fused_adamw_, and what makes a step a transaction: checks first, then an
// update that cannot fail.
#include "support/test.h"

#include <torch/torch.h>

#include <cstring>

#include "support/fail_alloc.h"
#include "train/optimizer.h"
#include "train/settings.h"

using namespace moe;

static std::vector<NamedParameter> make_parameters() {
  Rng rng(1, "parameters");
  std::vector<NamedParameter> out;
  const auto add = [&](const char* name, const at::Tensor& tensor) {
    out.push_back({name, tensor.detach().requires_grad_(), tensor.dim() <= 1, false});
  };
  add("conv.weight", normal_tensor(rng, {8, 4, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast));
  add("conv.bias", normal_tensor(rng, {8}));
  add("linear.weight", normal_tensor(rng, {301, 211}));  // four chunks
  add("linear.bias", normal_tensor(rng, {211}));
  add("scale", normal_tensor(rng, {}));
  add("empty", normal_tensor(rng, {0, 3}));
  return out;
}

static std::vector<at::Tensor> copies(const std::vector<NamedParameter>& parameters) {
  std::vector<at::Tensor> out;
  for (const NamedParameter& parameter : parameters) out.push_back(parameter.tensor.detach().clone().requires_grad_());
  return out;
}

// Gradients of one step; the convolution's come in the other memory layout on odd steps.
static void set_gradients(std::vector<NamedParameter>& parameters, int64_t step,
                          std::vector<at::Tensor>* twins = nullptr) {
  Rng rng(2, "gradients", static_cast<uint64_t>(step));
  for (size_t i = 0; i < parameters.size(); ++i) {
    at::Tensor gradient = normal_tensor(rng, parameters[i].tensor.sizes()) * (i + 1);
    if (i == 0 && step % 2 == 0) gradient = gradient.contiguous(at::MemoryFormat::ChannelsLast);
    parameters[i].tensor.mutable_grad() = gradient;
    if (twins != nullptr) (*twins)[i].mutable_grad() = gradient.clone();
  }
}

static double largest_difference(const std::vector<NamedParameter>& parameters, const std::vector<at::Tensor>& twins) {
  double worst = 0;
  for (size_t i = 0; i < twins.size(); ++i) {
    if (twins[i].numel() == 0) continue;
    const at::Tensor scale = twins[i].detach().abs().clamp_min(1);
    worst = std::max(worst, ((parameters[i].tensor.detach() - twins[i].detach()).abs() / scale).max().item<double>());
  }
  return worst;
}

static Optimizer make_optimizer(const std::string& yaml, const std::vector<NamedParameter>& parameters) {
  const Config config = settings(yaml);
  return Optimizer(config, parameters, make_groups(config, parameters));
}

// torch's groups as ours: matrices with decay, 1-d tensors without.
template <typename Torch, typename Options>
static Torch torch_optimizer(const std::vector<NamedParameter>& parameters, const std::vector<at::Tensor>& twins,
                             Options options) {
  std::vector<at::Tensor> decay, rest;
  for (size_t i = 0; i < twins.size(); ++i) (parameters[i].is_norm_or_bias ? rest : decay).push_back(twins[i]);
  Torch out({torch::optim::OptimizerParamGroup(decay), torch::optim::OptimizerParamGroup(rest)}, options);
  static_cast<Options&>(out.param_groups()[1].options()).weight_decay(0);
  return out;
}

template <typename Torch, typename Options>
static void check_against_torch(const std::string& yaml, Options options) {
  std::vector<NamedParameter> parameters = make_parameters();
  std::vector<at::Tensor> twins = copies(parameters);
  Optimizer ours = make_optimizer(yaml, parameters);
  Torch theirs = torch_optimizer<Torch>(parameters, twins, options);
  const double lr = options.get_lr();
  for (int64_t step = 0; step < 20; ++step) {
    set_gradients(parameters, step, &twins);
    if (step % 5 == 3) {  // a parameter that took no part
      parameters[2].tensor.mutable_grad() = at::Tensor();
      twins[2].mutable_grad() = at::Tensor();
    }
    const double factor = step < 10 ? 1 : 0.1;
    for (auto& group : theirs.param_groups()) group.options().set_lr(lr * factor);
    ours.plan(1, nullptr);
    ours.apply(factor, 1);
    theirs.step();
    ours.zero_grad();
  }
  CHECK(ours.steps() == 20);
  CHECK_NEAR(largest_difference(parameters, twins), 0, 1e-6);
}

static void test_adamw(void**) {
  check_against_torch<torch::optim::AdamW>(
      "optimizer: {kind: adamw, lr: 0.01, weight_decay: 0.1, betas: [0.8, 0.95], eps: 1e-6}",
      torch::optim::AdamWOptions(0.01).weight_decay(0.1).betas({0.8, 0.95}).eps(1e-6));
}

static void test_adam(void**) {
  check_against_torch<torch::optim::Adam>("optimizer: {kind: adam, lr: 0.01, weight_decay: 0.1}",
                                          torch::optim::AdamOptions(0.01).weight_decay(0.1));
}

static void test_sgd(void**) {
  check_against_torch<torch::optim::SGD>("optimizer: {kind: sgd, lr: 0.01, weight_decay: 0.1, momentum: 0}",
                                         torch::optim::SGDOptions(0.01).weight_decay(0.1));
  check_against_torch<torch::optim::SGD>("optimizer: {kind: sgd, lr: 0.01, weight_decay: 0.1, momentum: 0.8}",
                                         torch::optim::SGDOptions(0.01).weight_decay(0.1).momentum(0.8));
  check_against_torch<torch::optim::SGD>(
      "optimizer: {kind: sgd, lr: 0.01, weight_decay: 0.1, momentum: 0.8, nesterov: true}",
      torch::optim::SGDOptions(0.01).weight_decay(0.1).momentum(0.8).nesterov(true));
}

static void test_fused_adamw(void**) {
  std::vector<NamedParameter> parameters = make_parameters();
  std::vector<at::Tensor> twins = copies(parameters), gradients(twins.size()), means, squares, steps;
  for (at::Tensor& twin : twins) {
    twin = twin.detach();
    means.push_back(at::zeros_like(twin));
    squares.push_back(at::zeros_like(twin));
    steps.push_back(at::zeros({}));
  }
  Optimizer ours = make_optimizer("optimizer: {lr: 0.01, weight_decay: 0.1, no_decay: []}", parameters);
  for (int64_t step = 0; step < 20; ++step) {
    set_gradients(parameters, step);
    for (size_t i = 0; i < twins.size(); ++i) {
      gradients[i] = at::empty_like(twins[i]).copy_(parameters[i].tensor.grad());
      steps[i].add_(1);
    }
    at::_fused_adamw_(twins, gradients, means, squares, {}, steps, 0.01, 0.9, 0.999, 0.1, 1e-8, false, false);
    ours.plan(1, nullptr);
    ours.apply(1, 1);
  }
  CHECK_NEAR(largest_difference(parameters, twins), 0, 1e-6);
}

static void test_missing_gradient_leaves_everything_alone(void**) {
  std::vector<NamedParameter> parameters = make_parameters();
  const std::vector<at::Tensor> before = copies(parameters);
  Optimizer ours = make_optimizer("optimizer: {weight_decay: 0.1}", parameters);
  parameters[1].tensor.mutable_grad() = at::ones({8});
  CHECK_NEAR(ours.plan(1, nullptr), std::sqrt(8.0), 1e-12);
  ours.apply(1, 1);
  for (size_t i = 0; i < parameters.size(); ++i) CHECK(parameters[i].tensor.equal(before[i]) == (i != 1));
  for (const auto& [name, tensor] : ours.state()) {
    if (name.starts_with("updates.")) CHECK(tensor.item<int64_t>() == (name == "updates.conv.bias"));
  }
}

static std::vector<at::Tensor> train(int threads, double* norm) {
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  std::vector<NamedParameter> parameters = make_parameters();
  Optimizer ours = make_optimizer("optimizer: {weight_decay: 0.1}", parameters);
  for (int64_t step = 0; step < 3; ++step) {
    set_gradients(parameters, step);
    *norm = ours.plan(1, nullptr);
    ours.apply(1, 0.1 / *norm);
  }
  at::set_num_threads(before);
  return copies(parameters);
}

static void test_thread_count_does_not_matter(void**) {
  double norm_one = 0, norm_two = 0;
  const std::vector<at::Tensor> one = train(1, &norm_one), two = train(2, &norm_two);
  CHECK(norm_one == norm_two);
  for (size_t i = 0; i < one.size(); ++i) CHECK(one[i].equal(two[i]));
}

static void test_norm_and_scales(void**) {
  std::vector<NamedParameter> parameters = make_parameters(), scaled = make_parameters();
  Optimizer plain = make_optimizer("optimizer: {kind: sgd}", parameters);
  Optimizer unscaling = make_optimizer("optimizer: {kind: sgd}", scaled);
  set_gradients(parameters, 0);
  set_gradients(scaled, 0);
  double want = 0;
  for (const NamedParameter& parameter : parameters)
    want += parameter.tensor.grad().to(at::kDouble).square().sum().item<double>();
  for (NamedParameter& parameter : scaled) parameter.tensor.mutable_grad().mul_(1024);
  CHECK_NEAR(plain.plan(1, nullptr), std::sqrt(want), 1e-12);
  CHECK_NEAR(unscaling.plan(1.0 / 1024, nullptr), std::sqrt(want), 1e-12);
  plain.apply(1, 0.5);
  unscaling.apply(1, 0.5);
  CHECK_NEAR(largest_difference(parameters, copies(scaled)), 0, 1e-7);
}

static void test_not_finite(void**) {
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<NamedParameter> parameters = make_parameters();
    const std::vector<at::Tensor> before = copies(parameters);
    Optimizer ours = make_optimizer("", parameters);
    set_gradients(parameters, 0);
    parameters[2].tensor.mutable_grad()[300][210] = bad;
    parameters[3].tensor.mutable_grad()[7] = bad;
    CHECK_ERROR(MOE_ERR_NUMERIC, "gradient of \"linear.weight\": expected finite values", ours.plan(1, nullptr));
    bool overflow = false;
    ours.plan(1, &overflow);
    CHECK(overflow);
    ours.zero_grad();
    for (size_t i = 0; i < before.size(); ++i) CHECK(parameters[i].tensor.equal(before[i]));
    set_gradients(parameters, 0);
    CHECK(std::isfinite(ours.plan(1, &overflow)));
    CHECK(!overflow);
  }
}

static void test_huge_gradients_are_finite(void**) {
  std::vector<NamedParameter> parameters = make_parameters();
  Optimizer ours = make_optimizer("", parameters);
  parameters[2].tensor.mutable_grad() = at::full({301, 211}, 3e38);
  CHECK_NEAR(ours.plan(1, nullptr) / 3e38, std::sqrt(301.0 * 211), 1e-6);
}

static void test_apply_allocates_nothing(void**) {
  for (const char* kind : {"adamw", "adam", "sgd"}) {
    std::vector<NamedParameter> parameters = make_parameters();
    Optimizer ours = make_optimizer(std::string("optimizer: {kind: ") + kind + "}", parameters);
    set_gradients(parameters, 0);
    fail_alloc::start(fail_alloc::everything);
    ours.plan(1, nullptr);
    CHECK(fail_alloc::stop() > 0);
    fail_alloc::start(fail_alloc::everything);
    ours.apply(1, 1);
    ours.zero_grad();
    assert_int_equal(fail_alloc::stop(), 0);
  }
}

// plan() fails at its n-th allocation: nothing has changed, and the next plan works.
static void test_plan_survives_failing_allocations(void**) {
  std::vector<NamedParameter> parameters = make_parameters();
  const std::vector<at::Tensor> before = copies(parameters);
  Optimizer ours = make_optimizer("", parameters);
  set_gradients(parameters, 1);
  int64_t failures = 0;
  for (bool done = false; !done; failures += !done) {
    fail_alloc::start(fail_alloc::everything, failures + 1);
    try {
      ours.plan(1, nullptr);
      done = true;
    } catch (const std::exception&) {
    }
    fail_alloc::stop();
    for (size_t i = 0; i < before.size(); ++i) CHECK(parameters[i].tensor.equal(before[i]));
  }
  CHECK(failures > 2);
  ours.apply(1, 1);
  CHECK(!parameters[2].tensor.equal(before[2]));
}

static void test_state_resumes_bit_for_bit(void**) {
  for (const char* kind : {"adamw", "adam", "sgd"}) {
    const std::string yaml = std::string("optimizer: {kind: ") + kind + ", weight_decay: 0.1}";
    std::vector<NamedParameter> parameters = make_parameters(), resumed = make_parameters();
    Optimizer first = make_optimizer(yaml, parameters), second = make_optimizer(yaml, resumed);
    for (int64_t step = 0; step < 6; ++step) {
      if (step == 3) {
        const auto from = first.state(), to = second.state();
        CHECK(from.size() == to.size() && !from.empty());
        for (size_t i = 0; i < from.size(); ++i) {
          CHECK(from[i].first == to[i].first);
          at::Tensor target = to[i].second;
          target.copy_(from[i].second);
        }
        for (size_t i = 0; i < resumed.size(); ++i) resumed[i].tensor.detach().copy_(parameters[i].tensor.detach());
        second.set_steps(first.steps());
      }
      for (auto [optimizer, list] : {std::pair(&first, &parameters), std::pair(&second, &resumed)}) {
        if (optimizer == &second && step < 3) continue;
        set_gradients(*list, step);
        optimizer->plan(1, nullptr);
        optimizer->apply(1, 1);
      }
    }
    for (size_t i = 0; i < resumed.size(); ++i) CHECK(resumed[i].tensor.equal(parameters[i].tensor));
    CHECK(second.steps() == 6);
  }
}

static void test_settings_errors(void**) {
  const std::vector<NamedParameter> parameters = make_parameters();
  CHECK_ERROR(MOE_ERR_CONFIG, "optimizer.betas: expected 2 numbers, got 1",
              make_optimizer("optimizer: {betas: [0.9]}", parameters));
  CHECK_ERROR(MOE_ERR_CONFIG, "optimizer.momentum > 0",
              make_optimizer("optimizer: {kind: sgd, momentum: 0, nesterov: true}", parameters));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_adamw),
      cmocka_unit_test(test_adam),
      cmocka_unit_test(test_sgd),
      cmocka_unit_test(test_fused_adamw),
      cmocka_unit_test(test_missing_gradient_leaves_everything_alone),
      cmocka_unit_test(test_thread_count_does_not_matter),
      cmocka_unit_test(test_norm_and_scales),
      cmocka_unit_test(test_not_finite),
      cmocka_unit_test(test_huge_gradients_are_finite),
      cmocka_unit_test(test_apply_allocates_nothing),
      cmocka_unit_test(test_plan_survives_failing_allocations),
      cmocka_unit_test(test_state_resumes_bit_for_bit),
      cmocka_unit_test(test_settings_errors),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
