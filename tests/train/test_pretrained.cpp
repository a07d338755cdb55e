// model.pretrained: names of other projects, other numbers of classes, a backbone alone, what is reported and what
// refused; and exports of a session in its own names and those of transformers.
#include "train/pretrained.h"

#include <torch/torch.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "models/rtdetr/names.h"
#include "support/test.h"
#include "support/tiny.h"
#include "train/safetensors.h"
#include "train/session.h"

using namespace moe;

using Overrides = std::vector<std::pair<std::string, std::string>>;

// A small model without experts.
static std::unique_ptr<Session> plain(Overrides more = {}, const Log& log = {}) {
  more.insert(more.begin(), {{"model.experts.kind", "none"}, {"model.backbone.width", "0.25"}});
  return std::make_unique<Session>(tiny::config(more), log);
}

static NamedTensors tensors_of(Session& session) {
  NamedTensors out;
  for (const auto& item : session.task().network().named_parameters(true))
    out.emplace_back(item.key(), item.value().detach());
  for (const auto& item : session.task().network().named_buffers(true))
    out.emplace_back(item.key(), item.value().detach());
  return out;
}

static bool equal(Session& a, Session& b, const std::string& part = "") {
  const NamedTensors left = tensors_of(a), right = tensors_of(b);
  for (size_t i = 0; i < left.size(); ++i) {
    if (left[i].first.find(part) != std::string::npos && !at::equal(left[i].second, right[i].second)) return false;
  }
  return true;
}

static size_t count(const std::string& report, const std::string& word) {
  size_t found = 0;
  for (const std::string& line : split(report, '\n')) found += line.starts_with(word + " ");
  return found;
}

static void test_own_names(void**) {
  const TemporaryFolder folder;
  const auto source = plain({{"seed", "9"}});
  source->export_weights("own", folder / "own.safetensors");
  std::string line;
  const auto loaded = plain({{"model.pretrained", folder / "own.safetensors"}},
                            [&](int32_t, const std::string& text) { line += text; });
  CHECK(equal(*source, *loaded) && !equal(*source, *plain()));
  const size_t all = tensors_of(*loaded).size();
  CHECK(count(loaded->get("model.pretrained"), "loaded") == all &&
        split(loaded->get("model.pretrained"), '\n').size() == all);
  CHECK(line.find(text("pretrained: ", all, " of ", all, " tensors from ")) != std::string::npos);
}

// Averages are what is exported and what a checkpoint gives.
static void test_averages(void**) {
  const TemporaryFolder folder;
  const auto source = plain({{"ema.decay", "0.5"}, {"ema.warmup", "1"}});
  source->feed(tiny::batch(1, {2, 1}));
  source->step();
  source->save(folder / "checkpoint.safetensors");
  source->export_weights("own", folder / "own.safetensors");
  const auto a = plain({{"model.pretrained", folder / "checkpoint.safetensors"}});
  const auto b = plain({{"model.pretrained", folder / "own.safetensors"}});
  CHECK(equal(*a, *b) && !equal(*a, *source));
}

static void test_transformers_names(void**) {
  const TemporaryFolder folder;
  const auto source = plain({{"seed", "9"}});
  source->export_weights("transformers", folder / "exported");
  const auto loaded = plain({{"model.pretrained", folder / "exported/model.safetensors"}});
  CHECK(equal(*source, *loaded));
  CHECK(count(loaded->get("model.pretrained"), "unexpected") == 0);  // n_points_scale is known
  const auto config = nlohmann::json::parse(read_file(folder / "exported/config.json"));
  CHECK(config["model_type"] == "rt_detr_v2" && config["id2label"]["5"] == "motorcycle" && config["d_model"] == 32);
  CHECK(config["backbone_config"]["hidden_sizes"] == nlohmann::json({16, 32, 64, 128}));
  CHECK(exists(folder / "exported/preprocessor_config.json"));
  const SafetensorsFile file = load_safetensors(folder / "exported/model.safetensors");
  CHECK(file.find("model.encoder.encoder.0.layers.0.self_attn.q_proj.weight")->size(0) == 32);
  CHECK(file.find("model.backbone.model.encoder.stages.1.layers.0.shortcut.1.convolution.weight") != nullptr);
}

// Under the names of rtdetr_pytorch, and of a backbone's own file.
static void test_first_version_and_backbone(void**) {
  const TemporaryFolder folder;
  const auto source = plain({{"seed", "9"}});
  SafetensorsFile first, backbone;
  size_t renamed = 0;
  for (const auto& [name, tensor] : tensors_of(*source)) {
    std::string old = name;
    const auto change = [&](const std::string& from, const std::string& to) {
      const size_t at = old.find(from);
      if (at == std::string::npos) return;
      old.replace(at, from.size(), to);
      ++renamed;
    };
    if (name.starts_with("encoder.input_proj.")) change(".conv.", ".0."), change(".norm.", ".1.");
    change("decoder.enc_output.proj", "decoder.enc_output.0");
    change("decoder.enc_output.norm", "decoder.enc_output.1");
    first.tensors.emplace_back(old, tensor);
    if (name.starts_with("backbone.")) backbone.tensors.emplace_back(name.substr(9), tensor);
  }
  CHECK(renamed == 3 * 5 + 4);
  first.tensors.emplace_back("decoder.anchors", at::zeros({1, 4}));
  save_safetensors(folder / "first.safetensors", first);
  save_safetensors(folder / "backbone.safetensors", backbone);
  const auto loaded = plain({{"model.pretrained", folder / "first.safetensors"}});
  CHECK(equal(*source, *loaded) && count(loaded->get("model.pretrained"), "unexpected") == 0);
  const auto part = plain({{"model.pretrained", folder / "backbone.safetensors"}});
  CHECK(equal(*source, *part, "backbone.") && !equal(*source, *part, "encoder."));
  CHECK(count(part->get("model.pretrained"), "missing") == first.tensors.size() - 1 - backbone.tensors.size());
}

static void test_other_classes_start_the_heads_anew(void**) {
  const TemporaryFolder folder;
  const auto source = plain({{"seed", "9"}});
  source->export_weights("transformers", folder / "six");
  const Overrides three = {{"data.classes", "[car, bus, person]"}};
  Overrides with_file = three;
  with_file.emplace_back("model.pretrained", folder / "six/model.safetensors");
  const auto loaded = plain(with_file), fresh = plain(three);
  const std::string report = loaded->get("model.pretrained");
  CHECK(count(report, "mis-shaped") == 7 && count(report, "missing") == 0);  // 2 + 1 score heads and the embedding
  CHECK(report.find("mis-shaped decoder.dec_score_head.0.weight: file [6, 32], model [3, 32]") != std::string::npos);
  CHECK(equal(*loaded, *fresh, "score_head") && equal(*loaded, *fresh, "denoising_class_embed"));
  const NamedTensors was = tensors_of(*source), is = tensors_of(*loaded);
  for (size_t i = 0; i < was.size(); ++i) {
    if (!rtdetr::is_head(was[i].first)) CHECK(at::equal(was[i].second, is[i].second));
  }
}

static void test_chosen_part(void**) {
  const TemporaryFolder folder;
  const auto source = plain({{"seed", "9"}});
  source->export_weights("own", folder / "own.safetensors");
  const Overrides only = {{"model.pretrained", folder / "own.safetensors"}, {"model.pretrained_only", "['^backbone']"}};
  const auto loaded = plain(only), fresh = plain();
  CHECK(equal(*loaded, *source, "backbone.") && equal(*loaded, *fresh, "decoder."));
  Overrides unused = only;
  unused.back().second = "['^spine']";
  CHECK_ERROR(MOE_ERR_CONFIG, "^spine", plain(unused));
}

static void test_refused(void**) {
  const TemporaryFolder folder;
  const auto refuse = [&](const NamedTensors& tensors, const std::string& part) {
    save_safetensors(folder / "x.safetensors", {{}, tensors});
    CHECK_ERROR(MOE_ERR_DATA, part, plain({{"model.pretrained", folder / "x.safetensors"}}));
  };
  refuse({{"somewhere.weight", at::zeros({3})}}, "none of them by a known name, the first is \"somewhere.weight\"");
  refuse({{"backbone.conv1.conv1_1.conv.weight", at::zeros({8, 3, 5, 5})}},
         "backbone.conv1.conv1_1.conv.weight: expected [8, 3, 3, 3], got [8, 3, 5, 5]: only heads may differ");
  refuse({{"backbone.conv1.conv1_1.conv.weight", at::zeros({8, 3, 3, 3}, at::kChar)}},
         "quantised weights are not read");
  const char* root = std::getenv("MOE_SOURCE_DIR");
  const std::string old = std::string(root ? root : ".") + "/tests/fixtures/weights/old.pth";
  CHECK_ERROR(MOE_ERR_DATA, "before 1.6", load_weights(old));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "absent.pth", load_weights(folder / "absent.pth"));
  write_file_atomic(folder / "text.pth", "weights");
  CHECK_ERROR(MOE_ERR_DATA, "text.pth", load_weights(folder / "text.pth"));
}

static void test_half_precision_is_widened(void**) {
  const TemporaryFolder folder;
  const auto source = plain({{"seed", "9"}});
  SafetensorsFile half;
  for (const auto& [name, tensor] : tensors_of(*source)) half.tensors.emplace_back(name, tensor.to(at::kHalf));
  save_safetensors(folder / "half.safetensors", half);
  const auto loaded = plain({{"model.pretrained", folder / "half.safetensors"}});
  for (const auto& [name, tensor] : tensors_of(*loaded)) {
    CHECK(tensor.scalar_type() == at::kFloat && at::equal(tensor, half.find(name)->to(at::kFloat)));
  }
}

static void test_what_cannot_be_exported(void**) {
  const TemporaryFolder folder;
  Session mixture(tiny::config(), {});
  CHECK_ERROR(MOE_ERR_UNSUPPORTED, "experts or other tensors of its own (decoder.",
              mixture.export_weights("transformers", folder / "m"));
  CHECK(!exists(folder / "m"));
  mixture.export_weights("own", folder / "mixture.safetensors");
  CHECK_ERROR(MOE_ERR_INVALID_ARGUMENT, "expected one of own, transformers, got \"transformer\", did you mean",
              mixture.export_weights("transformer", folder / "m"));
  const auto odd = plain({{"model.backbone.width", "0.125"}});
  CHECK_ERROR(MOE_ERR_UNSUPPORTED, "model.backbone.width", odd->export_weights("transformers", folder / "m"));
  CHECK_ERROR(MOE_ERR_NOT_FOUND, "nowhere", mixture.export_weights("own", folder / "nowhere/x.safetensors"));
}

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(test_own_names),
      cmocka_unit_test(test_averages),
      cmocka_unit_test(test_transformers_names),
      cmocka_unit_test(test_first_version_and_backbone),
      cmocka_unit_test(test_other_classes_start_the_heads_anew),
      cmocka_unit_test(test_chosen_part),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_half_precision_is_widened),
      cmocka_unit_test(test_what_cannot_be_exported),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
