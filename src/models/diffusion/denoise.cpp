#include "models/diffusion/denoise.h"

#include <ATen/ATen.h>

#include <cmath>

#include "tensor/random.h"
#include "tensor/scope.h"

namespace moe::diffusion {

// One coefficient of every level, to multiply maps with.
template <typename Member>
static at::Tensor coefficient(const std::vector<Coefficients>& all, Member member, const at::Tensor& like) {
  std::vector<double> values;
  for (const Coefficients& c : all) values.push_back(c.*member);
  return per_sample(values, like);
}

static std::vector<Coefficients> coefficients(const Objective& objective, const std::vector<Level>& levels) {
  std::vector<Coefficients> out;
  for (const Level& level : levels) out.push_back(objective.at(level));
  return out;
}

static at::Tensor noised(const at::Tensor& x0, const at::Tensor& noise, const std::vector<Level>& levels) {
  std::vector<double> signal, share;
  for (const Level& level : levels) signal.push_back(level.signal), share.push_back(level.noise);
  return x0 * per_sample(signal, x0) + noise * per_sample(share, x0);
}

NetworkOutput raw_prediction(const Network& network, const Objective& objective, const at::Tensor& x,
                             const std::vector<Level>& levels, const at::Tensor& labels,
                             const std::optional<Rng>& noise) {
  const std::vector<Coefficients> c = coefficients(objective, levels);
  const at::Tensor input = x * coefficient(c, &Coefficients::input, x);
  std::vector<double> time;
  for (const Coefficients& one : c) time.push_back(one.time);
  return network.forward(input, at::tensor(time, at::kDouble), labels, noise);
}

TrainingDraw draw_training(const Objective& objective, const at::Tensor& x0, const at::Tensor& labels, int64_t classes,
                           double label_dropout, const Rng& rng) {
  TrainingDraw out;
  out.labels = labels.defined() ? labels.clone() : at::full({x0.size(0)}, classes, at::kLong);
  std::vector<at::Tensor> noise;
  for (int64_t i = 0; i < x0.size(0); ++i) {
    const Rng own = rng.child("sample", static_cast<uint64_t>(i));
    out.levels.push_back(objective.draw(own.child("level")));
    noise.push_back(normal_tensor(own.child("noise"), x0.sizes().slice(1)));
    if (own.child("label").chance(label_dropout)) out.labels.mutable_data_ptr<int64_t>()[i] = classes;
  }
  out.noise = at::stack(noise).to(x0.scalar_type());
  return out;
}

at::Tensor classes_of_tokens(const at::Tensor& labels, int64_t classes, const Routing& routing) {
  const at::Tensor known = labels.masked_fill(labels == classes, -1);
  return known.repeat_interleave(routing.logits.size(0) / labels.size(0));
}

// Class y belongs to expert y, counted around where there are fewer experts.
static at::Tensor expert_of_class(const at::Tensor& classes, int64_t experts) {
  return at::where(classes >= 0, classes.remainder(experts), classes);
}

static RoutedTokens routed_tokens(const Options& options, const Routing& routing, const at::Tensor& labels) {
  RoutedTokens out;
  out.classes = options.network.classes;
  if (out.classes == 0 || !options.router_loss.by_class()) return out;
  out.labels = classes_of_tokens(labels, out.classes, routing);
  out.targets = expert_of_class(out.labels, routing.logits.size(1));
  return out;
}

// Mean over the layers. Without the window's totals a micro-batch counts for its share of the samples, which is that of
// the tokens.
static void add_router_terms(const Options& options, const at::Tensor& labels, const ForwardContext& context,
                             LossResult& result) {
  const size_t first = result.terms.size();
  const double layers = static_cast<double>(result.routings.size());
  for (size_t i = 0; i < result.routings.size(); ++i) {
    const Routing& routing = result.routings[i];
    RoutedTokens tokens = routed_tokens(options, routing, labels);
    const double of_a_sample = static_cast<double>(routing.tokens) / static_cast<double>(labels.size(0));
    tokens.window.tokens = std::llround(context.window_samples * of_a_sample);
    if (!context.routing.empty()) tokens.window = context.routing[i];
    const auto losses = router_losses(options.router_loss, routing, tokens);
    for (size_t j = 0; j < losses.size(); ++j) {
      if (i == 0) result.terms.push_back({losses[j].first, at::zeros({}, losses[j].second.options())});
      at::Tensor& sum = result.terms[first + j].value;
      sum = sum + losses[j].second / layers;
    }
  }
}

static NetworkOutput training_pass(const Network& network, const Objective& objective, const at::Tensor& x0,
                                   const TrainingDraw& draw, const ForwardContext& context) {
  const at::Tensor x = noised(x0, draw.noise, draw.levels);
  return raw_prediction(network, objective, x, draw.levels, draw.labels, context.rng.child("routers"));
}

std::vector<RoutingTotals> totals(const Options& options, const Network& network, const Objective& objective,
                                  const at::Tensor& x0, const TrainingDraw& draw, const ForwardContext& context) {
  const NetworkOutput output = training_pass(network, objective, x0, draw, context);
  const Float32Scope precise;
  std::vector<RoutingTotals> out;
  for (const Routing& routing : output.routings) {
    const RoutedTokens tokens = routed_tokens(options, routing, draw.labels);
    out.push_back(routing_totals(routing, tokens.labels, tokens.classes));
  }
  return out;
}

LossResult losses(const Options& options, const Network& network, const Objective& objective, const at::Tensor& x0,
                  const TrainingDraw& draw, const ForwardContext& context) {
  NetworkOutput output = training_pass(network, objective, x0, draw, context);
  const Float32Scope precise;
  const std::vector<Coefficients> c = coefficients(objective, draw.levels);
  const at::Tensor target =
      x0 * coefficient(c, &Coefficients::of_x0, x0) + draw.noise * coefficient(c, &Coefficients::of_noise, x0);
  const at::Tensor error = (output.prediction - target).square() * coefficient(c, &Coefficients::weight, x0);
  LossResult result;
  result.routings = std::move(output.routings);
  const double pixels = static_cast<double>(x0[0].numel());
  result.terms.push_back({"denoising", error.sum() / (context.window_samples * pixels)});
  add_router_terms(options, draw.labels, context, result);
  return result;
}

DenoisingResult denoising_error(const Network& network, const Objective& objective, const at::Tensor& x0,
                                const std::vector<Level>& levels, const at::Tensor& noise, const at::Tensor& labels) {
  std::vector<Level> own;
  for (const Level& level : levels) own.push_back(objective.own(level));
  const at::Tensor x = noised(x0, noise, own);
  NetworkOutput output = raw_prediction(network, objective, x, own, labels, std::nullopt);
  const Float32Scope precise;
  const std::vector<Coefficients> c = coefficients(objective, own);
  // eps - predicted eps = (predicted x0 - x0) signal / noise, without the cancellation of either subtraction in x
  const at::Tensor target =
      x0 * coefficient(c, &Coefficients::of_x0, x0) + noise * coefficient(c, &Coefficients::of_noise, x0);
  std::vector<double> gain;
  for (size_t i = 0; i < own.size(); ++i) gain.push_back(c[i].out * own[i].signal / own[i].noise);
  const at::Tensor difference = (output.prediction - target) * per_sample(gain, x0);
  return {difference.square().to(at::kDouble).flatten(1).mean(1), std::move(output.routings)};
}

}  // namespace moe::diffusion
