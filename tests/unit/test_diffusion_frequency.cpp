// The frequency module's identities, in every mode, and its gradients.
#include <torch/torch.h>

#include <numbers>

#include "models/diffusion/frequency.h"
#include "support/finite_difference.h"
#include "support/test.h"
#include "tensor/random.h"

using namespace moe;
using namespace moe::diffusion;

static at::Tensor map(int64_t height, int64_t width) {
  return normal_tensor(Rng(3, "map"), {2, 4, height, width}).to(at::kDouble);
}

static double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

static void test_masks_add_up_to_one(void**) {
  for (int64_t count = 1; count <= 4; ++count) {
    const at::Tensor masks = band_masks(count, 16, 20);
    CHECK(masks.sizes() == at::IntArrayRef({count, 16, 11}));
    CHECK(difference(masks.sum(0), at::ones({16, 11})) < 1e-6);
    CHECK(masks.min().item<double>() >= 0);
    CHECK(masks[0][0][0].item<double>() == 1);
  }
  CHECK_ERROR(MOE_ERR_CONFIG, "frequency bands: expected 1 to 4, got 5", band_masks(5, 8, 8));
}

static void test_bands_add_up_to_the_map(void**) {
  const at::Tensor x = map(16, 12), masks = band_masks(4, 16, 12);
  at::Tensor sum = at::zeros_like(x);
  for (int64_t band = 0; band < 4; ++band) {
    at::Tensor gains = at::zeros({2, 4, 4}, at::kDouble);
    gains.select(2, band).fill_(1);
    sum += add_bands(x, gains, masks) - x;
  }
  CHECK(difference(sum, x) < 1e-6);
}

static void test_gains_zero_and_equal(void**) {
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{8, 8}, {16, 10}, {7, 9}}) {
    const at::Tensor x = map(height, width), masks = band_masks(3, height, width);
    CHECK(difference(add_bands(x, at::zeros({2, 4, 3}, at::kDouble), masks), x) < 1e-12);
    CHECK(difference(add_bands(x, at::full({2, 4, 3}, 0.7, at::kDouble), masks), 1.7 * x) < 1e-5);
  }
}

// A sinusoid of 1/32, 3/32, 6/32 and 16/32 cycles a pixel lies in the bands from low to high.
static void test_one_sinusoid_changes_with_its_band(void**) {
  const at::Tensor masks = band_masks(4, 32, 32);
  const std::vector<int64_t> cycles = {1, 3, 6, 16};
  for (int64_t own = 0; own < 4; ++own) {
    const at::Tensor angle =
        at::arange(32, at::kDouble) * (2 * std::numbers::pi * static_cast<double>(cycles[own]) / 32);
    const at::Tensor x = angle.cos().view({1, 1, 1, 32}).expand({1, 1, 32, 32}).contiguous();
    for (int64_t band = 0; band < 4; ++band) {
      at::Tensor gains = at::zeros({1, 1, 4}, at::kDouble);
      gains.select(2, band).fill_(2);
      const at::Tensor want = band == own ? 3 * x : x;
      CHECK(difference(add_bands(x, gains, masks), want) < 1e-6);
    }
  }
}

static std::shared_ptr<FrequencyModule> module(FrequencyMode mode, int64_t bands = 2) {
  auto out = std::make_shared<FrequencyModule>(FrequencyOptions{mode, bands}, 4, 6, 8, 8);
  nn::init_parameters(*out, 1, "frequency");
  return out;
}

static at::Tensor time_embedding() {
  return normal_tensor(Rng(4, "time"), {2, 6});
}

static void test_modules_start_as_the_identity(void**) {
  const at::Tensor x = map(8, 8).to(at::kFloat);
  for (const FrequencyMode mode : {FrequencyMode::bands, FrequencyMode::filter}) {
    CHECK(difference(module(mode)->forward(x, time_embedding()), x) < 1e-6);
  }
}

// The published module: Re(ifft2(fft2(x) w)) + x, whose transforms cancel to one gain a channel.
static void test_channel_gate_is_the_published_module(void**) {
  const auto gate = module(FrequencyMode::channel_gate);
  const at::Tensor x = map(8, 8).to(at::kFloat), time = time_embedding();
  const auto parameters = gate->named_parameters();
  const at::Tensor features = at::cat({x.mean({2, 3}), time}, 1);
  const at::Tensor hidden = at::gelu(at::linear(features, parameters["first.weight"], parameters["first.bias"]));
  const at::Tensor w = at::linear(hidden, parameters["second.weight"], parameters["second.bias"]).sigmoid();
  const at::Tensor published = at::real(at::fft_ifft2(at::fft_fft2(x) * w.unsqueeze(2).unsqueeze(3))) + x;
  CHECK(difference(gate->forward(x, time), published) < 1e-5);
}

static void test_gradients(void**) {
  for (const FrequencyMode mode : {FrequencyMode::channel_gate, FrequencyMode::bands, FrequencyMode::filter}) {
    const auto part = module(mode);
    part->to(at::kDouble);
    std::vector<at::Tensor> inputs = {map(8, 8).narrow(0, 0, 1).clone().requires_grad_(),
                                      time_embedding().to(at::kDouble).narrow(0, 0, 1).clone().requires_grad_()};
    uint64_t seed = 0;
    for (const at::Tensor& p : part->parameters()) {
      const at::NoGradGuard no_grad;
      p.copy_(0.3 * normal_tensor(Rng(++seed, "p"), p.sizes()));
      inputs.push_back(p);
    }
    const at::Tensor weight = normal_tensor(Rng(8, "w"), {1, 4, 8, 8}).to(at::kDouble);
    const double error = gradient_error([&] { return (part->forward(inputs[0], inputs[1]) * weight).sum(); }, inputs);
    CHECK(error < 1e-6);
  }
}

static void test_sizes_and_autocast(void**) {
  const auto bands = module(FrequencyMode::bands);
  CHECK_ERROR(MOE_ERR_SHAPE, "frequency module: expected maps of height 8 and half width 5, got [2, 4, 16, 8]",
              bands->forward(map(16, 8).to(at::kFloat), time_embedding()));
  const at::Tensor half = map(8, 8).to(at::kBFloat16);
  CHECK(bands->forward(half, time_embedding().to(at::kBFloat16)).scalar_type() == at::kBFloat16);
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_masks_add_up_to_one),
                              cmocka_unit_test(test_bands_add_up_to_the_map),
                              cmocka_unit_test(test_gains_zero_and_equal),
                              cmocka_unit_test(test_one_sinusoid_changes_with_its_band),
                              cmocka_unit_test(test_modules_start_as_the_identity),
                              cmocka_unit_test(test_channel_gate_is_the_published_module),
                              cmocka_unit_test(test_gradients),
                              cmocka_unit_test(test_sizes_and_autocast)};
  return cmocka_run_group_tests_name("frequency module", tests, nullptr, nullptr);
}
