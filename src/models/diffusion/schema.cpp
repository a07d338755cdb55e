// The settings of the task diffusion: the table of its keys, and the options read from a config. What a part checks
// itself when it is built is not checked here.
#include <algorithm>

#include "models/diffusion/options.h"
#include "models/diffusion/task.h"
#include "models/labelled_keys.h"

namespace moe::diffusion {

static Schema network_keys() {
  using enum KeyType;
  Schema keys = {
      {"model.unet.topology", text, "standard", "standard | paper | paper_standard",
       "standard: residual blocks with AdaGN; paper: the published blocks, skip connections after each halving; "
       "paper_standard: the published blocks in the standard order."},
      {"model.unet.channels", integer, "64", ">= 4, <= 4096", "Channels of the stem."},
      {"model.unet.multipliers", integers, "[1, 2, 4]", ">= 1, <= 64",
       "Channels of each level over those of the stem; the last one is the bottom."},
      {"model.unet.embedding", integer, "256", ">= 2, <= 8192", "Width of the embeddings of time and class."},
      {"model.unet.separable", boolean, "true", "", "Depthwise-separable convolutions instead of dense ones."},
      {"model.experts.kind", text, "conv", "conv | token | dense | fusion",
       "conv: convolution experts, chosen for a whole picture; token: 1 x 1 experts, chosen for every pixel; dense: "
       "one "
       "expert as wide as the shared and the chosen ones together, the multiply-adds of conv; fusion: parallel dilated "
       "convolutions."},
      {"model.experts.count", integer, "8", ">= 1, <= 1024", "Experts of a block."},
      {"model.experts.width", number, "1", "> 0, <= 16", "Hidden channels of an expert over those of its block."},
      {"model.experts.shared_width", number, "1", ">= 0, <= 16",
       "The same of the expert that every picture takes; 0: none."},
      {"model.experts.dilation", integers, "[1, 2, 4]", ">= 1, <= 64",
       "Dilations of the experts in turn, at most a quarter of the map's side; [1]: no dilation."},
      {"model.frequency.mode", text, "bands", "none | channel_gate | bands | filter",
       "Frequency module at the bottom: gains of frequency bands by picture and time; one gain a channel (as "
       "published); "
       "a learned complex filter."},
      {"model.frequency.bands", integer, "2", ">= 1, <= 4",
       "Bands, with edges at the last of 1/16, 1/8, 1/4 cycles a pixel."},
  };
  for (const Schema& part : {router_keys("Experts of a picture (conv) or pixel (token).", ""), class_prior_keys("")}) {
    keys.insert(keys.end(), part.begin(), part.end());
  }
  return keys;
}

static Schema objective_keys() {
  using enum KeyType;
  Schema keys = {
      {"diffusion.prediction", text, "v", "eps | v | x0 | edm | flow",
       "What the network predicts, and the process it belongs to: noise, velocity or picture of a discrete "
       "variance-preserving process; EDM's preconditioned picture; the velocity of a rectified flow."},
      {"diffusion.schedule", text, "linear", "linear | cosine", "Noise schedule of eps, v and x0."},
      {"diffusion.steps", integer, "1000", ">= 2, <= 100000", "Steps of that schedule."},
      {"diffusion.beta_start", number, "1e-4", "> 0, < 1", "First beta of the linear schedule."},
      {"diffusion.beta_end", number, "0.02", "> 0, < 1", "Last beta of the linear schedule."},
      {"diffusion.zero_terminal_snr", boolean, "false", "",
       "Rescale the schedule so that its last step is noise alone."},
      {"diffusion.min_snr", number, "0", ">= 0", "Gamma of min-SNR loss weights, 5 in the paper; 0: off."},
      {"diffusion.data_deviation", number, "0.5", "> 0", "edm: standard deviation of the pixels in -1..1."},
      {"diffusion.sigma_mean", number, "-1.2", "", "edm: mean of ln sigma in training."},
      {"diffusion.sigma_std", number, "1.2", ">= 0", "edm: standard deviation of ln sigma in training."},
      {"diffusion.flow_time", text, "uniform", "uniform | logit_normal",
       "flow: distribution of the noise share in training."},
      {"diffusion.label_dropout", number, "0.1", ">= 0, <= 1",
       "Share of training samples whose class is hidden, for guidance."},
  };
  const Schema losses = router_loss_keys("mean over the routers", "0.01");
  keys.insert(keys.end(), losses.begin(), losses.end());
  return keys;
}

static Schema sampler_keys() {
  using enum KeyType;
  return {
      {"sample.sampler", text, "auto", "auto | ddpm | ddim | dpmpp_2m | heun | euler",
       "auto: ddim; heun with prediction edm, euler with flow."},
      {"sample.steps", integer, "50", "", "Steps of the sampler."},
      {"sample.spacing", text, "trailing", "leading | trailing | linspace | linspace_open",
       "Which steps of the schedule are visited; linspace_open: linspace without its end."},
      {"sample.karras", boolean, "false", "", "dpmpp_2m and heun: noise levels of Karras et al. instead of spacing."},
      {"sample.sigma_min", number, "0.002", "> 0", "edm: lowest noise level."},
      {"sample.sigma_max", number, "80", "> 0", "edm: highest noise level."},
      {"sample.rho", number, "7", "> 0", "Exponent of Karras levels."},
      {"sample.eta", number, "0", ">= 0, <= 1", "ddim: share of ddpm's noise that is drawn anew."},
      {"sample.variance", text, "small", "small | large", "ddpm: the posterior's variance or beta."},
      {"sample.threshold", text, "clip", "none | clip | dynamic", "What is done to predicted pictures outside -1..1."},
      {"sample.quantile", number, "0.995", "> 0, <= 1", "dynamic: quantile of absolute pixel values that becomes 1."},
      {"sample.largest", number, "1", ">= 1", "dynamic: largest value that becomes 1."},
      {"sample.keep_noise", boolean, "false", "",
       "ddim: keep the predicted noise where a threshold changed the picture."},
      {"sample.churn", number, "0", ">= 0", "heun: S_churn of EDM."},
      {"sample.shift", number, "1", "> 0", "euler: shift of the noise shares."},
      {"sample.guidance", number, "1", "", "Classifier-free guidance scale; 1: none, 0: unconditional."},
      {"sample.guidance_from", number, "0", ">= 0, <= 1", "Where guidance begins, as a share of the steps."},
      {"sample.guidance_to", number, "1", ">= 0, <= 1", "Where guidance ends."},
  };
}

static Schema evaluation_keys() {
  using enum KeyType;
  return {
      {"evaluate.samples", integer, "0", ">= 0, <= 1000000",
       "Samples of an evaluation, classes in turn, that are compared with training pictures; 0: none. As many "
       "validation pictures stand beside them."},
      {"evaluate.extractor", text, "", "",
       "What gives the features: a run folder or checkpoint of task classifier, or a TorchScript file from [B, 3, H, "
       "W] "
       "to [B, D] or (features, logits); empty: means of 8 x 8 cells. The name is part of every metric's."},
      {"evaluate.input", text, "bytes", "bytes | unit | symmetric",
       "What a TorchScript file takes: uint8 in 0..255, float32 in 0..1 or in -1..1."},
      {"evaluate.input_size", integers, "[]", ">= 1, <= 4096",
       "Height and width that a TorchScript file takes, [299, 299] for Inception; []: data.size."},
      {"evaluate.reference", text, "", "",
       "File .npz with mu and sigma that FID compares with; one that does not exist is written from the training "
       "pictures. Empty: none."},
      {"evaluate.pictures", integer, "10000", ">= 2", "Training pictures compared with, at most, drawn by seed."},
      {"evaluate.neighbours", integer, "5", ">= 1, <= 1000", "Neighbours of precision, recall, density and coverage."},
      {"sample.grid", integer, "0", ">= 0, <= 100",
       "Columns of a grid of samples, a row a class, that a run keeps of each evaluation in pictures/; 0: none."},
  };
}

Schema schema() {
  Schema all = labelled_keys();
  for (const Schema& part : {network_keys(), objective_keys(), sampler_keys(), evaluation_keys()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

// --- Options ---

// The place of a value among the choices of its key, which stand in the order of the enumeration.
template <typename Value>
static Value choice(const Config& config, const std::string& key, const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), config.text(key));
  check(found != names.end(), MOE_ERR_INTERNAL, key, ": expected one of ", join(names, ", "));
  return static_cast<Value>(found - names.begin());
}

static void read_unet(const Config& config, Options& out) {
  NetworkOptions& n = out.network;
  n.topology = choice<Topology>(config, "model.unet.topology", {"standard", "paper", "paper_standard"});
  n.image_channels = config.integer("data.channels");
  const std::vector<int64_t> size = picture_size(config);
  n.height = size[0];
  n.width = size[1];
  n.channels = config.integer("model.unet.channels");
  n.multipliers = config.integers("model.unet.multipliers");
  n.embedding = config.integer("model.unet.embedding");
  if (n.embedding % 2 != 0) config.fail_at("model.unet.embedding", text("expected an even number, got ", n.embedding));
  n.separable = config.boolean("model.unet.separable");
  n.classes = static_cast<int64_t>(out.classes.size());
  n.checkpoint = config.boolean("train.checkpoint_activations");
  n.frequency.mode = choice<FrequencyMode>(config, "model.frequency.mode", {"none", "channel_gate", "bands", "filter"});
  n.frequency.bands = config.integer("model.frequency.bands");
}

static void read_experts(const Config& config, Options& out) {
  ExpertOptions& e = out.network.experts;
  e.kind = choice<ExpertKind>(config, "model.experts.kind", {"conv", "token", "dense", "fusion"});
  e.count = config.integer("model.experts.count");
  e.width = config.number("model.experts.width");
  e.shared_width = config.number("model.experts.shared_width");
  e.dilation = config.integers("model.experts.dilation");
  e.router.top_k = config.integer("model.experts.top_k");  // dense: what it stands for
  if (e.kind != ExpertKind::conv && e.kind != ExpertKind::token) return;
  e.router = read_router(config, e.count);
  out.router_loss = read_router_losses(config, e.router);
  if (out.router_loss.by_class() && out.classes.empty()) {
    const bool guided = out.router_loss.class_guided > 0;
    config.fail_at(guided ? "loss.class_guided" : "loss.class_mutual_information",
                   "expected 0 without data.classes, got more");
  }
  e.router.log_prior = read_class_prior(config, out.classes, e.count);
  e.router.prior_weight = config.number("model.experts.prior_weight");
  if (out.network.topology != Topology::standard && e.router.logits != RouterLogits::linear) {
    config.fail_at("model.experts.logits",
                   text("expected linear with model.unet.topology = ", config.text("model.unet.topology"),
                        ", whose routers are small networks, got ", config.text("model.experts.logits")));
  }
}

static void read_objective(const Config& config, Options& out) {
  ObjectiveOptions& o = out.objective;
  o.prediction = parse_prediction(config.text("diffusion.prediction"));
  o.schedule.kind = parse_schedule(config.text("diffusion.schedule"));
  o.schedule.steps = config.integer("diffusion.steps");
  o.schedule.beta_start = config.number("diffusion.beta_start");
  o.schedule.beta_end = config.number("diffusion.beta_end");
  o.schedule.zero_terminal_snr = config.boolean("diffusion.zero_terminal_snr");
  o.min_snr = config.number("diffusion.min_snr");
  o.data_deviation = config.number("diffusion.data_deviation");
  o.sigma_mean = config.number("diffusion.sigma_mean");
  o.sigma_std = config.number("diffusion.sigma_std");
  o.logit_normal = config.text("diffusion.flow_time") == "logit_normal";
  out.label_dropout = out.network.classes > 0 ? config.number("diffusion.label_dropout") : 0;
}

static void read_evaluation(const Config& config, Options& out) {
  GenerationOptions& e = out.evaluation;
  e.samples = config.integer("evaluate.samples");
  e.classes = out.network.classes;
  e.extractor = config.text("evaluate.extractor");
  e.input.range = choice<ExtractorInput::Range>(config, "evaluate.input", {"unit", "symmetric", "bytes"});
  const std::vector<int64_t> size = config.integers("evaluate.input_size");
  if (!size.empty() && size.size() != 2) {
    config.fail_at("evaluate.input_size", text("expected [height, width] or [], got ", size.size(), " numbers"));
  }
  if (!size.empty()) e.input.height = size[0], e.input.width = size[1];
  e.reference = config.text("evaluate.reference");
  e.most_pictures = config.integer("evaluate.pictures");
  e.neighbours = config.integer("evaluate.neighbours");
  out.grid_columns = config.integer("sample.grid");
}

static SamplerKind sampler_of(const Config& config, Prediction prediction) {
  const std::string name = config.text("sample.sampler");
  if (name != "auto") return parse_sampler(name);
  if (prediction == Prediction::edm) return SamplerKind::heun;
  return prediction == Prediction::flow ? SamplerKind::euler : SamplerKind::ddim;
}

static void read_sampler(const Config& config, Options& out) {
  SamplerOptions& s = out.sampler;
  s.kind = sampler_of(config, out.objective.prediction);
  s.steps = config.integer("sample.steps");
  s.spacing = parse_spacing(config.text("sample.spacing"));
  s.karras = config.boolean("sample.karras");
  s.sigma_min = config.number("sample.sigma_min");
  s.sigma_max = config.number("sample.sigma_max");
  s.rho = config.number("sample.rho");
  s.eta = config.number("sample.eta");
  s.large_variance = config.text("sample.variance") == "large";
  s.threshold = parse_threshold(config.text("sample.threshold"));
  s.quantile = config.number("sample.quantile");
  s.largest = config.number("sample.largest");
  s.keep_noise = config.boolean("sample.keep_noise");
  s.churn = config.number("sample.churn");
  s.shift = config.number("sample.shift");
  out.guidance = {config.number("sample.guidance"), config.number("sample.guidance_from"),
                  config.number("sample.guidance_to")};
}

// The published network has no row for a hidden class.
static void check_null_class(const Config& config, const Options& options) {
  if (options.network.topology == Topology::standard) return;
  if (options.label_dropout > 0) {
    config.fail_at("diffusion.label_dropout",
                   text("expected 0 with model.unet.topology = ", config.text("model.unet.topology"), ", got ",
                        options.label_dropout));
  }
  if (options.guidance.scale != 1) {
    config.fail_at("sample.guidance", text("expected 1 with model.unet.topology = ", config.text("model.unet.topology"),
                                           ", got ", options.guidance.scale));
  }
}

// A wrong sampler is found when the model is made, not after its training.
static void check_sampler(const Config& config, const Options& options) {
  try {
    sampler_levels(options.sampler, Objective(options.objective));
  } catch (const Error& error) {
    const bool steps = std::string(error.what()).find("step") != std::string::npos;
    config.fail_at(steps ? "sample.steps" : "sample.sampler", error.what());
  }
}

Options read_options(const Config& config) {
  Options out;
  out.classes = config.texts("data.classes");
  read_unet(config, out);
  read_experts(config, out);
  read_objective(config, out);
  read_sampler(config, out);
  read_evaluation(config, out);
  check_null_class(config, out);
  check_sampler(config, out);
  out.seed = static_cast<uint64_t>(config.integer("seed"));
  return out;
}

}  // namespace moe::diffusion
