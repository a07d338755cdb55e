// Samples and training draws of a network as functions of seed and index: whatever the batch, however it is asked.
#include <torch/torch.h>

#include "models/diffusion/denoise.h"
#include "models/diffusion/sampling.h"
#include "support/test.h"
#include "tensor/random.h"

using namespace moe;
using namespace moe::diffusion;

static Options tiny(Prediction prediction = Prediction::v) {
  Options o;
  o.network.image_channels = 1;
  o.network.height = o.network.width = 16;
  o.network.channels = 8;
  o.network.multipliers = {1, 2};
  o.network.embedding = 12;
  o.network.classes = 3;
  o.network.experts.count = 4;
  o.objective.prediction = prediction;
  o.sampler.steps = 6;
  o.sampler.kind = prediction == Prediction::edm    ? SamplerKind::heun
                   : prediction == Prediction::flow ? SamplerKind::euler
                                                    : SamplerKind::ddim;
  return o;
}

static std::shared_ptr<Network> stirred(const Options& options) {
  const auto network = make_network(options.network, 1);
  const at::NoGradGuard no_grad;
  for (const auto& item : network->named_parameters()) {
    item.value().add_(0.1 * normal_tensor(Rng(11, item.key()), item.value().sizes()));
  }
  network->eval();
  return network;
}

static SampleRequest request(const std::vector<int64_t>& indices) {
  SampleRequest out;
  for (const int64_t i : indices) {
    out.seeds.push_back(7);
    out.indices.push_back(i);
    out.labels.push_back(i % 4);  // 3: none
  }
  return out;
}

static at::Tensor bytes(const at::Tensor& pictures) {
  return pictures.mul(255).round().to(at::kInt);
}

static void test_batch_size_does_not_matter(void**) {
  const at::NoGradGuard no_grad;
  for (const Prediction prediction : {Prediction::v, Prediction::edm, Prediction::flow}) {
    Options options = tiny(prediction);
    options.guidance.scale = 2;
    const Objective objective(options.objective);
    const auto network = stirred(options);
    const at::Tensor all = sample_pictures(options, *network, objective, request({0, 1, 2, 3, 4, 5, 6}));
    CHECK(all.sizes() == at::IntArrayRef({7, 1, 16, 16}));
    CHECK(all.min().item<double>() >= 0 && all.max().item<double>() <= 1);
    for (const std::vector<int64_t>& part : {std::vector<int64_t>{5}, {6, 2}, {3, 0, 4, 1}}) {
      const at::Tensor some = sample_pictures(options, *network, objective, request(part));
      const at::Tensor want = all.index_select(0, at::tensor(part, at::kLong));
      std::printf("largest difference of %zu samples alone: %g\n", part.size(),
                  (some - want).abs().max().item<double>());
      CHECK((bytes(some) - bytes(want)).abs().max().item<int>() <= 1);
    }
  }
}

static void test_seed_and_index_decide(void**) {
  const at::NoGradGuard no_grad;
  const Options options = tiny();
  const Objective objective(options.objective);
  const auto network = stirred(options);
  SampleRequest other = request({1, 1});
  other.seeds[1] = 8;
  const at::Tensor x = sample_pictures(options, *network, objective, other);
  CHECK((x[0] - x[1]).abs().max().item<double>() > 0.05);
  const at::Tensor again = sample_pictures(options, *network, objective, other);
  CHECK(at::equal(x, again));
}

// The noise of stochastic samplers is that of the sample too.
static void test_stochastic_samplers(void**) {
  const at::NoGradGuard no_grad;
  Options options = tiny();
  options.sampler.kind = SamplerKind::ddpm;
  const Objective objective(options.objective);
  const auto network = stirred(options);
  const at::Tensor all = sample_pictures(options, *network, objective, request({0, 1, 2}));
  const at::Tensor last = sample_pictures(options, *network, objective, request({2}));
  CHECK((bytes(all[2]) - bytes(last[0])).abs().max().item<int>() <= 1);
  CHECK((all[0] - all[1]).abs().max().item<double>() > 0.05);
}

// Scale 1 is the conditional network, scale 0 the one without a class; outside its interval guidance does nothing.
static void test_guidance(void**) {
  const at::NoGradGuard no_grad;
  Options options = tiny();
  const Objective objective(options.objective);
  const auto network = stirred(options);
  const auto sample = [&](double scale, double from, double to, std::vector<int64_t> labels) {
    options.guidance = {scale, from, to};
    SampleRequest r = request({0, 1, 2});
    r.labels = std::move(labels);
    return sample_pictures(options, *network, objective, r);
  };
  const at::Tensor conditional = sample(1, 0, 1, {0, 1, 2}), null = sample(1, 0, 1, {3, 3, 3});
  CHECK((sample(0, 0, 1, {0, 1, 2}) - null).abs().max().item<double>() < 1e-4);
  const at::Tensor guided = sample(4, 0, 1, {0, 1, 2}), late = sample(4, 0.5, 1, {0, 1, 2});
  CHECK((guided - conditional).abs().max().item<double>() > 1e-3);
  CHECK((late - conditional).abs().max().item<double>() > 1e-4);
  CHECK((late - guided).abs().max().item<double>() > 1e-4);
}

// An oracle in the place of the network: what it knows exactly has no error, and zero has that of the noise itself.
class Oracle : public Network {
 public:
  NetworkOutput forward(const at::Tensor& x, const at::Tensor&, const at::Tensor&,
                        const std::optional<Rng>&) const override {
    return {answer.defined() ? answer : at::zeros_like(x), {}};
  }
  std::vector<MixtureLayer> mixture_layers() const override { return {}; }

  at::Tensor answer;
};

static void test_denoising_error(void**) {
  const NoiseSchedule linear({});
  const std::vector<Level> levels = {linear.level(30), linear.level(400), linear.level(990)};
  const at::Tensor x0 = normal_tensor(Rng(1, "x0"), {3, 2, 8, 8}), noise = normal_tensor(Rng(2, "noise"), {3, 2, 8, 8});
  for (const Prediction prediction :
       {Prediction::eps, Prediction::v, Prediction::x0, Prediction::edm, Prediction::flow}) {
    const Objective objective(ObjectiveOptions{.prediction = prediction});
    std::vector<double> of_x0, of_noise;
    for (const Level& level : levels) {
      const Coefficients c = objective.at(objective.own(level));
      of_x0.push_back(c.of_x0);
      of_noise.push_back(c.of_noise);
    }
    Oracle oracle;
    oracle.answer = x0 * per_sample(of_x0, x0) + noise * per_sample(of_noise, x0);
    CHECK(denoising_error(oracle, objective, x0, levels, noise, {}).error.max().item<double>() < 1e-9);
  }
  const Oracle zero;
  const Objective eps(ObjectiveOptions{.prediction = Prediction::eps});
  const at::Tensor error = denoising_error(zero, eps, x0, levels, noise, {}).error;
  CHECK(at::allclose(error, noise.square().flatten(1).mean(1).to(at::kDouble), 1e-5, 1e-6));
}

// A sample's draw depends on its place alone: the same in a smaller micro-batch.
static void test_training_draws(void**) {
  const Objective objective(ObjectiveOptions{});
  const at::Tensor x0 = normal_tensor(Rng(1, "x0"), {200, 1, 4, 4}), labels = at::arange(200, at::kLong).remainder(3);
  const TrainingDraw all = draw_training(objective, x0, labels, 3, 0.25, Rng(4, "step"));
  const TrainingDraw few =
      draw_training(objective, x0.narrow(0, 0, 5), labels.narrow(0, 0, 5), 3, 0.25, Rng(4, "step"));
  CHECK(at::equal(all.noise.narrow(0, 0, 5), few.noise));
  for (size_t i = 0; i < 5; ++i) CHECK(all.levels[i].noise == few.levels[i].noise);
  const int64_t hidden = all.labels.eq(3).sum().item<int64_t>();
  CHECK(hidden > 25 && hidden < 75);
  CHECK(at::equal(all.labels.masked_select(all.labels.ne(3)), labels.masked_select(all.labels.ne(3))));
  CHECK(at::equal(labels, at::arange(200, at::kLong).remainder(3)));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_batch_size_does_not_matter),
                              cmocka_unit_test(test_seed_and_index_decide),
                              cmocka_unit_test(test_stochastic_samplers),
                              cmocka_unit_test(test_guidance),
                              cmocka_unit_test(test_denoising_error),
                              cmocka_unit_test(test_training_draws)};
  return cmocka_run_group_tests_name("diffusion sampling", tests, nullptr, nullptr);
}
