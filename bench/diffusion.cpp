// Diffusion UNets of 3.42 GMAC a 64 x 64 picture, a whole training step of 8 pictures (loss, backward, clipping, AdamW)
// and a tenth of the 50 DDIM steps of 16: the standard network with experts and its dense twin against diffusers'
// UNet2DModel; the published network with its experts grouped against all experts on all pictures and against the
// published loop over pictures.
#include <ATen/ATen.h>

#include <memory>

#include "models/diffusion/task.h"
#include "peer.h"
#include "tensor/random.h"
#include "train/schema.h"
#include "train/session.h"
#include "turns.h"

namespace {

using Overrides = std::vector<std::pair<std::string, std::string>>;

constexpr int64_t training_pictures = 8, sampled_pictures = 16, sampler_steps = 5;

const char* standard = R"(
task: diffusion
data: {classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], size: [64, 64]}
model:
  unet: {channels: 92, multipliers: [1, 2, 4, 8], embedding: 512}
  experts: {count: 8, top_k: 2}
diffusion: {prediction: eps}
optimizer: {lr: 1e-4}
train: {clip_norm: 1}
)";

const char* published = R"(
task: diffusion
data: {classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], size: [64, 64]}
model:
  unet: {topology: paper, channels: 128, multipliers: [1, 2, 4, 8], embedding: 512}
  experts: {count: 8, top_k: 2}
  frequency: {mode: channel_gate}
diffusion: {prediction: eps, label_dropout: 0}
optimizer: {lr: 1e-4}
train: {clip_norm: 1}
)";

std::shared_ptr<moe::Session> session(const char* yaml, const std::string& type, const Overrides& overrides) {
  moe::Config config = moe::Config::parse(yaml, "bench", moe::task_schema);
  config.set("sample.steps", std::to_string(sampler_steps));
  config.set("train.amp", type == "bf16" ? "bf16" : "\"off\"");
  for (const auto& [key, value] : overrides) config.set(key, value);
  return std::make_shared<moe::Session>(config, moe::Log());
}

// Multiply-adds of one picture in 1e9, from the table's last line.
double gmac(const moe::Session& model) {
  const std::string table = model.get("model.summary");
  std::istringstream total(table.substr(table.find("\ntotal ") + 7));
  double parameters = 0, active = 0, millions = 0;
  total >> parameters >> active >> millions;
  return millions * 1e-3;
}

bench::Rival step(const std::string& name, const char* yaml, const std::string& type, const Overrides& overrides = {}) {
  const auto model = session(yaml, type, overrides);
  moe::Batch batch;
  batch.set("images", moe::uniform_tensor(moe::Rng(1, "images"), {training_pictures, 3, 64, 64}));
  batch.set("labels", at::arange(training_pictures, at::kLong).remainder(10));
  const auto call = [model, batch] {
    model->feed(batch);
    model->step();
  };
  return {name, call, 6 * gmac(*model) * training_pictures};
}

bench::Rival sample(const std::string& name, const std::string& type, const Overrides& overrides = {}) {
  const auto model = session(standard, type, overrides);
  moe::Batch batch;
  batch.set("indices", at::arange(sampled_pictures, at::kLong));
  batch.set("labels", at::arange(sampled_pictures, at::kLong).remainder(10));
  return {name, [model, batch] { model->predict(batch); }, 2 * gmac(*model) * sampled_pictures * sampler_steps};
}

// The peer as it is by default, which the goal is for, and in its best setting: channels-last, memory kept.
void add_peers(std::vector<bench::Rival>& rivals, const std::string& name, const std::string& script,
               std::vector<std::string> arguments, double goal) {
  bench::add_peer(rivals, name, script, arguments, false, {goal});
  arguments.push_back("--best");
  bench::add_peer(rivals, name + "_best", script, arguments, true, {});
}

const Overrides dense = {{"model.experts.kind", "dense"}};

std::vector<bench::Rival> standard_steps(const std::string& type, bool routed) {
  std::vector<bench::Rival> out;
  out.push_back(routed ? step("moe", standard, type) : step("dense", standard, type, dense));
  add_peers(out, "unet2d", "unet2d.py",
            {"--what", "step", "--batch", std::to_string(training_pictures), "--dtype", type}, routed ? 1.0 : 0.75);
  return out;
}

std::vector<bench::Rival> published_steps(const std::string& type) {
  std::vector<bench::Rival> out = {step("grouped", published, type)};
  for (const auto& [form, goal] : {std::pair("dense", 0.35), std::pair("loop", 0.4)}) {
    add_peers(out, form, "published_unet.py",
              {"--form", form, "--batch", std::to_string(training_pictures), "--dtype", type}, goal);
  }
  return out;
}

std::vector<bench::Rival> samples(const std::string& type, bool routed) {
  std::vector<bench::Rival> out = {routed ? sample("moe", type) : sample("dense", type, dense)};
  add_peers(out, "unet2d", "unet2d.py",
            {"--what", "ddim", "--batch", std::to_string(sampled_pictures), "--steps", std::to_string(sampler_steps),
             "--dtype", type},
            routed ? 1.0 : 0.75);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int rounds = 7;
  for (const std::string type : {"fp32", "bf16"}) {
    bench::add_turns("step/moe/" + type, [type] { return standard_steps(type, true); }, rounds);
    bench::add_turns("step/dense/" + type, [type] { return standard_steps(type, false); }, rounds);
    bench::add_turns("step/published/" + type, [type] { return published_steps(type); }, rounds);
    bench::add_turns("ddim5/moe/" + type, [type] { return samples(type, true); }, rounds);
    bench::add_turns("ddim5/dense/" + type, [type] { return samples(type, false); }, rounds);
  }
  return bench::run_benchmarks(argc, argv);
}
