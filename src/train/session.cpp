#include "train/session.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/clock.h"
#include "cuda/library.h"
#include "nn/layers.h"
#include "tensor/scope.h"
#include "train/patterns.h"
#include "train/predict_slices.h"

namespace moe {

std::optional<at::ScalarType> amp_type(const Config& config) {
  const std::string amp = config.text("train.amp");
  if (amp == "bf16") return at::kBFloat16;
  if (amp == "fp16") return at::kHalf;
  if (amp == "auto" && __builtin_cpu_supports("avx512bf16")) return at::kBFloat16;
  return std::nullopt;
}

static const TaskEntry& task_entry(const std::string& name) {
  for (const TaskEntry& entry : task_registry()) {
    if (entry.name == name) return entry;
  }
  fail(MOE_ERR_INTERNAL, "task: ", quote(name), " has a schema but no factory");
}

// The models call the CPU's functions: a GPU that could be used does not change that.
static void require_cpu(const Config& config) {
  if (config.text("device") == "cpu") return;
  const std::string problem = cuda::device_problem();
  config.fail_at("device",
                 "expected cpu, got cuda: " +
                     (problem.empty() ? "the GPU is usable, but this version trains on the CPU only" : problem));
}

Session::Session(Config config, Log log) : Session(std::move(config), std::move(log), nullptr) {}

Session::Session(Config config, Log log, const std::vector<std::string>* pretrained)
    : config_(std::move(config)), log_(std::move(log)), seed_(static_cast<uint64_t>(config_.integer("seed"))) {
  require_cpu(config_);
  fill_classes(config_);
  task_ = task_entry(config_.task()).create(config_);
  routing_ = task_->routing();
  amp_ = amp_type(config_);
  for (const auto& item : task_->network().named_parameters(true)) weights_.emplace_back(item.key(), item.value());
  for (const auto& item : task_->network().named_buffers(true)) buffers_.emplace_back(item.key(), item.value());
  for (const auto& buffer : buffers_) buffer_copies_.push_back(at::empty_like(buffer.second));
  if (pretrained) {
    pretrained_.loaded = *pretrained;
  } else if (!config_.text("model.pretrained").empty()) {
    pretrained_ = load_pretrained(config_, *task_, model_tensors(), log_);
  }

  std::vector<NamedParameter> trained;
  freeze(trained);
  std::vector<ParameterGroup> groups = make_groups(config_, trained);
  optimizer_ = std::make_unique<Optimizer>(config_, std::move(trained), std::move(groups));
  scaler_ = std::make_unique<LossScaler>(amp_ == at::kHalf, config_.number("scaler.initial"),
                                         config_.integer("scaler.growth_interval"));
  const EmaOptions ema{config_.number("ema.decay"), config_.number("ema.warmup"), config_.number("ema.half_life")};
  if (ema.decay > 0 && ema.half_life > 0) config_.fail_at("ema.half_life", "expected 0 with ema.decay, got both");
  if (ema.decay > 0 || ema.half_life > 0) ema_ = std::make_unique<Ema>(ema, model_tensors());
}

NamedTensors Session::model_tensors() const {
  NamedTensors all = weights_;
  all.insert(all.end(), buffers_.begin(), buffers_.end());
  return all;
}

// Biases of stacked experts have a row an expert, so the rank alone does not tell them.
static bool is_norm_or_bias(const std::string& name, const at::Tensor& tensor) {
  return tensor.dim() <= 1 || name.substr(name.rfind('.') + 1).starts_with("bias");
}

void Session::freeze(std::vector<NamedParameter>& trained) const {
  const Patterns frozen(config_, "train.freeze");
  std::vector<std::string> names;
  for (const auto& [name, tensor] : weights_) {
    names.push_back(name);
    const bool is_frozen = frozen.match(name) || !tensor.requires_grad();
    at::Tensor(tensor).requires_grad_(!is_frozen);
    const bool loaded = std::ranges::find(pretrained_.loaded, name) != pretrained_.loaded.end();
    if (!is_frozen) trained.push_back({name, tensor, is_norm_or_bias(name, tensor), loaded});
  }
  frozen.check_used(config_, names);
  if (trained.empty()) config_.fail_at("train.freeze", "expected at least one parameter to train, all are frozen");
}

void Session::feed(const Batch& batch) {
  check_batch(task_->batch_spec(), batch, true);
  task_->check(batch);
  window_.push_back(batch);
}

void Session::discard() noexcept {
  window_.clear();
}

void Session::set_length(int64_t steps_per_epoch, int64_t total_steps) {
  steps_per_epoch_ = steps_per_epoch;
  total_steps_ = total_steps;
  build_schedule();
}

void Session::build_schedule() {
  const std::string kind = config_.text("schedule.kind");
  if (total_steps_ == 0) total_steps_ = config_.integer("train.max_steps");
  const bool needs_total = kind == "cosine" || kind == "one_cycle";
  const bool needs_epoch = kind == "step" || kind == "multi_step";
  if (needs_total && total_steps_ == 0) {
    config_.fail_at("schedule.kind",
                    kind + " needs the length of the training: set train.max_steps, or train through a run");
  }
  if (needs_epoch && steps_per_epoch_ == 0) {
    config_.fail_at("schedule.kind",
                    kind + " counts epochs, which a session without a run does not know: use constant or cosine");
  }
  schedule_.emplace(config_, std::max<int64_t>(1, steps_per_epoch_), std::max<int64_t>(1, total_steps_));
}

// Keeps BatchNorm buffers while a step is computed. Unless commit() was reached, the end of the scope puts back every
// byte: buffers from the copies, no gradients, no pending statistics. Weights and optimizer change only in commit().
class Session::Transaction {
 public:
  explicit Transaction(Session& session) : session_(session) {
    for (size_t i = 0; i < session_.buffers_.size(); ++i) copy(session_.buffer_copies_[i], session_.buffers_[i].second);
  }

  ~Transaction() {
    if (!kept_) restore();
    session_.optimizer_->zero_grad();
    session_.window_.clear();
  }

  void restore_buffers() noexcept {
    for (size_t i = 0; i < session_.buffers_.size(); ++i) copy(session_.buffers_[i].second, session_.buffer_copies_[i]);
  }

  void restore() noexcept {
    restore_buffers();
    for (RoutingStats* stats : session_.routing_) stats->rollback();
  }

  void keep() noexcept { kept_ = true; }

 private:
  static void copy(const at::Tensor& to, const at::Tensor& from) noexcept {
    std::memcpy(to.data_ptr(), from.data_ptr(), from.nbytes());
  }

  Session& session_;
  bool kept_ = false;
};

static void check_terms(const std::vector<LossTerm>& terms, int64_t micro_batch) {
  for (const LossTerm& term : terms) {
    const double value = term.value.item<double>();
    check(std::isfinite(value), MOE_ERR_NUMERIC, "loss term ", term.name, ": expected a finite value, got ", value,
          " in micro-batch ", micro_batch + 1);
  }
}

std::vector<LossTerm> Session::forward_backward(const Batch& batch, const ForwardContext& context) {
  std::vector<LossTerm> terms;
  {
    AutocastScope autocast(amp_);
    terms = task_->forward(batch, context);
  }
  at::Tensor total;
  for (const LossTerm& term : terms) total = total.defined() ? total + term.value : term.value;
  if (total.defined() && total.requires_grad()) (total * scaler_->scale()).backward();
  for (LossTerm& term : terms) term.value = term.value.detach();
  return terms;
}

static ForwardContext window_context(const Task& task, const std::vector<Batch>& window, int64_t step) {
  ForwardContext context;
  context.window_samples = 0;
  context.step = step;
  for (const Batch& batch : window) {
    for (const auto& [name, value] : task.normalizers(batch)) context.normalizers[name] += value;
    context.window_samples += static_cast<double>(batch_size(task.batch_spec(), batch));
  }
  return context;
}

static void add_terms(std::vector<std::pair<std::string, double>>& sums, const std::vector<LossTerm>& terms) {
  for (const LossTerm& term : terms) {
    auto it = std::find_if(sums.begin(), sums.end(), [&](const auto& sum) { return sum.first == term.name; });
    if (it == sums.end()) it = sums.emplace(sums.end(), term.name, 0.0);
    it->second += term.value.item<double>();
  }
}

void Session::train_mode() {
  task_->network().train();
  if (!config_.boolean("train.freeze_norm")) return;
  for (const auto& module : task_->network().modules(false)) {
    if (dynamic_cast<nn::BatchNorm2d*>(module.get())) module->eval();
  }
}

// Every pass over a micro-batch draws the same numbers.
void Session::enter_micro_batch(size_t i, ForwardContext& context) {
  check(!take_stop(), MOE_ERR_CANCELLED, "step: stopped before micro-batch ", i + 1, " of ", window_.size(),
        "; nothing was changed");
  context.rng = Rng(seed_, "forward", static_cast<uint64_t>(steps_), i);
}

// What every mixture layer will route in the window.
std::vector<RoutingTotals> Session::window_totals(ForwardContext context) {
  const at::NoGradGuard no_grad;
  std::vector<RoutingTotals> sums(routing_.size());
  for (size_t i = 0; i < window_.size(); ++i) {
    enter_micro_batch(i, context);
    const AutocastScope autocast(amp_);
    const std::vector<RoutingTotals> own = task_->totals(window_[i], context);
    for (size_t layer = 0; layer < own.size(); ++layer) sums[layer] += own[layer];
  }
  return sums;
}

StepInfo Session::step() {
  check(!window_.empty(), MOE_ERR_STATE, "step: expected at least one batch fed since the last step, got none");
  const Stopwatch watch;
  Transaction transaction(*this);
  if (!schedule_) build_schedule();
  train_mode();
  at::AutoGradMode with_grad(true);

  StepInfo info;
  ForwardContext context = window_context(*task_, window_, steps_);
  if (window_.size() > 1 && task_->wants_totals()) {
    context.routing = window_totals(context);
    transaction.restore_buffers();
  }
  for (size_t i = 0; i < window_.size(); ++i) {
    enter_micro_batch(i, context);
    const std::vector<LossTerm> terms = forward_backward(window_[i], context);
    check_terms(terms, static_cast<int64_t>(i));
    add_terms(info.terms, terms);
  }

  const double unscale = 1.0 / scaler_->scale();
  info.grad_norm = optimizer_->plan(unscale, scaler_->enabled() ? &info.skipped : nullptr);
  const double clip = config_.number("train.clip_norm");
  const double clip_factor = clip > 0 ? std::min(1.0, clip / (info.grad_norm + 1e-6)) : 1.0;
  const double rate = schedule_->factor(steps_);
  for (const auto& term : info.terms) info.loss += term.second;
  for (const ParameterGroup& group : optimizer_->groups()) info.rates.emplace_back(group.name, group.lr * rate);
  info.micro_batches = static_cast<int64_t>(window_.size());
  info.samples = static_cast<int64_t>(context.window_samples);
  info.step = steps_ + 1;

  // From here on nothing can fail.
  if (info.skipped) {
    transaction.restore();
  } else {
    optimizer_->apply(rate, clip_factor);
    samples_ += info.samples;
    if (ema_) ema_->update(info.samples, samples_);
    for (RoutingStats* stats : routing_) stats->commit();
    task_->commit();
  }
  scaler_->update(info.skipped);
  steps_ = info.step;
  transaction.keep();
  info.seconds = watch.seconds();
  return info;
}

Batch Session::predict_one(const Batch& batch) {
  check_batch(task_->batch_spec(), batch, false);
  task_->check(batch);
  task_->network().eval();
  at::NoGradGuard no_grad;
  AutocastScope autocast(amp_);
  const bool sliced = batch.has("pictures") && batch.has("slices") && batch.get("slices").size(0) > 0;
  if (!sliced) return task_->predict(batch);
  const Fit fit = config_.text("data.resize") == "letterbox" ? Fit::letterbox : Fit::stretch;
  return predict_slices(*task_, batch, fit, config_.integer("train.batch_size"));
}

// Statistics of predictions outside an evaluation belong to no window.
namespace {
struct ForgetRouting {
  const std::vector<RoutingStats*>& routing;
  ~ForgetRouting() {
    for (RoutingStats* stats : routing) stats->rollback();
  }
};
}  // namespace

Batch Session::predict(const Batch& batch) {
  const ForgetRouting forget{routing_};
  const Ema::Swap averaged(ema_.get());
  return predict_one(batch);
}

// Outlives the evaluator's use of it; none where no metric looks with another model.
static std::unique_ptr<Session> lend_model(Evaluator& evaluator, const Log& log) {
  const std::string path = evaluator.other_model();
  if (path.empty()) return nullptr;
  std::unique_ptr<Session> model = Session::open(path, log);
  evaluator.use_model([session = model.get()](const Batch& batch) { return session->predict(batch); });
  return model;
}

// In an order drawn by seed: files of folders and lists often lie by class.
static void show_training_data(Evaluator& evaluator, const Config& config, const Log& log) {
  if (!evaluator.wants_training_data()) return;
  LoaderOptions options = loader_options(config, false);
  options.shuffle = true;
  Loader loader(open_source(config, "train"), options, log);
  while (evaluator.wants_training_data()) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) break;
    evaluator.add_training(*batch);
  }
}

at::Tensor Session::preview() {
  const ForgetRouting forget{routing_};
  const Ema::Swap averaged(ema_.get());
  const std::optional<Batch> request = task_->preview_request();
  if (!request) return {};
  return task_->preview(predict_one(*request));
}

// Labels are positions in data.classes.
static void check_classes(const Config& config, const Loader& loader) {
  const std::vector<std::string> ours = config.texts("data.classes"), theirs = loader.source().class_names();
  check(ours.empty() || theirs.empty() || ours == theirs, MOE_ERR_INVALID_ARGUMENT,
        "evaluate: data.classes: expected those of the model, [", join(ours, ", "), "], got data of [",
        join(theirs, ", "), "]; data.class_map gives types of the labels other names");
}

std::vector<Metric> Session::evaluate(Loader& loader) {
  check_classes(config_, loader);
  const ForgetRouting forget{routing_};
  const Ema::Swap averaged(ema_.get());
  const std::unique_ptr<Evaluator> evaluator = task_->evaluator();
  const std::unique_ptr<Session> model = lend_model(*evaluator, log_);
  show_training_data(*evaluator, config_, log_);
  if (loader.position() != 0) loader.seek(loader.epoch(), 0);
  for (RoutingStats* stats : routing_) stats->begin_eval();
  const auto stop_here = [this] {
    check(!take_stop(), MOE_ERR_CANCELLED, "evaluate: stopped before the end of the data; nothing was changed");
  };
  try {
    while (std::optional<Batch> batch = loader.next()) {
      stop_here();
      evaluator->add(*batch, predict_one(*batch));
    }
    while (std::optional<Batch> request = evaluator->next_request()) {
      stop_here();
      evaluator->add_result(*request, predict_one(*request));
    }
  } catch (...) {
    loader.seek(loader.epoch(), 0);
    throw;
  }
  std::vector<Metric> metrics = evaluator->finish();
  if (!save_evaluations_.empty()) evaluator->save(save_evaluations_);
  for (RoutingStats* stats : routing_) stats->end_eval();
  return metrics;
}

}  // namespace moe
