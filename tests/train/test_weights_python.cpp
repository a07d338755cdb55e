// Python's own packages: a .pth that torch saves here loads, and what we export gives the same outputs in transformers.
// Skipped without the packages (MOE_PYTHON).
#include <torch/torch.h>

#include "models/rtdetr/network.h"
#include "support/hash_fill.h"
#include "support/test.h"
#include "support/tiny.h"
#include "train/safetensors.h"
#include "train/session.h"
#include "train/torch_file.h"

using namespace moe;

static std::string python() {
  if (const char* given = std::getenv("MOE_PYTHON")) return given;
  const char* home = std::getenv("HOME");
  return std::string(home ? home : "") + "/.cache/moe-peers/bin/python";
}

// Exit status 0 of: python -c CODE FOLDER
static bool runs(const std::string& code, const std::string& folder) {
  return std::system((python() + " -c '" + code + "' '" + folder + "' 2>&1").c_str()) == 0;
}

static void test_torch_saves(void**) {
  const TemporaryFolder folder;
  CHECK(runs(R"(
import sys, torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2).half())
torch.save({"ema": {"module": net.state_dict(), "updates": 3}, "optimizer": torch.optim.AdamW(net.parameters()).state_dict()},
           sys.argv[1] + "/x.pth")
from safetensors.torch import save_file
save_file(net.state_dict(), sys.argv[1] + "/x.safetensors")
)",
             folder.path()));
  const TorchFile ours = load_torch_file(folder / "x.pth");
  const SafetensorsFile theirs = load_safetensors(folder / "x.safetensors");
  CHECK(ours.part == "ema.module" && ours.tensors.size() == theirs.tensors.size());
  for (const auto& [name, tensor] : ours.tensors) {
    CHECK(theirs.find(name)->scalar_type() == tensor.scalar_type() && at::equal(*theirs.find(name), tensor));
  }
}

static void test_transformers_opens_what_we_export(void**) {
  const TemporaryFolder folder;
  Session session(tiny::config({{"model.experts.kind", "none"}, {"model.backbone.width", "0.25"}}), {});
  hash_fill::fill(session.task().network(), "");
  session.export_weights("transformers", folder / "model");
  CHECK(runs(R"(
import sys, torch, zlib, numpy as np
from safetensors.torch import save_file
from transformers import RTDetrImageProcessor, RTDetrV2ForObjectDetection
model, info = RTDetrV2ForObjectDetection.from_pretrained(sys.argv[1] + "/model", output_loading_info=True)
tracked = lambda names: [n for n in names if not n.endswith("num_batches_tracked")]
assert not tracked(info["missing_keys"]) and not info["unexpected_keys"] and not info["mismatched_keys"], info
assert model.config.id2label[0] == "car", model.config.id2label
RTDetrImageProcessor.from_pretrained(sys.argv[1] + "/model")
model.eval()
images = (torch.arange(3 * 64 * 64) % 251 / 251.0).reshape(1, 3, 64, 64)
with torch.no_grad():
    out = model(images)
save_file({"logits": out.logits.contiguous(), "boxes": out.pred_boxes.contiguous()}, sys.argv[1] + "/out.safetensors")
)",
             folder.path()));
  const SafetensorsFile theirs = load_safetensors(folder / "out.safetensors");
  auto& network = dynamic_cast<rtdetr::Network&>(session.task().network());
  network.eval();
  const at::NoGradGuard no_grad;
  const at::Tensor images = (at::arange(3 * 64 * 64) % 251).to(at::kFloat).div(251).reshape({1, 3, 64, 64});
  const auto out = network.forward(images, nullptr, Rng(0, "test"));
  const auto& last = out.experts.at(0).layers.at(0);
  CHECK((last.logits - *theirs.find("logits")).abs().max().item<double>() < 1e-4);
  CHECK((last.boxes - *theirs.find("boxes")).abs().max().item<double>() < 1e-4);
}

int main() {
  if (!runs("import torch, transformers, safetensors.torch", "")) {
    std::printf("skipped: %s lacks torch, transformers or safetensors (set MOE_PYTHON)\n", python().c_str());
    return 77;
  }
  const CMUnitTest tests[] = {cmocka_unit_test(test_torch_saves),
                              cmocka_unit_test(test_transformers_opens_what_we_export)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
