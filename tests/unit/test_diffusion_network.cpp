// The diffusion networks: parameter counts in closed form, shapes of every kind and topology, first loss, independence
// of batch mates, checkpointing to the bit, gradients.
#include <torch/torch.h>

#include "models/diffusion/denoise.h"
#include "models/diffusion/summary.h"
#include "models/diffusion/unet_block.h"
#include "support/finite_difference.h"
#include "support/test.h"
#include "tensor/random.h"
#include "tensor/scope.h"

using namespace moe;
using namespace moe::diffusion;

static NetworkOptions tiny(ExpertKind kind = ExpertKind::conv, Topology topology = Topology::standard) {
  NetworkOptions o;
  o.topology = topology;
  o.image_channels = 2;
  o.height = o.width = 16;
  o.channels = 8;
  o.multipliers = {1, 2, 2};
  o.embedding = 12;
  o.classes = 3;
  o.experts.kind = kind;
  o.experts.count = 4;
  if (topology != Topology::standard) o.frequency.mode = FrequencyMode::channel_gate;
  return o;
}

static int64_t count(const Network& network) {
  int64_t out = 0;
  for (const at::Tensor& p : network.parameters()) out += p.numel();
  return out;
}

// Parameters drawn anew, so that nothing is zero-initialised.
static void stir(Network& network) {
  const at::NoGradGuard no_grad;
  for (const auto& item : network.named_parameters()) {
    const double deviation =
        item.value().dim() > 1 ? 0.5 / std::sqrt(static_cast<double>(nn::fan_in(item.value()))) : 0.2;
    item.value().add_(deviation * normal_tensor(Rng(11, item.key()), item.value().sizes()));
  }
}

static at::Tensor pictures(int64_t samples, const NetworkOptions& o) {
  return normal_tensor(Rng(5, "pictures"), {samples, o.image_channels, o.height, o.width});
}

static at::Tensor times(int64_t samples) {
  return at::arange(samples, at::kDouble) * 171.5 + 20;
}

static at::Tensor labels(int64_t samples, int64_t classes) {
  return at::arange(samples, at::kLong).remainder(classes + 1);  // the last one: no class
}

// --- The published network's counts, from the formulas of its blocks ---

static int64_t published_conv(int64_t in, int64_t out, bool separable) {
  return separable ? 9 * in + in * out : 9 * in * out + out;
}

static int64_t published_block(const NetworkOptions& o, int64_t in, int64_t out) {
  const int64_t project = published_conv(in, out, o.separable);
  if (o.experts.kind == ExpertKind::fusion) {
    return project + 3 * published_conv(out, out, o.separable) + 3 * out * out + out + 2 * out;
  }
  const int64_t d = out + 2 * o.embedding, e = o.experts.count;
  const int64_t router = d * (d / 2) + d / 2 + (d / 2) * e + e;
  return project + router + e * (2 * published_conv(out, out, o.separable) + 4 * out);
}

static int64_t published_count(const NetworkOptions& o) {
  const int64_t d = o.embedding, c = o.channels;
  int64_t n = o.image_channels * 9 * c + c + 8 * d * d + 5 * d + o.classes * d, width = c;
  std::vector<int64_t> skips;
  for (int64_t level = 0; level + 1 < o.levels(); ++level) {
    const int64_t out = o.width_of(level);
    n += published_block(o, width, out) + 9 * out * out + out;
    skips.push_back(width = out);
  }
  const int64_t bottom = o.width_of(o.levels() - 1);
  n += 9 * width * bottom + bottom;
  if (o.frequency.mode == FrequencyMode::none) {
    n += published_block(o, bottom, bottom);
  } else {
    n += (bottom + d) * bottom + bottom + bottom * bottom + bottom;
  }
  if (o.topology == Topology::paper) skips.insert(skips.begin(), c);
  width = bottom;
  for (size_t l = skips.size(); l-- > 0; width = skips[l]) {
    n += 16 * width * width + width + published_block(o, width + skips[l], skips[l]);
  }
  return n + 2 * width + 9 * width * o.image_channels + o.image_channels;
}

static NetworkOptions published(std::vector<int64_t> multipliers = {1, 2, 4, 8}, int64_t channels = 128) {
  NetworkOptions o;
  o.topology = Topology::paper;
  o.height = o.width = 64;
  o.channels = channels;
  o.multipliers = std::move(multipliers);
  o.embedding = 512;
  o.frequency.mode = FrequencyMode::channel_gate;
  return o;
}

static void test_published_counts(void**) {
  const NetworkOptions medium = published();
  CHECK(published_count(medium) == 53'752'571);  // as counted on the published code
  const auto network = make_network(medium, 1);
  CHECK(count(*network) == 53'752'571);
  CHECK(network->mixture_layers().size() == 7);
  const std::vector<PartCost> parts = part_costs(medium, *network);
  double total = 0, active = 0;
  for (const PartCost& part : parts) {
    total += static_cast<double>(part.multiply_adds) * 1e-9;
    active += static_cast<double>(part.active_parameters) * 1e-6;
  }
  std::printf("published: %.3f GMAC, experts %.3f, resampling %.3f, active %.2f M\n", total,
              static_cast<double>(parts[1].multiply_adds) * 1e-9, static_cast<double>(parts[4].multiply_adds) * 1e-9,
              active);
  CHECK_NEAR(total, 3.418, 0.005);
  CHECK_NEAR(static_cast<double>(parts[1].multiply_adds) * 1e-9, 1.335, 0.005);
  CHECK_NEAR(active, 45.05, 0.01);
}

static void test_published_ablations(void**) {
  NetworkOptions small = published({1, 2, 4}, 64);
  std::vector<NetworkOptions> all = {small};
  small.experts.kind = ExpertKind::fusion;
  all.push_back(small);
  small = published({1, 2, 4}, 64);
  small.frequency.mode = FrequencyMode::none;
  all.push_back(small);
  small = published({1, 2, 4}, 64);
  small.separable = false;
  all.push_back(small);
  small = published({1, 2, 4}, 64);
  small.experts.count = 16;
  small.experts.router.top_k = 4;
  all.push_back(small);
  small.topology = Topology::paper_standard;
  all.push_back(small);
  for (const NetworkOptions& options : all) CHECK(count(*make_network(options, 1)) == published_count(options));
}

// --- The standard network's count ---

static int64_t expert_count(int64_t channels, int64_t inner, bool separable) {
  const int64_t norms = 2 * channels + 2 * inner;
  return norms + (separable ? 9 * channels + 9 * inner + 2 * channels * inner : 18 * channels * inner);
}

static int64_t standard_block(const NetworkOptions& o, int64_t in, int64_t out) {
  int64_t n = 2 * in + published_conv(in, out, o.separable) + (in != out ? in * out + out : 0), columns = out;
  const ExpertOptions& e = o.experts;
  const auto hidden = [&](double width) { return std::llround(width * static_cast<double>(out)); };
  const auto shared = [&](double width) {
    n += expert_count(out, hidden(width), o.separable);
    columns += 2 * hidden(width);
  };
  if (e.kind == ExpertKind::dense) shared(e.shared_width + static_cast<double>(e.router.top_k) * e.width);
  if (e.kind == ExpertKind::conv || e.kind == ExpertKind::token) {
    if (e.shared_width > 0) shared(e.shared_width);
  }
  if (e.kind == ExpertKind::conv) {
    n += e.count * (expert_count(out, hidden(e.width), o.separable) + out + o.embedding * (o.classes > 0 ? 2 : 1));
    columns += 2 * hidden(e.width);
  }
  if (e.kind == ExpertKind::token) {
    n += published_conv(out, out, o.separable) + e.count * (out + 2 * out * hidden(e.width) + hidden(e.width) + out);
  }
  if (e.kind == ExpertKind::fusion) n += 3 * published_conv(out, out, o.separable) + 3 * out * out + out + 2 * out;
  if (e.kind == ExpertKind::token || e.kind == ExpertKind::fusion) n += 2 * out, columns += 2 * out;
  return n + o.embedding * columns + columns;
}

static int64_t standard_count(const NetworkOptions& o) {
  const int64_t d = o.embedding;
  int64_t n =
      9 * o.image_channels * o.channels + o.channels + 8 * d * d + 5 * d + (o.classes > 0 ? (o.classes + 1) * d : 0);
  int64_t width = o.channels;
  for (int64_t level = 0; level + 1 < o.levels(); ++level) {
    const int64_t own = o.width_of(level), below = o.width_of(level + 1);
    n += standard_block(o, width, own) + 9 * own * own + own + 9 * below * own + own + standard_block(o, 2 * own, own);
    width = own;
  }
  const int64_t bottom = o.width_of(o.levels() - 1), side = o.height >> (o.levels() - 1);
  n += standard_block(o, width, bottom);
  const int64_t outputs = o.frequency.mode == FrequencyMode::bands ? o.frequency.bands * bottom : bottom;
  if (o.frequency.mode == FrequencyMode::filter) n += bottom * side * (side / 2 + 1) * 2;
  if (o.frequency.mode == FrequencyMode::bands || o.frequency.mode == FrequencyMode::channel_gate) {
    n += (bottom + d) * bottom + bottom + bottom * outputs + outputs;
  }
  const int64_t top = o.width_of(0);
  return n + 2 * top + 9 * top * o.image_channels + o.image_channels;
}

static void test_standard_counts(void**) {
  for (const ExpertKind kind : {ExpertKind::conv, ExpertKind::token, ExpertKind::dense, ExpertKind::fusion}) {
    for (const bool separable : {true, false}) {
      NetworkOptions options = tiny(kind);
      options.separable = separable;
      CHECK(count(*make_network(options, 1)) == standard_count(options));
    }
  }
  NetworkOptions options = tiny();
  for (const FrequencyMode mode : {FrequencyMode::none, FrequencyMode::channel_gate, FrequencyMode::filter}) {
    options.frequency.mode = mode;
    CHECK(count(*make_network(options, 1)) == standard_count(options));
  }
  options.classes = 0;
  options.experts.shared_width = 0;
  options.experts.width = 0.5;
  CHECK(count(*make_network(options, 1)) == standard_count(options));
}

// --- Behaviour ---

static std::vector<NetworkOptions> every_kind() {
  std::vector<NetworkOptions> out;
  for (const ExpertKind kind : {ExpertKind::conv, ExpertKind::token, ExpertKind::dense, ExpertKind::fusion}) {
    out.push_back(tiny(kind));
  }
  NetworkOptions dense = tiny();
  dense.separable = false;
  out.push_back(dense);
  for (const Topology topology : {Topology::paper, Topology::paper_standard}) {
    out.push_back(tiny(ExpertKind::conv, topology));
    out.push_back(tiny(ExpertKind::fusion, topology));
  }
  out.back().frequency.mode = FrequencyMode::none;
  return out;
}

static void test_every_kind_runs(void**) {
  for (const NetworkOptions& options : every_kind()) {
    const auto network = make_network(options, 1);
    stir(*network);
    const int64_t known = options.topology == Topology::standard ? options.classes : options.classes - 1;
    const NetworkOutput out = network->forward(pictures(5, options), times(5), labels(5, known), std::nullopt);
    CHECK(out.prediction.sizes() == pictures(5, options).sizes());
    CHECK(out.prediction.isfinite().all().item<bool>());
    CHECK(out.routings.size() == network->mixture_layers().size());
    out.prediction.square().mean().backward();
    // As published, a network without experts is deaf to the class, and without the channel gate to time as well.
    const bool deaf = options.topology != Topology::standard && options.experts.kind == ExpertKind::fusion;
    for (const auto& item : network->named_parameters()) {
      const bool heard = item.value().grad().defined() || (deaf && item.key().starts_with("embedding."));
      if (!heard) std::fprintf(stderr, "no gradient: %s\n", item.key().c_str());
      CHECK(heard);
    }
  }
}

// The published blocks hear of time and class only through the router; ours through the features.
static void test_conditions_reach_the_output(void**) {
  for (const ExpertKind kind : {ExpertKind::conv, ExpertKind::token, ExpertKind::dense, ExpertKind::fusion}) {
    const NetworkOptions options = tiny(kind);
    const auto network = make_network(options, 1);
    stir(*network);
    const at::Tensor x = pictures(1, options).repeat({3, 1, 1, 1});
    const at::Tensor time = at::tensor({20.0, 400.0, 20.0}, at::kDouble), label = at::tensor({0, 0, 1}, at::kLong);
    const at::Tensor y = network->forward(x, time, label, std::nullopt).prediction;
    CHECK((y[0] - y[1]).abs().max().item<double>() > 1e-3);
    CHECK((y[0] - y[2]).abs().max().item<double>() > 1e-3);
  }
}

static void test_first_loss_is_one(void**) {
  Options options;
  options.network = tiny();
  options.objective.prediction = Prediction::eps;
  const auto network = make_network(options.network, 1);
  const Objective objective(options.objective);
  const at::Tensor x0 = pictures(32, options.network).clamp(-1, 1);
  const TrainingDraw draw = draw_training(objective, x0, labels(32, 2), 3, 0.1, Rng(1, "draw"));
  ForwardContext context;
  context.window_samples = 32;
  const LossResult result = losses(options, *network, objective, x0, draw, context);
  CHECK(result.terms.size() == 1);
  CHECK_NEAR(result.terms[0].value.item<double>(), 1, 0.02);
}

static TrainingDraw rows(const TrainingDraw& all, int64_t begin, int64_t end) {
  return {{all.levels.begin() + begin, all.levels.begin() + end},
          all.noise.slice(0, begin, end),
          all.labels.slice(0, begin, end)};
}

// Values and gradients of three uneven micro-batches with the window's totals, in double, against one large batch.
static void check_accumulation(const NetworkOptions& network_options, const RouterLossWeights& weights) {
  Options options;
  options.network = network_options;
  options.router_loss = weights;
  const Objective objective(options.objective);
  const at::Tensor x0 = pictures(7, options.network).clamp(-1, 1).to(at::kDouble);
  const double hidden = options.network.topology == Topology::standard ? 0.3 : 0;  // the published one has no such row
  const TrainingDraw draw = draw_training(objective, x0, labels(7, 2), 3, hidden, Rng(1, "draw"));
  ForwardContext context;
  context.window_samples = 7;
  std::map<std::string, double> values[2];
  std::vector<at::Tensor> gradients[2];
  for (const bool split : {false, true}) {
    const auto network = make_network(options.network, 1);
    stir(*network);
    network->to(at::kDouble);
    using Cuts = std::vector<std::pair<int64_t, int64_t>>;
    const Cuts cuts = split ? Cuts{{0, 1}, {1, 5}, {5, 7}} : Cuts{{0, 7}};
    context.routing.clear();
    if (split && options.router_loss.over_window) {
      const at::NoGradGuard no_grad;
      context.routing.resize(network->mixture_layers().size());
      for (const auto& [a, b] : cuts) {
        const auto own = totals(options, *network, objective, x0.slice(0, a, b), rows(draw, a, b), context);
        for (size_t i = 0; i < own.size(); ++i) context.routing[i] += own[i];
      }
    }
    for (const auto& [a, b] : cuts) {
      at::Tensor total = at::zeros({}, at::kDouble);
      for (const LossTerm& term :
           losses(options, *network, objective, x0.slice(0, a, b), rows(draw, a, b), context).terms) {
        values[split][term.name] += term.value.item<double>();
        total = total + term.value;
      }
      total.backward();
    }
    for (const at::Tensor& p : network->parameters()) {
      if (p.grad().defined()) gradients[split].push_back(p.grad().flatten());
    }
  }
  for (const auto& [name, value] : values[0]) CHECK_NEAR(values[1].at(name), value, 1e-9);
  const at::Tensor one = at::cat(gradients[0]), many = at::cat(gradients[1]);
  CHECK((one - many).norm().item<double>() < 1e-8 * one.norm().item<double>());
}

static void test_accumulation_is_exact(void**) {
  RouterLossWeights all, sums;
  all.balance = all.gshard = all.importance = all.router_z = all.token_entropy = all.marginal_entropy = 1;
  all.mutual_information = all.limoe = all.class_mutual_information = all.class_guided = 1;
  sums.router_z = sums.token_entropy = 1;
  sums.over_window = false;
  for (const NetworkOptions& options :
       {tiny(), tiny(ExpertKind::token), tiny(ExpertKind::conv, Topology::paper_standard)}) {
    if (options.topology == Topology::standard) check_accumulation(options, all);
    check_accumulation(options, sums);
  }
}

// Routers decide in fp32 under autocast: their logits have more digits than bfloat16 keeps.
static void test_router_logits_are_fp32(void**) {
  for (const NetworkOptions& options : every_kind()) {
    const auto network = make_network(options, 1);
    stir(*network);
    const AutocastScope autocast(at::kBFloat16);
    const int64_t known = options.topology == Topology::standard ? options.classes : options.classes - 1;
    const NetworkOutput out = network->forward(pictures(5, options), times(5), labels(5, known), std::nullopt);
    for (const Routing& routing : out.routings) {
      const at::Tensor rounded = routing.logits.to(at::kBFloat16).to(at::kFloat);
      CHECK((rounded != routing.logits).to(at::kFloat).mean().item<double>() > 0.5);
    }
  }
}

static bool is_router_of(const std::string& parameter, const std::string& block) {
  return parameter.starts_with(block + ".") && parameter.find("router") != std::string::npos;
}

// A router whose logits are not finite is named as mixture_layers() names its layer.
static void test_broken_routers_are_named(void**) {
  for (const NetworkOptions& options : every_kind()) {
    for (const MixtureLayer& layer : make_network(options, 1)->mixture_layers()) {
      const auto network = make_network(options, 1);
      const std::string block = layer.name.substr(0, layer.name.find('.'));
      {
        const at::NoGradGuard no_grad;
        for (const auto& item : network->named_parameters()) {
          if (is_router_of(item.key(), block)) item.value().fill_(std::nan(""));
        }
      }
      CHECK_ERROR(MOE_ERR_NUMERIC, "router of " + layer.name + ": expected finite logits",
                  network->forward(pictures(2, options), times(2), labels(2, 2), std::nullopt));
    }
  }
}

// A sample's result does not depend on its batch mates or their order, in any kind.
static void test_samples_are_independent(void**) {
  for (const NetworkOptions& options : every_kind()) {
    const auto network = make_network(options, 1);
    stir(*network);
    const int64_t known = options.topology == Topology::standard ? options.classes : options.classes - 1;
    const at::Tensor x = pictures(6, options), t = times(6), y = labels(6, known);
    const at::Tensor all = network->forward(x, t, y, std::nullopt).prediction;
    const at::Tensor order = at::tensor({4, 0, 5}, at::kLong);
    const at::Tensor some =
        network->forward(x.index_select(0, order), t.index_select(0, order), y.index_select(0, order), std::nullopt)
            .prediction;
    CHECK(at::allclose(some, all.index_select(0, order), 1e-4, 1e-5));
  }
}

static std::vector<at::Tensor> gradients(NetworkOptions options, bool checkpoint) {
  options.checkpoint = checkpoint;
  const auto network = make_network(options, 1);
  stir(*network);
  network->train();
  const Rng noise(3, "noise");
  const NetworkOutput out = network->forward(pictures(4, options), times(4), labels(4, 3), noise);
  out.prediction.square().sum().backward();
  std::vector<at::Tensor> grads = {out.prediction.detach()};
  for (const at::Tensor& p : network->parameters()) grads.push_back(p.grad());
  return grads;
}

static void test_checkpointing_gives_the_same_bits(void**) {
  for (const ExpertKind kind : {ExpertKind::conv, ExpertKind::token, ExpertKind::fusion}) {
    NetworkOptions options = tiny(kind);
    options.experts.router.logit_noise = 0.3;
    const std::vector<at::Tensor> plain = gradients(options, false), again = gradients(options, true);
    for (size_t i = 0; i < plain.size(); ++i) CHECK(at::equal(plain[i], again[i]));
  }
}

// Every chosen expert alone, one picture at a time.
static void test_block_is_its_formula(void**) {
  NetworkOptions options = tiny();
  const int64_t channels = 8;
  UnetBlock block(options, channels, channels, 16);
  nn::init_parameters(block, 2, "block");
  {
    const at::NoGradGuard no_grad;
    for (const auto& item : block.named_parameters())
      item.value().add_(0.2 * normal_tensor(Rng(9, item.key()), item.value().sizes()));
  }
  const at::Tensor x = normal_tensor(Rng(1, "x"), {3, channels, 16, 16});
  Condition c{normal_tensor(Rng(1, "t"), {3, 12}), normal_tensor(Rng(1, "y"), {3, 12}), {}};
  c.mixed = at::silu(c.time + c.label);
  const BlockOutput out = block.forward(x, c, std::nullopt);

  const auto p = block.named_parameters();
  const auto norm = [](const at::Tensor& v, const at::Tensor& w, const at::Tensor& b) {
    return at::group_norm(v, 2, w, b);
  };
  const auto conv = [&](const at::Tensor& v, const at::Tensor& dw, const at::Tensor& pw, int64_t d) {
    return at::conv2d(at::conv2d(v, dw, {}, 1, d, d, v.size(1)), pw);
  };
  const at::Tensor h =
      conv(at::gelu(norm(x, p["norm.weight"], p["norm.bias"])), p["conv.depthwise"], p["conv.weight"], 1);
  const auto columns = at::linear(c.mixed, p["modulation.weight"], p["modulation.bias"]).split(channels, 1);
  const auto expert = [&](const std::string& name, int64_t e, int64_t b, int64_t part, int64_t d) {
    const auto of = [&](const char* parameter) { return p[name + "." + parameter][e]; };
    const at::Tensor own = h.narrow(0, b, 1);
    at::Tensor v = conv(at::gelu(norm(own, of("norm1"), of("bias_norm1"))), of("depthwise1"), of("weight1"), d);
    v = norm(v, of("norm2"), of("bias_norm2")) * (1 + columns[part][b].view({1, -1, 1, 1})) +
        columns[part + 1][b].view({1, -1, 1, 1});
    return conv(at::gelu(v), of("depthwise2"), of("weight2"), d);
  };
  const at::Tensor logits = at::linear(at::cat({h.mean({2, 3}), c.time, c.label}, 1), p["router"]);
  const std::vector<int64_t> dilation = {1, 2, 4, 1};
  for (int64_t b = 0; b < 3; ++b) {
    const auto [value, index] = logits[b].softmax(0).topk(2);
    at::Tensor sum = expert("shared", 0, b, 1, 1);
    for (int64_t j = 0; j < 2; ++j) {
      const int64_t e = index[j].item<int64_t>();
      sum = sum + expert("experts", e, b, 3, dilation[static_cast<size_t>(e)]) * (value[j] / value.sum());
    }
    const at::Tensor want = x.narrow(0, b, 1) + columns[0][b].view({1, -1, 1, 1}) * sum;
    CHECK(at::allclose(out.y.narrow(0, b, 1), want, 1e-4, 1e-5));
  }
}

static void test_gradients_in_double(void**) {
  NetworkOptions options = tiny();
  options.height = options.width = 4;
  options.channels = 4;
  options.multipliers = {1, 2};
  options.embedding = 4;
  options.image_channels = 1;
  options.experts.count = 3;
  const auto network = make_network(options, 1);
  stir(*network);
  network->to(at::kDouble);
  std::vector<at::Tensor> inputs = {pictures(2, options).to(at::kDouble).clone().requires_grad_()};
  const auto parameters = network->named_parameters();
  for (const char* name : {"middle.router", "down0.experts.bias_norm1", "up0.experts.bias_norm2", "up0.shared.weight2",
                           "middle.modulation.bias", "embedding.label.weight", "double0.bias"}) {
    inputs.push_back(parameters[name]);
  }
  const at::Tensor weight = normal_tensor(Rng(8, "w"), pictures(2, options).sizes()).to(at::kDouble);
  const auto scalar = [&] {
    return (network->forward(inputs[0], times(2), labels(2, 3), std::nullopt).prediction * weight).sum();
  };
  CHECK(gradient_error(scalar, inputs) < 1e-6);
}

static void test_errors(void**) {
  NetworkOptions options = tiny();
  options.height = 18;
  CHECK_ERROR(MOE_ERR_CONFIG, "data.size: expected multiples of 4 for the 3 levels of model.unet, got 18 x 16",
              make_network(options, 1));
  options = tiny(ExpertKind::conv, Topology::paper);
  options.height = 12;
  CHECK_ERROR(MOE_ERR_CONFIG, "expected multiples of 8", make_network(options, 1));
  options = tiny(ExpertKind::token, Topology::paper);
  CHECK_ERROR(MOE_ERR_CONFIG, "expected conv or fusion with model.unet.topology: paper", make_network(options, 1));
}

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(test_published_counts),
                              cmocka_unit_test(test_published_ablations),
                              cmocka_unit_test(test_standard_counts),
                              cmocka_unit_test(test_every_kind_runs),
                              cmocka_unit_test(test_conditions_reach_the_output),
                              cmocka_unit_test(test_first_loss_is_one),
                              cmocka_unit_test(test_accumulation_is_exact),
                              cmocka_unit_test(test_router_logits_are_fp32),
                              cmocka_unit_test(test_broken_routers_are_named),
                              cmocka_unit_test(test_samples_are_independent),
                              cmocka_unit_test(test_checkpointing_gives_the_same_bits),
                              cmocka_unit_test(test_block_is_its_formula),
                              cmocka_unit_test(test_gradients_in_double),
                              cmocka_unit_test(test_errors)};
  return cmocka_run_group_tests_name("diffusion network", tests, nullptr, nullptr);
}
