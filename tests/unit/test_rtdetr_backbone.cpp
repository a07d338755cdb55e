// PResNet-vd and the hybrid encoder against golden sums of the official RT-DETRv2 (detector R18, hash-filled,
// 1x3x256x256), their parameter names and counts, positions on non-square maps, and activation checkpointing.
#include <ATen/Parallel.h>

#include <map>
#include <set>

#include "models/rtdetr/backbone.h"
#include "models/rtdetr/encoder.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "tensor/scope.h"

using moe::rtdetr::Backbone;
using moe::rtdetr::BackboneOptions;
using moe::rtdetr::EncoderOptions;
using moe::rtdetr::HybridEncoder;

static int64_t parameter_count(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

static std::map<std::string, at::Tensor> state(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> out;
  for (const auto& item : module.named_parameters()) out[item.key()] = item.value();
  for (const auto& item : module.named_buffers()) out[item.key()] = item.value();
  return out;
}

static EncoderOptions encoder_options(const Backbone& backbone, int64_t hidden, int64_t ffn, double expansion) {
  return {.in_channels = backbone.channels(), .hidden = hidden, .ffn = ffn, .expansion = expansion};
}

static void test_counts(void**) {
  struct Variant {
    BackboneOptions backbone;
    int64_t hidden, ffn;
    double expansion;
    int64_t backbone_count, encoder_count, frozen;
  };
  const std::vector<Variant> variants = {
      {{.depth = 18}, 256, 1024, 0.5, 11199968, 4965120, 0},
      {{.depth = 34}, 256, 1024, 0.5, 21308128, 4965120, 0},
      {{.depth = 50, .freeze_norm = true}, 256, 1024, 0.5, 23474016, 5653248, 53248},
      {{.depth = 50, .freeze_norm = true}, 256, 1024, 1.0, 23474016, 11950848, 53248},
      {{.depth = 101, .freeze_norm = true}, 384, 2048, 1.0, 42413920, 26577536, 105472},
  };
  for (const Variant& variant : variants) {
    const Backbone backbone(variant.backbone);
    const HybridEncoder encoder(encoder_options(backbone, variant.hidden, variant.ffn, variant.expansion));
    int64_t affine = 0;
    for (const auto& buffer : backbone.named_buffers()) {
      const std::string& name = buffer.key();
      if (hash_fill::ends_with(name, "weight") || hash_fill::ends_with(name, "bias")) affine += buffer.value().numel();
    }
    CHECK(parameter_count(backbone) == variant.backbone_count);
    CHECK(parameter_count(encoder) == variant.encoder_count);
    CHECK(affine == variant.frozen);
  }
}

static void test_names(void**) {
  const Backbone backbone({.depth = 50});
  const HybridEncoder encoder(encoder_options(backbone, 256, 1024, 0.5));
  const auto body = state(backbone), neck = state(encoder);
  CHECK(body.at("conv1.conv1_2.conv.weight").sizes() == at::IntArrayRef({32, 32, 3, 3}));
  CHECK(body.at("res_layers.0.blocks.0.short.conv.weight").sizes() == at::IntArrayRef({256, 64, 1, 1}));
  CHECK(body.at("res_layers.1.blocks.0.short.conv.conv.weight").sizes() == at::IntArrayRef({512, 256, 1, 1}));
  CHECK(body.count("res_layers.3.blocks.2.branch2c.norm.running_var") == 1);
  CHECK(neck.at("input_proj.2.conv.weight").sizes() == at::IntArrayRef({256, 2048, 1, 1}));
  CHECK(neck.at("encoder.0.layers.0.self_attn.in_proj_weight").sizes() == at::IntArrayRef({768, 256}));
  CHECK(neck.at("encoder.0.layers.0.linear2.weight").sizes() == at::IntArrayRef({256, 1024}));
  CHECK(neck.at("fpn_blocks.0.bottlenecks.1.conv2.norm.running_var").sizes() == at::IntArrayRef({128}));
  CHECK(neck.at("pan_blocks.1.conv3.conv.weight").sizes() == at::IntArrayRef({256, 128, 1, 1}));
  for (const char* name : {"lateral_convs.0.conv.weight", "downsample_convs.1.norm.bias",
                           "encoder.0.layers.0.norm2.bias", "encoder.0.layers.0.self_attn.out_proj.bias"}) {
    CHECK(neck.count(name) == 1);
  }
}

static void check_map(const at::Tensor& map, double sum, double mean_abs, const std::vector<double>& first,
                      double tolerance) {
  const at::Tensor values = map.to(at::kDouble).contiguous();
  CHECK_NEAR(values.sum().item<double>(), sum, tolerance);
  CHECK_NEAR(values.abs().mean().item<double>(), mean_abs, 1e-6);
  for (size_t i = 0; i < first.size(); ++i) CHECK_NEAR(values.const_data_ptr<double>()[i], first[i], 2e-6);
}

// Sums of the official code in float64.
static void check_golden(at::ScalarType type, double tolerance) {
  Backbone backbone({.depth = 18});
  HybridEncoder encoder(encoder_options(backbone, 256, 1024, 0.5));
  backbone.to(type);
  encoder.to(type);
  hash_fill::fill(backbone, "backbone");
  hash_fill::fill(encoder, "encoder");
  backbone.eval();
  encoder.eval();
  at::NoGradGuard no_grad;
  const auto maps = backbone.forward(hash_fill::uniform("input", {1, 3, 256, 256}).to(type));
  check_map(maps[0], 21149.846725, 0.16136052, {.038775, .036465, .058601}, tolerance);
  check_map(maps[1], 9840.652051, 0.15015643, {}, tolerance);
  check_map(maps[2], 5082.380904, 0.15510196, {}, tolerance);
  const auto out = encoder.forward(maps);
  check_map(out[0], 1455.437805, 0.04805317, {-.025931, -.019292, -.017893}, tolerance);
  check_map(out[1], 240.016320, 0.02681848, {-.027283}, tolerance);
  check_map(out[2], 156.762384, 0.09864783, {-.187453}, tolerance);
  for (const at::Tensor& map : out) CHECK(map.is_contiguous(at::MemoryFormat::ChannelsLast));
}

static void test_golden_fp64(void**) {
  check_golden(at::kDouble, 1e-7);
}
static void test_golden_fp32(void**) {
  check_golden(at::kFloat, 2e-5);
}

static void test_position_embedding(void**) {
  const int64_t height = 3, width = 5, dim = 16;
  const at::Tensor position = moe::rtdetr::position_embedding(height, width, dim, at::kDouble)[0];
  for (int64_t row = 0; row < height; ++row) {
    for (int64_t column = 0; column < width; ++column) {
      const double* got = position.const_data_ptr<double>() + (row * width + column) * dim;
      for (int64_t j = 0; j < dim / 4; ++j) {
        const double omega = std::pow(10000.0, -static_cast<double>(j) / (static_cast<double>(dim) / 4));
        CHECK_NEAR(got[j], std::sin(static_cast<double>(row) * omega), 1e-12);
        CHECK_NEAR(got[dim / 4 + j], std::cos(static_cast<double>(row) * omega), 1e-12);
        CHECK_NEAR(got[dim / 2 + j], std::sin(static_cast<double>(column) * omega), 1e-12);
        CHECK_NEAR(got[3 * dim / 4 + j], std::cos(static_cast<double>(column) * omega), 1e-12);
      }
    }
  }
  const at::Tensor square = moe::rtdetr::position_embedding(20, 20, 256, at::kDouble);
  CHECK_NEAR(square.sum().item<double>(), 45218.7092, 1e-8);
  CHECK_NEAR(square[0][21][0].item<double>(), .84147096, 1e-7);
  CHECK_NEAR(square[0][21][128].item<double>(), .84147096, 1e-7);
}

struct Network {
  std::shared_ptr<Backbone> backbone;
  std::shared_ptr<HybridEncoder> encoder;

  Network(BackboneOptions options, bool checkpoint) {
    options.checkpoint = checkpoint;
    backbone = std::make_shared<Backbone>(options);
    EncoderOptions neck = encoder_options(*backbone, 32, 64, 0.5);
    neck.checkpoint = checkpoint;
    encoder = std::make_shared<HybridEncoder>(neck);
    moe::nn::init_parameters(*backbone, 7, "backbone");
    moe::nn::init_parameters(*encoder, 7, "encoder");
  }

  at::Tensor loss(const at::Tensor& images) {
    at::Tensor total = at::zeros({});
    for (const at::Tensor& map : encoder->forward(backbone->forward(images)))
      total = total + map.to(at::kFloat).square().mean();
    return total;
  }
};

static bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() == b.defined() && (!a.defined() || a.equal(b));
}

static void check_same_step(Network& plain, Network& other, std::optional<at::ScalarType> autocast) {
  const at::Tensor images = hash_fill::uniform("input", {2, 3, 70, 101}).to(at::kFloat);  // odd sizes on every level
  for (Network* network : {&plain, &other}) {
    at::Tensor loss;
    {
      moe::AutocastScope scope(autocast);
      loss = network->loss(images);
    }
    loss.backward();
  }
  for (auto [a, b] : {std::pair<torch::nn::Module*, torch::nn::Module*>{plain.backbone.get(), other.backbone.get()},
                      {plain.encoder.get(), other.encoder.get()}}) {
    const auto left = state(*a), right = state(*b);
    for (const auto& [name, value] : left) {
      CHECK(same_bits(value, right.at(name)));
      CHECK(same_bits(value.grad(), right.at(name).grad()));
      CHECK(!value.requires_grad() || (value.grad().defined() && value.grad().abs().sum().item<float>() > 0));
    }
  }
}

static void test_checkpointing(void**) {
  for (const std::optional<at::ScalarType> autocast : {std::optional<at::ScalarType>{}, {at::kBFloat16}}) {
    const BackboneOptions options{.depth = 18, .width = 0.25};
    Network plain(options, false), recomputed(options, true);
    check_same_step(plain, recomputed, autocast);
    CHECK(!state(*plain.backbone).at("res_layers.0.blocks.0.branch2a.norm.running_mean").equal(at::zeros({16})));
  }
}

// Behind a frozen stem the first block's input needs no gradient, its parameters do.
static void test_checkpointing_behind_frozen_stem(void**) {
  const BackboneOptions options{.depth = 50, .width = 0.125, .stages = {0, 1, 2}, .freeze_norm = true, .freeze_at = 0};
  Network plain(options, false), recomputed(options, true);
  CHECK(plain.backbone->strides() == std::vector<int64_t>({4, 8, 16}));
  check_same_step(plain, recomputed, std::nullopt);
}

static void test_init_is_deterministic(void**) {
  Network a({.width = 0.25}, false), b({.width = 0.25}, false);
  CHECK(state(*a.backbone)
            .at("res_layers.2.blocks.1.branch2b.conv.weight")
            .equal(state(*b.backbone).at("res_layers.2.blocks.1.branch2b.conv.weight")));
  for (const auto& [name, value] : state(*a.encoder)) CHECK(value.isfinite().all().item<bool>());
  for (const auto& [name, value] : state(*a.backbone)) CHECK(value.isfinite().all().item<bool>());
}

static void test_errors(void**) {
  CHECK_ERROR(MOE_ERR_CONFIG, "expected 18, 34, 50 or 101, got 19", Backbone({.depth = 19}));
  CHECK_ERROR(MOE_ERR_CONFIG, "stages", Backbone({.stages = {2, 1}}));
  CHECK_ERROR(MOE_ERR_CONFIG, "width", Backbone({.width = 0}));
  CHECK_ERROR(MOE_ERR_CONFIG, "multiple of 4, got 6", HybridEncoder({.in_channels = {8}, .hidden = 6}));
  CHECK_ERROR(MOE_ERR_CONFIG, "heads", HybridEncoder({.in_channels = {8}, .hidden = 12}));
  HybridEncoder encoder({.in_channels = {8, 8}, .hidden = 16});
  CHECK_ERROR(MOE_ERR_SHAPE, "expected 2 maps, got 1", encoder.forward({at::zeros({1, 8, 4, 4})}));
}

int main() {
  at::set_num_threads(2);
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_counts),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_golden_fp64),
      cmocka_unit_test(test_golden_fp32),
      cmocka_unit_test(test_position_embedding),
      cmocka_unit_test(test_checkpointing),
      cmocka_unit_test(test_checkpointing_behind_frozen_stem),
      cmocka_unit_test(test_init_is_deterministic),
      cmocka_unit_test(test_errors),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
